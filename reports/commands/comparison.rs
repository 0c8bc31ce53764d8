//! Carries out one comparison in its folder: the runs, the results file, and the reports.

use std::path::Path;

use anyhow::ensure;
use netduel_link::Testbed;

use crate::{
    analysis::capacity::without_result,
    commands::render::write_reports,
    data::{
        journal::Journal,
        results::{RESULTS_FILE, Results},
    },
    plan::scenario::Scenario,
    run::runner::{estimate, measure, runs_at_most},
};

pub(crate) fn announce(scenario: &Scenario, folder: &Path) {
    let about = if scenario.search.is_some() { "at most" } else { "about" };
    let time_s = estimate(scenario).as_secs().max(1);
    eprintln!("{}: {about} {} runs, {about} {time_s} s", scenario.preset, runs_at_most(scenario));
    eprintln!("interrupted? go on with: netduel-report run --resume {}", folder.display());
}

/// Runs what is left, and writes everything down.
pub(crate) fn carry_out(
    folder: &Path,
    mut results: Results,
    mut journal: Journal,
    testbed: Option<&Testbed>,
) -> anyhow::Result<()> {
    measure(&mut results, testbed, Some(&mut journal))?;
    results.save(&folder.join(RESULTS_FILE))?;
    journal.end()?;
    write_reports(folder, &results)?;
    println!("results  {}", folder.join(RESULTS_FILE).display());
    let (failed, missing) = (results.failures.len(), without_result(&results));
    // In a search, what breaks is what is looked for.
    ensure!(
        failed == 0 || results.scenario.search.is_some(),
        "{failed} of {} runs failed; the warnings above say why",
        failed + results.runs.len()
    );
    ensure!(missing.is_empty(), "no result for {}; the warnings above say why", missing.join(", "));
    Ok(())
}
