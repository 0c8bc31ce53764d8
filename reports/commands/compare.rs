//! The command `compare`: lists the changes from one result to another.
//!
//! A combination of transport and conditions is compared with its partner in the other result. Both
//! ran at different times, so their units of evidence are independent.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::ensure;
use clap::{Args, ValueEnum};

use crate::{
    analysis::{
        metrics::Metric,
        place::Place,
        repeats::repeats_of,
        summary::Summary,
        verdict::comparison::{Effect, Finding, effects},
    },
    commands::render::print,
    data::{
        results::{RESULTS_FILE, Results},
        run_result::RunResult,
    },
    plan::{sampling::Sampling, scenario::RunKey},
    render::{tables, verdict_text::finding_word, words},
};

/// The exit code of a change for the worse, distinct from success (0), a failed run (1) and a wrong
/// flag (2).
pub const EXIT_WORSE: u8 = 3;

/// The flags of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// The older result: a results.json, or its folder
    old: PathBuf,
    /// The newer result: a results.json, or its folder
    new: PathBuf,
    /// Compare even if hosts or settings differ, and list the differences
    #[arg(long)]
    insist: bool,
    /// The least evidence of a change for the worse that ends with exit code 3
    #[arg(long, value_enum, default_value_t = Evidence::Found)]
    fail_on: Evidence,
}

/// The evidence of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Evidence {
    /// Beyond what matters, for this comparison alone
    Indication,
    /// Beyond what matters, for all comparisons together
    Found,
}

/// A difference of host or settings between two results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    /// The property that differs, such as "kernel".
    pub what: String,
    /// The value in the old result.
    pub old: String,
    /// The value in the new result.
    pub new: String,
}

/// The change of one combination in one metric.
#[derive(Clone, Debug)]
pub struct Change {
    /// The combination in the new result, with `repeat` 0.
    pub key: RunKey,
    /// The metric.
    pub metric: Metric,
    /// The numbers, new against old; `None` if there is too little of either.
    pub effect: Option<Effect>,
    /// The finding for all comparisons together.
    pub finding: Finding,
    /// The finding for this comparison alone.
    pub alone: Finding,
}

/// The comparison of two results.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The hosts and settings that differ.
    pub mismatches: Vec<Mismatch>,
    /// The change of every combination with a partner, in every metric.
    pub changes: Vec<Change>,
    /// The combinations without a partner, and the result that has them.
    pub only_one: Vec<(RunKey, &'static str)>,
    /// Both results in one line each.
    compared: [String; 2],
}

/// Compares two results, prints the changes, and returns whether something got worse.
///
/// # Errors
/// Files that cannot be read, that share no combination, or that differ in host or settings (unless
/// `--insist` is given).
pub fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let [old, new] = [&args.old, &args.new].map(|path| load(path));
    let (old, new) = (old?, new?);
    let changes = Changes::between(&old, &new);
    ensure!(
        !changes.changes.is_empty(),
        "the results share no transport on the same link:\n{}",
        changes.compared_text()
    );
    let names = changes.mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    ensure!(
        changes.mismatches.is_empty() || args.insist,
        "the results differ in more than the program, so a change may come from that:\n  {names}\nrun the old \
         version again in the same way, or compare them all the same with --insist"
    );
    print(&changes.text());
    Ok(changes.got_worse(args.fail_on))
}

/// Reads a result from its file or its folder.
fn load(path: &Path) -> anyhow::Result<Results> {
    if path.is_dir() { Results::load(&path.join(RESULTS_FILE)) } else { Results::load(path) }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} before, {} now", self.what, self.old, self.new)
    }
}

