//! `--seeds N`: runs a comparison with several seeds, each in a folder of its own, and lists what
//! each recommends. A recommendation that changes with the seed rests on chance.

use std::{fmt::Write, path::Path};

use anyhow::{Context, ensure};
use netduel_link::Testbed;
use serde::{Deserialize, Serialize};

use crate::{
    analysis::verdict::Verdict,
    commands::comparison::begin_or_resume,
    data::results::{RESULTS_FILE, Results, write_atomic},
    plan::scenario::Scenario,
    run::runner::{enter_testbed, estimate},
};

/// The plan file of a sweep over seeds.
const PLAN_FILE: &str = "seeds.json";
/// The table of the recommendations.
const TABLE_FILE: &str = "seeds.md";

/// A comparison and the number of its seeds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// The comparison with the first seed; each further seed is one higher.
    pub(crate) scenario: Scenario,
    /// The reason for missing links, if any.
    pub(crate) no_links: Option<String>,
    /// The number of seeds.
    pub(crate) count: u32,
}

/// Returns whether a folder holds a sweep over seeds.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join(PLAN_FILE).exists()
}

/// Starts a sweep in a folder.
pub(crate) fn run(folder: &Path, sweep: Sweep, testbed: Option<&Testbed>) -> anyhow::Result<()> {
    ensure!(
        !is_in(folder),
        "{0} already holds a sweep over seeds: continue with --resume {0}, or choose another --out",
        folder.display()
    );
    write_atomic(&folder.join(PLAN_FILE), &serde_json::to_string(&sweep)?)?;
    carry_out(folder, &sweep, testbed)
}

/// Resumes the sweep in a folder.
pub(crate) fn resume(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(PLAN_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sweep: Sweep = serde_json::from_str(&text).with_context(|| {
        format!("{} comes from another version: start again in another folder", path.display())
    })?;
    let testbed = enter_testbed(&sweep.scenario.links)?;
    carry_out(folder, &sweep, testbed.as_ref())
}

fn carry_out(folder: &Path, sweep: &Sweep, testbed: Option<&Testbed>) -> anyhow::Result<()> {
    let seeds = || (0..sweep.count).map(|at| sweep.scenario.seed.wrapping_add(u64::from(at)));
    let own = |seed: u64| folder.join(format!("seed-{seed}"));
    let left = seeds().filter(|seed| !own(*seed).join(RESULTS_FILE).exists()).count() as u64;
    let left_s = left * estimate(&sweep.scenario).as_secs();
    eprintln!("{} seeds, {left} of them to run, about {} min", sweep.count, left_s / 60 + 1);
    eprintln!("if interrupted, continue with: netduel-reports run --resume {}", folder.display());
    let mut failed = Vec::new();
    for seed in seeds().filter(|seed| !own(*seed).join(RESULTS_FILE).exists()) {
        let scenario = Scenario { seed, ..sweep.scenario.clone() };
        // The other seeds run all the same.
        if let Err(error) = begin_or_resume(&own(seed), &scenario, sweep.no_links.clone(), testbed) {
            eprintln!("seed {seed}: {error:#}");
            failed.push(seed.to_string());
        }
    }
    let mut advice = Vec::new();
    for seed in seeds() {
        // A comparison that stopped before its results is among the failed ones.
        if let Ok(results) = Results::load(&own(seed).join(RESULTS_FILE)) {
            advice.push((seed, recommendations(&results)));
        }
    }
    let text = table(&advice);
    write_atomic(&folder.join(TABLE_FILE), &text)?;
    println!("{text}");
    println!("table    {}", folder.join(TABLE_FILE).display());
    ensure!(failed.is_empty(), "some runs failed with seed {}; see the messages above", failed.join(", "));
    Ok(())
}

/// The groups of a comparison by name, each with the recommendation.
type Advice = Vec<(String, String)>;

/// Returns the recommendation of each group.
fn recommendations(results: &Results) -> Advice {
    let Some(verdict) = Verdict::from_results(results) else { return Vec::new() };
    verdict.groups.iter().map(|group| (group.group.to_string(), group.recommendation())).collect()
}

/// Returns a Markdown table: how many seeds recommend what for each group, and what each seed
/// recommends.
fn table(advice: &[(u64, Advice)]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for (name, _) in advice.iter().flat_map(|(_, advice)| advice) {
        if !groups.contains(&name.as_str()) {
            groups.push(name);
        }
    }
    let of = |advice: &Advice, group: &str| {
        advice.iter().find(|(name, _)| name == group).map_or("no result".to_owned(), |(_, said)| said.clone())
    };
    let mut text = String::from("| Group | Recommendation | Seeds |\n|---|---|---|\n");
    for group in &groups {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for said in advice.iter().map(|(_, advice)| of(advice, group)) {
            match counts.iter_mut().find(|(known, _)| *known == said) {
                Some((_, count)) => *count += 1,
                None => counts.push((said, 1)),
            }
        }
        // A stable sort keeps the order of the seeds among equal counts.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (said, count) in counts {
            let _ = writeln!(text, "| {group} | {said} | {count} of {} |", advice.len());
        }
    }
    let _ = writeln!(text, "\n| Seed | {} |\n|---|{}", groups.join(" | "), "---|".repeat(groups.len()));
    for (seed, advice) in advice {
        let said: Vec<String> = groups.iter().map(|group| of(advice, group)).collect();
        let _ = writeln!(text, "| {seed} | {} |", said.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_counts_the_seeds() {
        let said = |seed, what: &str| (seed, vec![("wifi, 60 Hz".to_owned(), what.to_owned())]);
        let text = table(&[said(7, "enet"), said(8, "tls"), said(9, "tls"), (10, Vec::new())]);
        let expected = "\
| Group | Recommendation | Seeds |
|---|---|---|
| wifi, 60 Hz | tls | 2 of 4 |
| wifi, 60 Hz | enet | 1 of 4 |
| wifi, 60 Hz | no result | 1 of 4 |

| Seed | wifi, 60 Hz |
|---|---|
| 7 | enet |
| 8 | tls |
| 9 | tls |
| 10 | no result |
";
        assert_eq!(text, expected);
    }
}
