//! The answer of a comparison in plain words: what to use on each link, how sure that is, and what
//! would settle it. Pure.

use crate::{
    analysis::{
        metrics::Metric,
        place::Place,
        verdict::{
            GroupVerdict, Unit, Verdict,
            choice::{Certainty, Choice, Cost, DecidedBy, Doubt, Settle},
            comparison::Finding,
            link_met::LinkMet,
        },
    },
    data::results::Results,
    plan::{contender::Contender, scenario::Network},
    render::{
        answer::{
            headline::{headline, nobody_notices, run},
            rerun,
        },
        words::{capital, list, place, seconds, time, times},
    },
};

/// The width of a cost's interval, as a share of the cost, from which on a sentence shows it.
const RANGE_SHARE: f64 = 0.3;

/// The answer of a comparison.
pub struct Answer {
    /// The advice in one line.
    pub headline: String,
    /// The contenders, links and windows of the run.
    pub run: String,
    /// The answers of the groups, loopback last.
    pub places: Vec<PlaceAnswer>,
}

/// The answer of one group.
pub struct PlaceAnswer {
    /// The advice and its reasons.
    pub advice: String,
    /// Further facts: the other contenders, and those that do not encrypt.
    pub more: Vec<String>,
    /// The certainty of the advice, in one word and in a sentence; `None` without advice.
    pub sure: Option<(Certainty, String)>,
    /// The command that would settle what is open, behind its words.
    pub settle: Option<(&'static str, String)>,
}

/// Returns the answer of a comparison.
pub fn answer(results: &Results, verdict: &Verdict) -> Answer {
    let mut groups: Vec<&GroupVerdict> = verdict.groups.iter().collect();
    groups.sort_by_key(|group| group.place == Place::Loopback);
    let teller = |group| Teller { results, verdict, group };
    Answer {
        headline: headline(results, &groups),
        run: run(results, verdict),
        places: groups.into_iter().map(|group| teller(group).tell()).collect(),
    }
}

/// Returns the word of a certainty.
pub fn certainty_word(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Strong => "strong",
        Certainty::Some => "some",
        Certainty::None => "none",
    }
}

/// One group with all that its sentences need.
struct Teller<'a> {
    results: &'a Results,
    verdict: &'a Verdict,
    group: &'a GroupVerdict,
}

