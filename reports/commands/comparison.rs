//! Runs one comparison in its folder: the runs, the results file, and the reports.

use std::path::Path;

use anyhow::ensure;
use netduel_link::Testbed;

use crate::{
    analysis::capacity::without_result,
    commands::render::{print, write_reports},
    data::{
        criterion::{self, CRITERION},
        journal::Journal,
        results::{RESULTS_FILE, Results},
    },
    plan::scenario::Scenario,
    render::{answer::foresight, text::COLUMNS, words::wrapped},
    run::{
        evidence::Evidence,
        provenance,
        runner::{estimate, measure, runs_at_most},
    },
};

/// Prints the number of runs, the estimated time, the smallest differences that the runs can find,
/// and the command that resumes.
pub(crate) fn announce(scenario: &Scenario, folder: &Path) {
    let about = if scenario.search.is_some() { "at most" } else { "about" };
    let time_s = estimate(scenario).as_secs().max(1);
    eprintln!("{}: {about} {} runs, {about} {time_s} s", scenario.preset, runs_at_most(scenario));
    for sentence in foresight::sentences(scenario) {
        eprint!("{}", wrapped(&sentence, COLUMNS));
    }
    eprintln!("if interrupted, continue with: netduel-reports run --resume {}", folder.display());
}

/// Begins the comparison of a scenario in its folder, or resumes it there, and carries it out.
pub(crate) fn begin_or_resume(
    folder: &Path,
    scenario: &Scenario,
    no_links: Option<String>,
    testbed: Option<&Testbed>,
) -> anyhow::Result<()> {
    if Journal::is_in(folder) {
        let (journal, results) = Journal::resume(folder, &provenance::collect())?;
        return carry_out(folder, results, journal, testbed);
    }
    let mut results = Results::empty(scenario.clone(), provenance::collect());
    results.no_links = no_links;
    begin(folder, results, testbed)
}

/// Begins a comparison in its folder, and carries it out.
pub(crate) fn begin(folder: &Path, mut results: Results, testbed: Option<&Testbed>) -> anyhow::Result<()> {
    results.benches = criterion::collect(Path::new(CRITERION));
    let journal = Journal::begin(folder, &results)?;
    carry_out(folder, results, journal, testbed)
}

/// Runs the remaining runs, then writes the results file and the reports.
pub(crate) fn carry_out(
    folder: &Path,
    mut results: Results,
    mut journal: Journal,
    testbed: Option<&Testbed>,
) -> anyhow::Result<()> {
    let evidence = Evidence::new(folder, results.scenario.keep);
    measure(&mut results, testbed, Some(&mut journal), evidence.as_ref())?;
    results.save(&folder.join(RESULTS_FILE))?;
    journal.end()?;
    write_reports(folder, &results)?;
    print(&format!("results  {}\n", folder.join(RESULTS_FILE).display()));
    for said in evidence.map(|it| it.finish(&results)).transpose()?.into_iter().flatten() {
        print(&format!("{said}\n"));
    }
    let (failed, missing) = (results.failures.len(), without_result(&results));
    // A search looks for the value that fails, so its failures are results.
    ensure!(
        failed == 0 || results.scenario.search.is_some(),
        "{failed} of {} runs failed; see the warnings above",
        failed + results.runs.len()
    );
    ensure!(missing.is_empty(), "no result for {}; see the warnings above", missing.join(", "));
    Ok(())
}