/// Lists the hosts and plans in which two results differ. The build may differ, since it is what is
/// compared, and so may the seed: it is as arbitrary as the time of day.
pub fn mismatches(old: &Results, new: &Results) -> Vec<Mismatch> {
    let facts = |results: &Results| -> BTreeMap<String, String> {
        let (host, scenario) = (&results.provenance, &results.scenario);
        let mut facts = BTreeMap::from(
            [
                ("processor", host.cpu.clone()),
                ("processors", host.cpus.to_string()),
                ("system", host.system.clone()),
                ("kernel", host.kernel.clone()),
                ("workload of --preset", format!("{:?}", scenario.workload)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        facts.extend(host.sysctls.iter().cloned());
        for link in &scenario.links {
            let Sampling { warmup_ms, duration_ms, .. } = scenario.sampling(link);
            facts.insert(format!("--warmup on {}", link.name()), format!("{warmup_ms} ms"));
            facts.insert(format!("--duration on {}", link.name()), format!("{duration_ms} ms"));
        }
        facts
    };
    let (before, now) = (facts(old), facts(new));
    // A link or a kernel setting that one result lacks is no difference of both.
    let mut mismatches: Vec<Mismatch> = (before.into_iter())
        .filter_map(|(what, old)| Some(Mismatch { new: now.get(&what)?.clone(), what, old }))
        .filter(|it| it.old != it.new)
        .collect();
    // Two links may have one name and different settings.
    for link in &old.scenario.links {
        let other = new.scenario.links.iter().find(|other| other.name() == link.name());
        if let Some(other) = other.filter(|other| *other != link) {
            let what = format!("link {}", link.name());
            mismatches.push(Mismatch { what, old: format!("{link:?}"), new: format!("{other:?}") });
        }
    }
    mismatches
}

/// Returns the settings of a combination beside its transport and link, by their flags.
fn settings(key: &RunKey) -> [(&'static str, String); 10] {
    let (contender, group) = (key.contender, &key.group);
    [
        ("--relay", contender.relay.to_string()),
        ("--congestion", contender.congestion.to_string()),
        ("--nagle", contender.nagle.to_string()),
        ("--resumption", contender.resumption.to_string()),
        ("--ack-packets", contender.ack_packets.map_or("default".into(), |packets| packets.to_string())),
        ("--newest-of-burst", contender.newest_of_burst.to_string()),
        ("--rate", group.rate_hz.to_string()),
        ("--in-flight", group.in_flight.to_string()),
        ("--payload", group.payload_bytes.to_string()),
        ("--pairs", group.pairs.to_string()),
    ]
}

/// Returns the settings in which two combinations differ.
fn differences(old: &RunKey, new: &RunKey) -> Vec<Mismatch> {
    let pairs = settings(old).into_iter().zip(settings(new));
    pairs
        .filter(|(before, now)| before != now)
        .map(|((flag, old), (_, new))| Mismatch { what: flag.into(), old, new })
        .collect()
}

/// Returns the one combination that is most like this one; `None` if several are, or none can be.
fn partner<'a>(key: &RunKey, others: &[&'a RunKey]) -> Option<&'a RunKey> {
    let alike = |other: &&&RunKey| {
        other.contender.same_standing(&key.contender) && other.group.link == key.group.link
    };
    let mut ranked: Vec<(usize, &RunKey)> =
        others.iter().filter(alike).map(|other| (differences(key, other).len(), *other)).collect();
    ranked.sort_by_key(|it| it.0);
    match &ranked[..] {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, found), ..] => Some(found),
        [] => None,
    }
}

/// Returns the combinations that have a partner in the other result, old and new. Equal ones are
/// partners first.
fn partners<'a>(old: &'a [RunKey], new: &'a [RunKey]) -> Vec<(&'a RunKey, &'a RunKey)> {
    let mut pairs: Vec<(&RunKey, &RunKey)> =
        old.iter().filter_map(|key| Some((key, new.iter().find(|other| *other == key)?))).collect();
    let left_old: Vec<&RunKey> = old.iter().filter(|key| !new.contains(key)).collect();
    let left_new: Vec<&RunKey> = new.iter().filter(|key| !old.contains(key)).collect();
    let mutual = |key: &&'a RunKey| -> Option<(&'a RunKey, &'a RunKey)> {
        let found = partner(key, &left_new)?;
        (partner(found, &left_old)? == *key).then_some((*key, found))
    };
    pairs.extend(left_old.iter().filter_map(mutual));
    pairs
}

/// Returns the combinations that ran, without the controls, in the order of the scenario.
fn combinations(results: &Results) -> Vec<RunKey> {
    Summary::from_results(results).rows.into_iter().map(|row| row.key).collect()
}

/// Returns a result in one line: its time, its build, and what ran.
fn in_one_line(results: &Results, keys: &[RunKey]) -> String {
    let (facts, _) = tables::provenance(results);
    let fact = |name: &str| facts.iter().find(|it| it.0 == name).map_or("", |it| it.1.as_str()).to_owned();
    let unique = |names: Vec<String>| {
        let mut all: Vec<String> = Vec::new();
        names.into_iter().for_each(|name| {
            if !all.contains(&name) {
                all.push(name);
            }
        });
        words::list(&all, "and")
    };
    format!(
        "{}, netduel {}, seed {}: {} on {}",
        fact("started"),
        fact("netduel"),
        fact("seed"),
        unique(keys.iter().map(|key| key.contender.to_string()).collect()),
        unique(keys.iter().map(|key| words::link(&key.group.link)).collect()),
    )
}