impl Teller<'_> {
    fn tell(&self) -> PlaceAnswer {
        if self.group.place == Place::Loopback {
            return self.costs();
        }
        let few = self.group.met.filter(|met| !met.enough());
        match (few, &self.group.choice, &self.group.choice_of_all) {
            (Some(met), chosen, of_all) => self.too_little(&met, chosen.as_ref().or(of_all.as_ref())),
            (None, Some(choice), of_all) => {
                let mut told = self.advised(choice, of_all.as_ref());
                told.more.extend(self.others(choice));
                told.more.extend(of_all.as_ref().and_then(|all| self.if_nothing_is_encrypted(choice, all)));
                told
            }
            (None, None, Some(choice)) => {
                let mut told = self.advised(choice, None);
                told.more.extend(self.others(choice));
                told.more.push(
                    "None that encrypts ran: whoever is on the way can read and change the moves.".into(),
                );
                told
            }
            (None, None, None) => self.nothing(),
        }
    }

    /// Returns the link behind its preposition.
    fn place(&self) -> String {
        let name = place(&self.results.scenario, &self.group.group);
        match self.group.place {
            Place::Remote => format!("to {}", self.group.group.link),
            Place::Link | Place::Loopback => format!("on {name}"),
        }
    }

    /// Says what to use, or between what it is open.
    fn advised(&self, choice: &Choice, of_all: Option<&Choice>) -> PlaceAnswer {
        let advice = match choice.certainty {
            Certainty::Strong | Certainty::Some => {
                let cost = self.cost(choice).map(|cost| format!("it {cost}"));
                let facts: Vec<String> = std::iter::once(self.felt(choice)).chain(cost).collect();
                let (place, name) = (capital(&self.place()), named(choice.contender));
                format!("{place} use {name}: {}.", facts.join("; "))
            }
            Certainty::None => self.undecided(choice),
        };
        PlaceAnswer {
            advice,
            more: Vec::new(),
            sure: Some((choice.certainty, self.sure(choice))),
            settle: self.settle(choice.settle.or(of_all.and_then(|all| all.settle))),
        }
    }

    /// Says between which contenders it is open. None of them is put before the others.
    fn undecided(&self, choice: &Choice) -> String {
        let (place, open) = (capital(&self.place()), self.between(choice));
        let names = list(&open, "and");
        let metric = self.felt_metric();
        let values = || open.iter().filter_map(|it| Some(self.group.estimate(metric, *it)?.value));
        let (least, most) =
            (values().fold(choice.felt.value, f64::min), values().fold(choice.felt.value, f64::max));
        let range = match (time(least), time(most)) {
            (least, most) if least == most => least,
            (least, most) => format!("{least} to {most}"),
        };
        let felt = match metric {
            Metric::AgeP99 => format!("your opponent's position is at most {range} old 99 % of the time"),
            _ => format!("half of the players see the opponent's first move within {range} of connecting"),
        };
        if nobody_notices(choice) {
            return format!("{place} a player does not notice which of {names} you use: {felt}.");
        }
        let close = if most - least <= metric.margin(least) {
            ", closer together than a player notices, but this run is too short to show that"
        } else {
            ""
        };
        format!("{place} nothing is decided between {names}: so far {felt}{close}.")
    }

    /// Returns a choice and the rivals that a run does not separate from it, in the order of the
    /// scenario.
    fn between(&self, choice: &Choice) -> Vec<Contender> {
        let is_open = |it: &Contender| *it == choice.contender || choice.open.contains(it);
        self.verdict.contenders.iter().copied().filter(is_open).collect()
    }

    /// Says what each contender costs, where no network decides.
    fn costs(&self) -> PlaceAnswer {
        let reference = self.verdict.reference;
        let metric = Metric::paid(self.results.scenario.workload);
        let effects =
            self.verdict.contenders.iter().filter(|it| **it != reference).filter_map(|&contender| {
                let comparison = self.group.comparison(metric, contender, reference)?;
                Some((contender, comparison.effect?.ratio(), comparison.finding))
            });
        let mut effects: Vec<(Contender, f64, Finding)> = effects.collect();
        effects.sort_by(|a, b| a.1.total_cmp(&b.1));
        let of =
            |finding: &dyn Fn(Finding) -> bool| effects.iter().filter(|it| finding(it.2)).collect::<Vec<_>>();
        let found = of(&|it| matches!(it, Finding::Better | Finding::Worse));
        let found: Vec<String> =
            found.iter().map(|(contender, ratio, _)| format!("{contender} {ratio:.1} times")).collect();
        let names = |all: &[&(Contender, f64, Finding)]| {
            list(&all.iter().map(|(contender, ..)| *contender).collect::<Vec<_>>(), "and")
        };
        let (same, open) = (of(&|it| it == Finding::Same), of(&|it| it == Finding::CannotTell));
        let parts = [
            (!found.is_empty()).then(|| format!("{} that of {reference}", list(&found, "and"))),
            (!same.is_empty()).then(|| format!("the same: {}", names(&same))),
            (!open.is_empty()).then(|| format!("cannot tell from {reference}: {}", names(&open))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let unit = match metric {
            Metric::ConnectCpu => "connection",
            _ => "move",
        };
        let told = if parts.is_empty() {
            format!("The cost was not compared ({}).", self.units())
        } else {
            format!("Server CPU per {unit}: {}.", parts.join("; "))
        };
        let alone = self.verdict.groups.iter().all(|group| group.place == Place::Loopback);
        let why = "Loopback has no network, so this run says what each transport costs and not which is \
                   fresh. Add --link wifi-busy for that.";
        PlaceAnswer {
            advice: told,
            more: alone.then(|| why.to_owned()).into_iter().collect(),
            sure: None,
            settle: None,
        }
    }

    /// Says how old the position is over the choice and over the reference.
    fn felt(&self, choice: &Choice) -> String {
        let reference = self.verdict.reference;
        let metric = self.felt_metric();
        let age = time(choice.felt.value);
        let what = match metric {
            Metric::AgeP99 => format!("your opponent's position is at most {age} old 99 % of the time"),
            _ => format!("half of the players see the opponent's first move within {age} of connecting"),
        };
        let of_reference = choice.felt_reference.filter(|_| choice.contender != reference);
        let Some(of_reference) = of_reference.map(|it| time(it.value)) else { return what };
        match self.group.finding(metric, choice.contender, reference) {
            Finding::Same => format!("{what}, the same as over {reference}"),
            Finding::CannotTell => {
                format!("{what}, {} over {reference} (too close to tell)", of_reference)
            }
            Finding::Better | Finding::Worse => format!("{what}, {} over {reference}", of_reference),
        }
    }

    fn felt_metric(&self) -> Metric {
        Metric::felt(self.results.scenario.workload)
    }

    /// Returns the cost of a choice behind "it".
    fn cost(&self, choice: &Choice) -> Option<String> {
        let reference = self.verdict.reference;
        if self.group.place == Place::Remote {
            let bytes = choice.bytes.filter(|_| choice.contender != reference);
            return bytes.map(|Cost { ratio, .. }| match times(ratio).as_str() {
                "about" => format!("needs as many bytes as {reference}"),
                times => format!("needs {times} the bytes of {reference}"),
            });
        }
        let Cost { ratio, interval, .. } = choice.cpu.filter(|_| choice.contender != reference)?;
        let range = if interval.high - interval.low > RANGE_SHARE * ratio {
            format!(" ({:.1} to {:.1} times)", interval.low, interval.high)
        } else {
            String::new()
        };
        Some(match times(ratio).as_str() {
            "about" => format!("costs the server as much CPU as {reference}{range}"),
            times => format!("costs the server {times} the CPU of {reference}{range}"),
        })
    }

    /// Names the contenders that do as well as the choice, and those that do not.
    fn others(&self, choice: &Choice) -> Vec<String> {
        let mut more = Vec::new();
        // An open choice has no rank by which others would be dearer.
        if choice.certainty != Certainty::None {
            let (dearer, rest): (Vec<Contender>, Vec<Contender>) =
                choice.alike.iter().partition(|it| self.is_dearer(choice, **it));
            let than =
                if choice.by == DecidedBy::Bytes { "with more bytes" } else { "dearer for the server" };
            if !dearer.is_empty() {
                more.push(format!("As fresh, but {than}: {}.", list(&dearer, "and")));
            }
            if !rest.is_empty() {
                more.push(format!("As fresh: {}.", list(&rest, "and")));
            }
        }
        let metric = self.felt_metric();
        let found = |it: &&Contender| self.group.finding(metric, **it, choice.contender) == Finding::Worse;
        let older: Vec<String> = (choice.worse.iter().filter(found))
            .map(|it| match self.group.estimate(metric, *it) {
                Some(estimate) => format!("{it} ({})", time(estimate.value)),
                None => it.to_string(),
            })
            .collect();
        if !older.is_empty() {
            let what = if metric == Metric::AgeP99 { "Noticeably older" } else { "Noticeably slower" };
            more.push(format!("{what}: {}.", list(&older, "and")));
        }
        more
    }

    /// Whether a rival is shown to cost more than the choice, in the cost that decided.
    fn is_dearer(&self, choice: &Choice, rival: Contender) -> bool {
        let metric = match choice.by {
            DecidedBy::Cpu => Metric::paid(self.results.scenario.workload),
            DecidedBy::Bytes => Metric::Bytes,
            DecidedBy::Nothing | DecidedBy::Freshness | DecidedBy::Only => return false,
        };
        let costs = self.verdict.cost_of(&self.group.group);
        costs.is_some_and(|it| it.finding(metric, rival, choice.contender) == Finding::Worse)
    }

    /// Says what to use if nothing need be encrypted.
    fn if_nothing_is_encrypted(&self, choice: &Choice, of_all: &Choice) -> Option<String> {
        if of_all.certainty == Certainty::None {
            let mut plain = self.between(of_all);
            plain.retain(|it| !it.transport.encrypted());
            let names = list(&plain, "and");
            return (!plain.is_empty()).then(|| match (nobody_notices(of_all), choice.certainty) {
                (true, _) => format!("Nor does a player notice a difference to {names}, without encryption."),
                (false, Certainty::None) => format!("The same is open without encryption: {names}."),
                (false, _) => format!("If nothing need be encrypted, {names} may do as well: that is open."),
            });
        }
        if of_all.contender == choice.contender {
            return (self.verdict.contenders.iter().any(|it| !it.transport.encrypted()))
                .then(|| "Nothing without encryption is a better choice.".into());
        }
        let at_most = if self.felt_metric() == Metric::AgeP99 { "at most " } else { "" };
        let age = format!("{at_most}{}", time(of_all.felt.value));
        let cost = self.cost(of_all).filter(|_| self.group.place != Place::Remote);
        let facts: Vec<String> = std::iter::once(age).chain(cost).collect();
        let sure = if of_all.certainty == choice.certainty {
            String::new()
        } else {
            format!(" How sure: {}.", certainty_word(of_all.certainty))
        };
        let (name, facts) = (of_all.contender, facts.join("; "));
        Some(format!("If nothing need be encrypted: {name} ({facts}).{sure}"))
    }

    /// Says that a link lost too little for advice.
    fn too_little(&self, met: &LinkMet, best: Option<&Choice>) -> PlaceAnswer {
        let name = capital(&place(&self.results.scenario, &self.group.group));
        let window = seconds(met.seconds);
        let advice = match (met.lost_packets, met.bad_periods) {
            (0, _) => {
                format!("{name} lost nothing in these {window}, so this run does not say what to use there.")
            }
            (_, 0 | 1) => format!(
                "{name} lost packets in one bad period alone in these {window}: that is chance, and no advice."
            ),
            (_, periods) => format!(
                "{name} lost packets in only {periods} separate bad periods in these {window}, too few for advice \
                 ({} are enough).",
                met.bad_periods_wanted
            ),
        };
        let metric = self.felt_metric();
        let ages = || {
            let arms = self.group.figures.estimates.iter().filter(|it| it.metric == metric && it.arm == 0);
            arms.map(|it| it.value)
        };
        let range = ages().reduce(f64::min).zip(ages().reduce(f64::max));
        let more = range.map(|(least, most)| match (time(least), time(most)) {
            (least, most) if least == most => format!("So far each was at most {most} old 99 % of the time."),
            (least, most) => format!("So far they were at most {least} to {most} old 99 % of the time."),
        });
        PlaceAnswer {
            advice,
            more: more.into_iter().collect(),
            sure: Some((Certainty::None, "How sure: not at all.".into())),
            settle: self
                .settle(met.seconds_wanted.map(Settle::LinkSeconds).or(best.and_then(|it| it.settle))),
        }
    }

    /// Says that there was nothing to choose.
    fn nothing(&self) -> PlaceAnswer {
        let place = capital(&self.place());
        let metric = self.felt_metric();
        let advice = match &self.verdict.contenders[..] {
            [only] => {
                let age = self.group.estimate(metric, *only).map(|it| time(it.value));
                let felt = age
                    .map(|age| format!(" Your opponent's position was at most {age} old 99 % of the time."));
                format!("{place} only {only} ran, so there is nothing to choose.{}", felt.unwrap_or_default())
            }
            _ => format!("{place} there is too little data to choose from ({}).", self.units()),
        };
        PlaceAnswer { advice, more: Vec::new(), sure: None, settle: None }
    }

    /// Says how sure a choice is, and why.
    fn sure(&self, choice: &Choice) -> String {
        let doubts: Vec<String> = choice.doubts.iter().map(|it| self.doubt(choice, it)).collect();
        let base = self.units();
        let reasons = match &doubts[..] {
            [] if choice.certainty == Certainty::Strong => {
                ", and it holds for all comparisons together".into()
            }
            [] => String::new(),
            doubts => format!("; {}", doubts.join("; ")),
        };
        let word = match (choice.certainty, choice.unnoticed.filter(|_| nobody_notices(choice))) {
            (Certainty::None, Some(unnoticed)) => {
                format!("{} that no player notices, and not at all which to use", certainty_word(unnoticed))
            }
            (Certainty::None, None) => "not at all".into(),
            (certainty, _) => certainty_word(certainty).into(),
        };
        format!("How sure: {word}. {base}{reasons}.")
    }

    /// Returns a doubt as a clause. What is open between several is told of all of them.
    fn doubt(&self, choice: &Choice, doubt: &Doubt) -> String {
        match doubt {
            Doubt::NotShown(_) if nobody_notices(choice) => {
                "which of them costs the server least is open".into()
            }
            Doubt::NotShown(_) if choice.certainty == Certainty::None => {
                "this run does not separate them".into()
            }
            Doubt::ShownAlone(rivals) if choice.certainty == Certainty::None => format!(
                "{} found behind by one comparison, but not among all together",
                match &rivals[..] {
                    [one] => format!("{one} is"),
                    all => format!("{} are", list(all, "and")),
                }
            ),
            other => other.to_string(),
        }
    }

    /// Returns what the evidence is, such as "34 s with 41 bad periods".
    fn units(&self) -> String {
        let GroupVerdict { figures, unit, met, .. } = self.group;
        let units = figures.units();
        let base = match (unit, met) {
            (_, Some(met)) => seconds(met.seconds),
            (Unit::Second, None) => format!("{units} s"),
            (Unit::Round, _) => format!("{units} rounds"),
        };
        match met.filter(|met| met.asked_loss) {
            Some(LinkMet { bad_periods, .. }) => format!("{base} with {bad_periods} bad periods"),
            None => base,
        }
    }

    /// Returns what would settle the question, and the command.
    fn settle(&self, settle: Option<Settle>) -> Option<(&'static str, String)> {
        let link = rerun::of_link(self.results, &self.group.group.link);
        let with = |link: Option<(&'static str, String)>, flag: &'static str, value: String| {
            let changes: Vec<(&str, String)> = link.into_iter().chain([(flag, value)]).collect();
            rerun::command(self.results, &changes)
        };
        Some(match settle? {
            Settle::LinkSeconds(seconds) => {
                ("To settle it:", with(link, "--duration", format!("{seconds}s")))
            }
            // Rounds are played where the cost is judged.
            Settle::Rounds(rounds) => {
                let place = match self.group.place {
                    Place::Link => rerun::of_link(self.results, &Network::Loopback.name()),
                    Place::Loopback | Place::Remote => None,
                };
                ("To settle it:", with(place, "--repeat", rounds.to_string()))
            }
            Settle::IdleMachine => {
                ("Leave the machine idle and run it again:", rerun::command(self.results, &[]))
            }
        })
    }
}

/// Returns a contender's name, explained if it is not a transport as it comes.
fn named(contender: Contender) -> String {
    if contender.tuned {
        format!("{contender} (TCP with timers set for games)")
    } else {
        contender.to_string()
    }
}
