//! The command `compare`: lists the changes between two results of the same comparison beyond
//! noise.
//!
//! The rules are those of a verdict ([`crate::analysis::verdict`]): the same floors and the same
//! test, with the new run against the old one.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use anyhow::ensure;
use clap::Args;

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{Contest, Effect, Observations, Outcome, Series, judge},
        summary::Summary,
    },
    data::results::Results,
    plan::scenario::{Group, RunKey},
    render::{narrative::evidence, verdict_text::outcome_label},
};

/// The exit code of a regression, distinct from success (0), a failed run (1) and a wrong flag (2).
pub const EXIT_WORSE: u8 = 3;

/// The flags of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// The older results.json
    old: PathBuf,
    /// The newer results.json
    new: PathBuf,
    /// Compare even if hosts or settings differ, and list the differences
    #[arg(long)]
    insist: bool,
}

/// A difference of host or settings between two results.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The combination, with `repeat` 0.
    pub key: RunKey,
    /// The metric.
    pub metric: Metric,
    /// The effect, new against old; `None` where both have too few repeats in common.
    pub effect: Option<Effect>,
    /// The verdict: better, worse or neither.
    pub outcome: Outcome,
}

/// The comparison of two results.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Hosts and settings that differ; empty unless the user insisted.
    pub mismatches: Vec<Mismatch>,
    /// The change of every combination that both results have, in every metric.
    pub changes: Vec<Change>,
    /// Combinations that only one result has, and the name of that result.
    pub only_one: Vec<(RunKey, &'static str)>,
    /// Groups without an A/A control in either result.
    pub without_control: Vec<Group>,
}

/// Compares two files, prints the changes, and returns whether a metric got worse.
///
/// # Errors
/// Files that cannot be read, share no combination, or differ in host or settings (unless
/// `--insist` is given).
pub fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let (old, new) = (Results::load(&args.old)?, Results::load(&args.new)?);
    let mismatches = mismatches(&old, &new);
    let names = mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    ensure!(
        mismatches.is_empty() || args.insist,
        "the results come from different hosts or settings, so a difference proves nothing:\n  {names}\nrun the old \
         version again on this host, or give --insist"
    );
    let changes = Changes::between(&old, &new);
    ensure!(
        !changes.changes.is_empty(),
        "the results share no combination: no transport ran on the same link at the same rate in both"
    );
    print!("{}", changes.text());
    Ok(changes.got_worse())
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} before, {} now", self.what, self.old, self.new)
    }
}

/// Lists the hosts and settings in which two results differ. The build may differ, since it is what
/// is compared. The combinations may differ too: [`Changes::only_one`] lists them.
pub fn mismatches(old: &Results, new: &Results) -> Vec<Mismatch> {
    let facts = |results: &Results| -> BTreeMap<String, String> {
        let (host, scenario) = (&results.provenance, &results.scenario);
        let mut facts = BTreeMap::from(
            [
                ("processor", host.cpu.clone()),
                ("processors", host.cpus.to_string()),
                ("system", host.system.clone()),
                ("kernel", host.kernel.clone()),
                ("--warmup", format!("{} ms", scenario.main_sampling().warmup_ms)),
                ("--duration", format!("{} ms", scenario.main_sampling().duration_ms)),
                ("--seed", scenario.seed.to_string()),
                ("workload of --preset", format!("{:?}", scenario.workload)),
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

/// Two results with their observations.
struct Both<'a> {
    old: (&'a Results, Observations),
    new: (&'a Results, Observations),
}

impl Both<'_> {
    /// Returns the larger A/A noise of both results.
    fn noise(&self, group: &Group, metric: Metric) -> Option<f64> {
        let noise = |(results, table): &(&Results, Observations)| table.noise(results, group, metric);
        [noise(&self.old), noise(&self.new)].into_iter().flatten().reduce(f64::max)
    }

    /// Judges one family of comparisons: every combination of a group in one metric, new against
    /// old.
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

/// Returns the combinations that ran, without the controls, in the order of the scenario.
fn combinations(results: &Results) -> Vec<RunKey> {
    Summary::from_results(results).rows.into_iter().map(|row| row.key).collect()
}

impl Changes {
    /// Compares two results.
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

    /// Returns whether a metric got worse beyond noise.
    pub fn got_worse(&self) -> bool {
        self.changes.iter().any(|change| matches!(change.outcome, Outcome::Worse(_)))
    }

    /// Returns the changes as text for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for mismatch in &self.mismatches {
            let _ = writeln!(out, "warning: different {mismatch}");
        }
        for (key, side) in &self.only_one {
            let _ = writeln!(out, "only {side}: {} on {}", key.contender, key.group);
        }
        for group in &self.without_control {
            let _ = writeln!(out, "warning: no A/A control on {group}, so the noise there is unknown");
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
            "The noise floor covers each result by itself. Drift of the host between the two is not part of it."
        );
        out
    }
}