impl Changes {
    /// Compares two results.
    pub fn between(old: &Results, new: &Results) -> Self {
        let (before, now) = (combinations(old), combinations(new));
        let pairs = partners(&before, &now);
        let changes = [Place::Link, Place::Loopback, Place::Remote]
            .into_iter()
            .flat_map(|place| {
                let here: Vec<_> = (pairs.iter().copied())
                    .filter(|(_, key)| Place::of(&new.scenario, &key.group) == place)
                    .collect();
                let metrics = Metric::judged(new.scenario.workload, place).iter();
                metrics.flat_map(|metric| family(*metric, place, (old, new), &here)).collect::<Vec<_>>()
            })
            .collect();
        let mut mismatches = mismatches(old, new);
        for mismatch in pairs.iter().flat_map(|(key, other)| differences(key, other)) {
            if !mismatches.contains(&mismatch) {
                mismatches.push(mismatch);
            }
        }
        let without = |of: &[RunKey], paired: Vec<&RunKey>, side| -> Vec<(RunKey, &'static str)> {
            of.iter().filter(|key| !paired.contains(key)).map(|key| (key.clone(), side)).collect()
        };
        Self {
            mismatches,
            changes,
            only_one: [
                without(&before, pairs.iter().map(|it| it.0).collect(), "before"),
                without(&now, pairs.iter().map(|it| it.1).collect(), "now"),
            ]
            .concat(),
            compared: [in_one_line(old, &before), in_one_line(new, &now)],
        }
    }

    /// Returns whether something got worse, with at least this evidence.
    pub fn got_worse(&self, evidence: Evidence) -> bool {
        let worse = |change: &Change| match evidence {
            Evidence::Found => change.finding == Finding::Worse,
            Evidence::Indication => change.finding == Finding::Worse || change.alone == Finding::Worse,
        };
        self.changes.iter().any(worse)
    }

    fn compared_text(&self) -> String {
        let [old, new] = &self.compared;
        format!("old  {old}\nnew  {new}\n")
    }

    /// Returns the comparison as text for a terminal.
    pub fn text(&self) -> String {
        let mut out = self.compared_text();
        for mismatch in &self.mismatches {
            let _ = writeln!(out, "differs: {mismatch}");
        }
        for (key, side) in &self.only_one {
            let _ = writeln!(out, "only {side}: {} on {}", key.contender, key.group);
        }
        let mut metrics: Vec<&str> = self.changes.iter().map(|change| change.metric.name()).collect();
        metrics.dedup();
        metrics.sort_unstable();
        metrics.dedup();
        let _ = writeln!(out, "\n{} comparisons: {}", self.changes.len(), metrics.join(", "));
        let differs = |finding: Finding| matches!(finding, Finding::Better | Finding::Worse);
        for change in self.changes.iter().filter(|it| differs(it.finding)) {
            let _ = writeln!(out, "{}: {}", finding_word(change.finding), change.numbers());
        }
        let indicated = |change: &&Change| !differs(change.finding) && differs(change.alone);
        for change in self.changes.iter().filter(indicated) {
            let _ = writeln!(
                out,
                "indication, {}: {}, in this comparison alone",
                finding_word(change.alone),
                change.numbers()
            );
        }
        let count = |finding: Finding| self.changes.iter().filter(|it| it.finding == finding).count();
        let _ = writeln!(
            out,
            "{} better, {} worse, {} the same, {} cannot tell",
            count(Finding::Better),
            count(Finding::Worse),
            count(Finding::Same),
            count(Finding::CannotTell)
        );
        out
    }
}

impl Change {
    fn numbers(&self) -> String {
        let Self { key, metric, effect, .. } = self;
        let Some(effect) = effect else {
            return format!("{} on {}, {}", key.contender, key.group, metric.name());
        };
        format!(
            "{} on {}, {}: {} {unit} before, {} {unit} now ({}; together {} to {})",
            key.contender,
            key.group,
            metric.name(),
            metric.number(effect.against),
            metric.number(effect.candidate),
            metric.signed(effect.difference),
            metric.signed(effect.simultaneous.low),
            metric.signed(effect.simultaneous.high),
            unit = metric.unit(),
        )
    }
}

/// Compares all combinations of a place with their partners in one metric, as one family.
///
/// On links, equal seeds give both results the same bad periods. Elsewhere nothing pairs two runs
/// of different times.
fn family(
    metric: Metric,
    place: Place,
    (old, new): (&Results, &Results),
    pairs: &[(&RunKey, &RunKey)],
) -> Vec<Change> {
    let paired = place == Place::Link && old.scenario.seed == new.scenario.seed;
    let runs: Vec<[Vec<&RunResult>; 2]> =
        pairs.iter().map(|(before, now)| [repeats_of(new, now), repeats_of(old, before)]).collect();
    let found = effects(metric, &runs, paired, new.scenario.seed);
    let change = |((_, key), effect): (&(&RunKey, &RunKey), Option<Effect>)| {
        let finding = |of: fn(&Effect) -> Finding| effect.as_ref().map_or(Finding::CannotTell, of);
        let (finding, alone) = (finding(Effect::finding), finding(Effect::finding_alone));
        Change { key: (*key).clone(), metric, effect, finding, alone }
    };
    pairs.iter().zip(found).map(change).collect()
}
