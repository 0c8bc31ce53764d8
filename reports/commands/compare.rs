//! `netduel-report compare OLD NEW`: what changed between two results of the same comparison, beyond noise. The judgement
//! is that of a verdict ([`crate::verdict`]): the same floors, the same test, the new run against the old one.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use anyhow::ensure;
use clap::Args;

use crate::{
    analysis::{
        metrics::Metric,
        summary::Summary,
        verdict::{Contest, Effect, Observations, Outcome, Series, judge},
    },
    data::results::Results,
    plan::scenario::{Group, RunKey},
    render::{narrative::evidence, verdict_text::outcome_label},
};

/// What scripts get if something got worse: neither success nor the 1 and 2 of errors.
pub const EXIT_WORSE: u8 = 3;

/// Flags of a comparison of two results.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// The results.json of before
    old: PathBuf,
    /// The results.json of after
    new: PathBuf,
    /// Compare even if hosts or settings differ, and say what does
    #[arg(long)]
    insist: bool,
}

/// Something in which two results differ that have to be alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// In what, such as "kernel".
    pub what: String,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

/// What became of one combination in one metric.
#[derive(Clone, Debug)]
pub struct Change {
    /// The combination, with `repeat` 0.
    pub key: RunKey,
    /// In what.
    pub metric: Metric,
    /// The numbers, new against old; `None` where both have too few in common.
    pub effect: Option<Effect>,
    /// Better or worse than before, or neither.
    pub outcome: Outcome,
}

/// Two results, compared.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Hosts and settings that differ, if that was insisted on.
    pub mismatches: Vec<Mismatch>,
    /// Every combination that both have, in every metric.
    pub changes: Vec<Change>,
    /// Combinations that only one of them has, and which.
    pub only_one: Vec<(RunKey, &'static str)>,
    /// Groups of which neither result has an A/A control.
    pub without_control: Vec<Group>,
}

/// Compares two files and prints what changed; tells whether something got worse.
///
/// # Errors
/// Files that cannot be read, that have nothing in common, or whose hosts or settings differ (unless insisted on).
pub fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let (old, new) = (Results::load(&args.old)?, Results::load(&args.new)?);
    let mismatches = mismatches(&old, &new);
    let names = mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    ensure!(
        mismatches.is_empty() || args.insist,
        "these results are not of the same comparison on the same host, so a difference would say nothing:\n  {names}\nrun \
         the old one again here, or give --insist"
    );
    let changes = Changes::between(&old, &new);
    ensure!(
        !changes.changes.is_empty(),
        "these results have nothing in common: no transport ran on the same link at the same rate in both"
    );
    print!("{}", changes.text());
    Ok(changes.got_worse())
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} before, {} now", self.what, self.old, self.new)
    }
}

