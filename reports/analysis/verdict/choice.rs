//! The choice of a contender for a group, how sure it is, and what would settle it. Pure.
//!
//! The choice is a decision by the best figures at hand: of the contenders that lie within what
//! nobody notices of the freshest, the cheapest for the server. How sure it is, the intervals say:
//! every rival must be shown staler, or else neither noticeably fresher nor noticeably cheaper.
//! Decision and certainty are kept apart, since a choice that waits for proof changes with the
//! seed.

use std::fmt;

use crate::{
    analysis::{
        metrics::Metric,
        statistics::Interval,
        verdict::{
            comparison::{Effect, Estimate, Figures, Finding},
            link_met::LinkMet,
        },
    },
    plan::contender::Contender,
};

/// The longest window that is proposed, in s: half an hour.
const SECONDS_MAX: f64 = 1_800.0;
/// The most rounds that are proposed.
const ROUNDS_MAX: f64 = 400.0;

/// The certainty of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Nothing is shown.
    None,
    /// Each comparison alone shows it at 95 %, but not all together, or a self-check failed.
    Some,
    /// All comparisons together show it at 95 %, and every self-check that matters passed.
    Strong,
}

/// A reason why a choice is less than sure.
#[derive(Clone, Debug, PartialEq)]
pub enum Doubt {
    /// The rivals that are shown neither worse nor the same, not even by a comparison alone.
    NotShown(Vec<Contender>),
    /// The rivals that a comparison alone puts behind, but not all comparisons together.
    ShownAlone(Vec<Contender>),
    /// The names of failed self-checks.
    FailedChecks(Vec<&'static str>),
    /// The server is elsewhere, so its CPU time is not known.
    NoCpu,
    /// No group without an emulated link was measured, so the cost is not known.
    NoCost,
}

/// Writes a clause in plain words.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotShown(rivals) => write!(f, "this run does not separate it from {}", names(rivals)),
            Self::ShownAlone(rivals) => write!(
                f,
                "against {} the difference is found by itself, but not among all comparisons together",
                names(rivals)
            ),
            Self::FailedChecks(checks) => write!(f, "self-checks failed: {}", checks.join(", ")),
            Self::NoCpu => write!(f, "the server's CPU time is not known from here"),
            Self::NoCost => write!(f, "the cost was not measured"),
        }
    }
}

/// Joins names: "a, b and c".
fn names(contenders: &[Contender]) -> String {
    let names: Vec<String> = contenders.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// The means that would settle a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// A window of so many seconds on the link.
    LinkSeconds(u64),
    /// So many rounds where the cost is judged.
    Rounds(u64),
    /// An idle machine.
    IdleMachine,
}

/// The reason that decided among those that are fresh alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy {
    /// There was one contender to choose from.
    Only,
    /// One contender is fresher than all others.
    Freshness,
    /// The server's CPU time.
    Cpu,
    /// The bytes on the wire, where the CPU time is not known.
    Bytes,
    /// No cost is known: the freshest.
    Nothing,
}

/// A cost of the choice against the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// The value of the choice.
    pub value: f64,
    /// The value of the reference.
    pub reference: f64,
    /// The ratio.
    pub ratio: f64,
    /// The 95 % interval of the ratio.
    pub interval: Interval,
}

/// The chosen contender of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The contender.
    pub contender: Contender,
    /// Whether the choice is among the encrypted ones alone.
    pub encrypted_only: bool,
    /// The others that lie within what nobody notices of the freshest.
    pub alike: Vec<Contender>,
    /// The others, the freshest first.
    pub worse: Vec<Contender>,
    /// The rivals that this run does not separate from the contender, not even by a comparison
    /// alone. Without them the contender would be no better founded than they are.
    pub open: Vec<Contender>,
    /// The certainty that a player notices no difference between the contender and the open
    /// rivals. `None` where nothing is open.
    pub unnoticed: Option<Certainty>,
    /// The reason that decided.
    pub by: DecidedBy,
    /// The certainty of the choice.
    pub certainty: Certainty,
    /// The reasons why it is less than sure.
    pub doubts: Vec<Doubt>,
    /// The player's value with the choice, in [`Metric::felt`].
    pub felt: Estimate,
    /// The same for the reference of the comparison.
    pub felt_reference: Option<Estimate>,
    /// The server's CPU time against the reference.
    pub cpu: Option<Cost>,
    /// The bytes against the reference.
    pub bytes: Option<Cost>,
    /// The means that would settle the choice; `None` if it is settled, or if nothing within reason
    /// would.
    pub settle: Option<Settle>,
}

/// The evidence from which a choice is made.
pub(crate) struct Candidates<'a> {
    pub(crate) figures: &'a Figures,
    pub(crate) met: Option<LinkMet>,
    /// The figures in which the costs of these contenders were judged.
    pub(crate) costs: Option<&'a Figures>,
    /// The contender that costs are told against.
    pub(crate) reference: Contender,
    /// The metrics of what a player feels and of what the server pays.
    pub(crate) metrics: [Metric; 2],
    pub(crate) failed_checks: &'a [&'static str],
}