/// Hosts and settings in which two results differ. What was built may differ: that is what is compared. What only one of
/// them ran may, too, and shows in [`Changes::only_one`].
pub fn mismatches(old: &Results, new: &Results) -> Vec<Mismatch> {
    let facts = |results: &Results| -> BTreeMap<String, String> {
        let (host, scenario) = (&results.provenance, &results.scenario);
        let mut facts = BTreeMap::from(
            [
                ("processor", host.cpu.clone()),
                ("processors", host.cpus.to_string()),
                ("system", host.system.clone()),
                ("kernel", host.kernel.clone()),
                ("--warmup", format!("{} ms", scenario.warmup_ms)),
                ("--duration", format!("{} ms", scenario.duration_ms)),
                ("--seed", scenario.seed.to_string()),
                ("--preset's players", format!("{:?}", scenario.workload)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        facts.extend(host.sysctls.iter().cloned());
        facts
    };
    let (before, now) = (facts(old), facts(new));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let value = |facts: &BTreeMap<String, String>, name| facts.get(name).cloned().unwrap_or("unknown".into());
    let mut mismatches: Vec<Mismatch> = names
        .into_iter()
        .map(|name| Mismatch { what: name.clone(), old: value(&before, name), new: value(&now, name) })
        .filter(|it| it.old != it.new)
        .collect();
    // Links of the same name that are not the same.
    for link in &old.scenario.links {
        let other = new.scenario.links.iter().find(|other| other.name() == link.name());
        if let Some(other) = other.filter(|other| *other != link) {
            let what = format!("link {}", link.name());
            mismatches.push(Mismatch { what, old: format!("{link:?}"), new: format!("{other:?}") });
        }
    }
    mismatches
}

/// Two results side by side.
struct Both<'a> {
    old: (&'a Results, Observations),
    new: (&'a Results, Observations),
}

impl Both<'_> {
    /// The larger of the A/A noises of both.
    fn noise(&self, group: &Group, metric: Metric) -> Option<f64> {
        let of = |(results, table): &(&Results, Observations)| table.noise(results, group, metric);
        [of(&self.old), of(&self.new)].into_iter().flatten().reduce(f64::max)
    }

    /// A family of comparisons: the combinations of a group in one metric, each with what it was.
    fn changes(&self, group: &Group, keys: &[&RunKey], metric: Metric) -> Vec<Change> {
        let nothing = Series::new();
        let (old, new) = (&self.old.1, &self.new.1);
        let contests: Vec<Contest<'_>> = keys
            .iter()
            .map(|key| Contest {
                candidate: new.series(group, key.contender, 0, metric).unwrap_or(&nothing),
                against: old.series(group, key.contender, 0, metric).unwrap_or(&nothing),
                controls: Vec::new(),
            })
            .collect();
        let judged = judge(metric, &contests, self.noise(group, metric), self.new.0.scenario.seed);
        let change =
            |(key, (effect, outcome)): (&&RunKey, _)| Change { key: (*key).clone(), metric, effect, outcome };
        keys.iter().zip(judged).map(change).collect()
    }
}

/// What ran, but for the controls, in the order of the scenario.
fn combinations(results: &Results) -> Vec<RunKey> {
    Summary::from_results(results).rows.into_iter().map(|row| row.key).collect()
}

impl Changes {
    /// Of these two and nothing else.
    pub fn between(old: &Results, new: &Results) -> Self {
        let tables =
            Both { old: (old, Observations::from_results(old)), new: (new, Observations::from_results(new)) };
        let (before, now) = (combinations(old), combinations(new));
        let both: Vec<&RunKey> = before.iter().filter(|key| now.contains(key)).collect();
        let mut groups: Vec<Group> = both.iter().map(|key| key.group.clone()).collect();
        groups.dedup();
        let mut changes = Vec::new();
        for group in &groups {
            let keys: Vec<&RunKey> = both.iter().copied().filter(|key| key.group == *group).collect();
            for &metric in Metric::all_for(new.scenario.workload) {
                changes.extend(tables.changes(group, &keys, metric));
            }
        }
        let without = |of: &[RunKey], other: &[RunKey], side| -> Vec<(RunKey, &'static str)> {
            of.iter().filter(|key| !other.contains(key)).map(|key| (key.clone(), side)).collect()
        };
        let uncontrolled =
            |group: &Group| Metric::ALL.into_iter().all(|metric| tables.noise(group, metric).is_none());
        Self {
            mismatches: mismatches(old, new),
            changes,
            only_one: [without(&before, &now, "before"), without(&now, &before, "now")].concat(),
            without_control: groups.into_iter().filter(uncontrolled).collect(),
        }
    }

    /// Something is worse than it was, beyond noise.
    pub fn got_worse(&self) -> bool {
        self.changes.iter().any(|change| matches!(change.outcome, Outcome::Worse(_)))
    }

    /// What changed, for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for mismatch in &self.mismatches {
            let _ = writeln!(out, "warning: not the same {mismatch}");
        }
        for (key, side) in &self.only_one {
            let _ = writeln!(out, "only {side}: {} on {}", key.contender, key.group);
        }
        for group in &self.without_control {
            let _ = writeln!(out, "warning: no A/A control on {group}: its noise is unknown");
        }
        let (mut alike, mut unknown) = (0, 0);
        for Change { key, metric, effect, outcome } in &self.changes {
            match (outcome, effect) {
                (Outcome::NoDetectableDifference, _) => alike += 1,
                (Outcome::NotEnoughData, _) | (_, None) => unknown += 1,
                (_, Some(effect)) => {
                    let _ = writeln!(
                        out,
                        "{}: {} on {}, {}: {} {unit} before, {} {unit} now ({} to {}; {})",
                        outcome_label(*outcome),
                        key.contender,
                        key.group,
                        metric.name(),
                        metric.number(effect.against),
                        metric.number(effect.candidate),
                        metric.signed(effect.interval.low),
                        metric.signed(effect.interval.high),
                        evidence(effect, *outcome),
                        unit = metric.unit(),
                    );
                }
            }
        }
        let _ = writeln!(out, "{alike} without detectable difference, {unknown} without enough data");
        let _ = writeln!(
            out,
            "The noise floor is that within each result; how the host drifted between them is not in it."
        );
        out
    }
}