/// Whether a rival is behind, by the given reading of intervals.
type Reading = fn(&Effect) -> (Finding, Interval);

fn together(effect: &Effect) -> (Finding, Interval) {
    (effect.finding(), effect.simultaneous)
}

fn alone(effect: &Effect) -> (Finding, Interval) {
    (effect.finding_alone(), effect.alone)
}

impl Candidates<'_> {
    /// Returns the choice among these contenders; `None` if none has a value.
    pub(crate) fn choose(&self, contenders: &[Contender], encrypted_only: bool) -> Option<Choice> {
        let felt = self.metrics[0];
        let mut by_freshness: Vec<&Estimate> =
            contenders.iter().filter_map(|it| self.figures.estimate(felt, *it)).collect();
        by_freshness.sort_by(|a, b| a.value.total_cmp(&b.value));
        let leader = by_freshness.first()?;
        let noticed = leader.value + felt.margin(leader.value);
        let fresh: Vec<Contender> =
            by_freshness.iter().filter(|it| it.value <= noticed).map(|it| it.contender).collect();
        let (chosen, by) = self.cheapest(contenders, &fresh);
        let behind = by_freshness.iter().map(|it| it.contender).filter(|it| !fresh.contains(it));
        let worse: Vec<Contender> = behind.collect();
        let alike: Vec<Contender> = fresh.into_iter().filter(|it| *it != chosen).collect();
        let by = match (worse.len() + alike.len(), alike.is_empty()) {
            (0, _) => DecidedBy::Only,
            (_, true) => DecidedBy::Freshness,
            _ => by,
        };
        let mut choice = Choice {
            contender: chosen,
            encrypted_only,
            by,
            certainty: Certainty::Strong,
            doubts: Vec::new(),
            felt: *self.figures.estimate(felt, chosen)?,
            felt_reference: self.figures.estimate(felt, self.reference).copied(),
            cpu: self.cost(self.metrics[1], chosen),
            bytes: self.cost(Metric::Bytes, chosen),
            settle: None,
            alike,
            worse,
            open: Vec::new(),
            unnoticed: None,
        };
        self.weigh(&mut choice);
        Some(choice)
    }

    /// Returns the cheapest of those that are fresh alike, and what decided. Of those that cost
    /// alike it is the first of the scenario, which has the plainer settings.
    fn cheapest(&self, contenders: &[Contender], fresh: &[Contender]) -> (Contender, DecidedBy) {
        let in_order = contenders.iter().copied().filter(|it| fresh.contains(it));
        for (metric, by) in [(self.metrics[1], DecidedBy::Cpu), (Metric::Bytes, DecidedBy::Bytes)] {
            let Some(costs) = self.costs else { break };
            let known: Vec<(Contender, f64)> =
                in_order.clone().filter_map(|it| Some((it, costs.estimate(metric, it)?.value))).collect();
            let Some(least) = known.iter().map(|it| it.1).reduce(f64::min) else { continue };
            if let Some(first) = known.iter().find(|it| it.1 <= least + metric.margin(least)) {
                return (first.0, by);
            }
        }
        (fresh[0], DecidedBy::Nothing)
    }

    fn cost(&self, metric: Metric, chosen: Contender) -> Option<Cost> {
        let costs = self.costs?;
        if chosen == self.reference {
            let value = costs.estimate(metric, chosen)?.value;
            return Some(Cost {
                value,
                reference: value,
                ratio: 1.0,
                interval: Interval { low: 1.0, high: 1.0 },
            });
        }
        let effect = costs.comparison(metric, chosen, self.reference)?.effect?;
        Some(Cost {
            value: effect.candidate,
            reference: effect.against,
            ratio: effect.ratio(),
            interval: effect.ratio_interval(),
        })
    }

    /// Sets how sure the choice is, why, and what would settle it.
    fn weigh(&self, choice: &mut Choice) {
        let rivals = || choice.alike.iter().chain(&choice.worse).copied();
        let open = |reading: Reading| -> Vec<Contender> {
            rivals().filter(|rival| !self.is_behind(choice, *rival, reading)).collect()
        };
        let (not_alone, not_together) = (open(alone), open(together));
        let found_alone: Vec<Contender> =
            not_together.iter().copied().filter(|it| !not_alone.contains(it)).collect();
        let mut doubts = Vec::new();
        if !not_alone.is_empty() {
            doubts.push(Doubt::NotShown(not_alone.clone()));
        }
        if !found_alone.is_empty() {
            doubts.push(Doubt::ShownAlone(found_alone));
        }
        if !self.failed_checks.is_empty() {
            doubts.push(Doubt::FailedChecks(self.failed_checks.to_vec()));
        }
        let shown = match (not_alone.is_empty(), not_together.is_empty(), self.failed_checks.is_empty()) {
            (false, ..) => Certainty::None,
            (true, true, true) => Certainty::Strong,
            _ => Certainty::Some,
        };
        if choice.by != DecidedBy::Only {
            doubts.extend(match self.costs {
                None => Some(Doubt::NoCost),
                Some(costs) if costs.estimate(self.metrics[1], choice.contender).is_none() => {
                    Some(Doubt::NoCpu)
                }
                Some(_) => None,
            });
        }
        choice.settle = self.settle(choice, &not_together);
        choice.unnoticed = (!not_alone.is_empty()).then(|| self.unnoticed(choice.contender, &not_alone));
        (choice.certainty, choice.doubts, choice.open) = (shown, doubts, not_alone);
    }

    /// Returns how sure it is that a player notices no difference between a contender and these
    /// rivals: each difference lies within what nobody notices, in both directions.
    fn unnoticed(&self, contender: Contender, rivals: &[Contender]) -> Certainty {
        let within = |reading: Reading| {
            rivals.iter().all(|rival| {
                let effect = self.effect(self.figures, self.metrics[0], *rival, contender);
                effect.is_some_and(|effect| {
                    let Interval { low, high } = reading(&effect).1;
                    low >= -effect.margin && high <= effect.margin
                })
            })
        };
        match (within(together), within(alone)) {
            (true, _) if self.failed_checks.is_empty() => Certainty::Strong,
            (true, _) | (false, true) => Certainty::Some,
            (false, false) => Certainty::None,
        }
    }

    /// Whether a rival is shown to be behind: staler, or else neither noticeably fresher nor
    /// noticeably cheaper than the choice.
    fn is_behind(&self, choice: &Choice, rival: Contender, reading: Reading) -> bool {
        let [felt, paid] = self.metrics;
        let Some(freshness) = self.effect(self.figures, felt, rival, choice.contender) else { return false };
        let (finding, fresher_by) = reading(&freshness);
        if choice.worse.contains(&rival) {
            return finding == Finding::Worse;
        }
        let costs = self.costs.and_then(|costs| {
            let cost = |metric| self.effect(costs, metric, rival, choice.contender);
            cost(paid).or_else(|| cost(Metric::Bytes))
        });
        let not_cheaper = costs.is_none_or(|cost| reading(&cost).1.low >= -cost.margin);
        finding == Finding::Worse || (fresher_by.low >= -freshness.margin && not_cheaper)
    }

    fn effect(&self, of: &Figures, metric: Metric, rival: Contender, chosen: Contender) -> Option<Effect> {
        of.comparison(metric, rival, chosen).and_then(|it| it.effect)
    }

    /// Returns what would put these rivals behind.
    fn settle(&self, choice: &Choice, open: &[Contender]) -> Option<Settle> {
        if open.is_empty() {
            return (!self.failed_checks.is_empty()).then_some(Settle::IdleMachine);
        }
        let [felt, paid] = self.metrics;
        let mut seconds: f64 = 0.0;
        let mut rounds: f64 = 0.0;
        for &rival in open {
            let freshness = self.effect(self.figures, felt, rival, choice.contender)?;
            let is_fresh = choice.alike.contains(&rival);
            let shown = |effect: &Effect| {
                let enough = effect.simultaneous.low >= -effect.margin;
                effect.finding() == Finding::Worse || (is_fresh && enough)
            };
            if !shown(&freshness) {
                seconds = seconds.max(units_wanted(&freshness, is_fresh));
            } else if let Some(cost) =
                self.costs.and_then(|costs| self.effect(costs, paid, rival, choice.contender))
            {
                rounds = rounds.max(units_wanted(&cost, true));
            }
        }
        // The unit of a link is a second; elsewhere every unit is a round.
        let each_s = self.met.map_or(1.0, |met| met.seconds / self.figures.units().max(1) as f64);
        match (seconds > 0.0, self.met.is_some()) {
            (true, true) if seconds * each_s <= SECONDS_MAX => {
                Some(Settle::LinkSeconds((seconds * each_s / 10.0).ceil() as u64 * 10))
            }
            (true, true) => None,
            _ => {
                let rounds = rounds.max(seconds);
                (rounds > 0.0 && rounds <= ROUNDS_MAX).then_some(Settle::Rounds(rounds.ceil() as u64))
            }
        }
    }
}

/// Returns the number of units in which a rival's difference would be shown, if the figures stay as
/// they are: the radius of an interval falls with the root of the units.
fn units_wanted(effect: &Effect, or_the_same: bool) -> f64 {
    let radius = effect.difference - effect.simultaneous.low;
    let gap = effect.difference - effect.floor;
    let gap = if or_the_same { gap.max(effect.difference + effect.margin) } else { gap };
    if gap <= 0.0 { f64::INFINITY } else { effect.units as f64 * (radius / gap).powi(2) }
}
