//! `--preset full`: every preset one after the other, each in a folder and with a report of its own, and a page above them.
//! A plan in the folder says what belongs to it, so that it can be interrupted anywhere.

use std::path::Path;

use anyhow::Context;
use maud::html;
use netduel_link::Testbed;
use serde::{Deserialize, Serialize};

use crate::{
    analysis::{capacity::capacities, verdict::Verdict},
    commands::comparison::carry_out,
    data::{
        criterion::{self, CRITERION},
        journal::Journal,
        results::{RESULTS_FILE, Results, write_atomic},
    },
    plan::{presets::Preset, scenario::Scenario},
    render::{html::document, narrative},
    run::{
        provenance,
        runner::{enter_testbed, estimate},
    },
};

/// Its name among the presets.
pub(crate) const NAME: &str = "full";
/// What belongs to it.
const PLAN_FILE: &str = "full.json";

#[derive(Serialize, Deserialize)]
struct Plan {
    scenarios: Vec<Scenario>,
    no_links: Option<String>,
}

/// Whether a folder holds such a series.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join(PLAN_FILE).exists()
}

/// Begins one.
pub(crate) fn run(folder: &Path, mut scenarios: Vec<Scenario>) -> anyhow::Result<()> {
    anyhow::ensure!(
        !is_in(folder),
        "{0} holds a series already: --resume {0}, or another --out",
        folder.display()
    );
    let (testbed, no_links) = match enter_testbed(scenarios.iter().flat_map(|scenario| &scenario.links)) {
        Ok(testbed) => (testbed, None),
        Err(error) => {
            eprintln!("no emulated links here, only loopback: {error}");
            for scenario in &mut scenarios {
                scenario.links.retain(|link| link.spec().is_none());
            }
            scenarios.retain(|scenario| !scenario.links.is_empty());
            (None, Some(error.to_string()))
        }
    };
    let plan = Plan { scenarios, no_links };
    write_atomic(&folder.join(PLAN_FILE), &serde_json::to_string(&plan)?)?;
    carry_out_all(folder, plan, testbed.as_ref())
}

/// Goes on with one.
pub(crate) fn resume(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(PLAN_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let plan: Plan = serde_json::from_str(&text)
        .with_context(|| format!("{} is of another version: begin again", path.display()))?;
    let testbed = enter_testbed(plan.scenarios.iter().flat_map(|scenario| &scenario.links))?;
    carry_out_all(folder, plan, testbed.as_ref())
}

fn carry_out_all(folder: &Path, plan: Plan, testbed: Option<&Testbed>) -> anyhow::Result<()> {
    let done = |scenario: &Scenario| folder.join(&scenario.preset).join(RESULTS_FILE).exists();
    let left_s: u64 =
        plan.scenarios.iter().filter(|it| !done(it)).map(|scenario| estimate(scenario).as_secs()).sum();
    eprintln!("{} presets, at most {} min in all", plan.scenarios.len(), left_s / 60 + 1);
    eprintln!("interrupted? go on with: netduel-report run --resume {}", folder.display());
    let mut failed = Vec::new();
    for scenario in &plan.scenarios {
        let own = folder.join(&scenario.preset);
        if done(scenario) {
            continue;
        }
        let (journal, results) = if Journal::is_in(&own) {
            Journal::resume(&own, &provenance::collect())?
        } else {
            let mut results = Results::empty(scenario.clone(), provenance::collect());
            results.no_links = plan.no_links.clone();
            results.benches = criterion::collect(Path::new(CRITERION));
            (Journal::begin(&own, &results)?, results)
        };
        eprintln!("\n{}: {} s at most", scenario.preset, estimate(scenario).as_secs());
        // What failed stands in its report, and does not keep the others from running.
        if let Err(error) = carry_out(&own, results, journal, testbed) {
            eprintln!("{}: {error:#}", scenario.preset);
            failed.push(scenario.preset.clone());
        }
    }
    let page = folder.join("index.html");
    write_atomic(&page, &index(folder, &plan)?)?;
    println!("all      {}", page.display());
    anyhow::ensure!(failed.is_empty(), "not everything ran in {}; see above", failed.join(", "));
    Ok(())
}

/// The page above all reports: each question with its answer in words.
fn index(folder: &Path, plan: &Plan) -> anyhow::Result<String> {
    let mut answers = Vec::new();
    for scenario in &plan.scenarios {
        let results = Results::load(&folder.join(&scenario.preset).join(RESULTS_FILE))?;
        let mut said = narrative::search_paragraphs(&results, &capacities(&results));
        if let Some(verdict) = Verdict::from_results(&results) {
            said.extend(narrative::paragraphs(&results, &verdict).into_iter().skip(1));
        }
        answers.push((scenario.preset.clone(), said));
    }
    let body = html! {
        header {
            p class="brand" { "Netduel" }
            h1 { "Every question" }
            p class="lead" { "Two players, a relay between them, small moves of which only the newest counts." }
        }
        main {
            @for (name, said) in &answers {
                section {
                    h2 { a href=(format!("{name}/report.html")) { (name) } }
                    @if let Some(preset) = Preset::named(name) { p class="scope" { (preset.question) } }
                    @for paragraph in said { p { (paragraph) } }
                }
            }
        }
    };
    Ok(document("Netduel: every question", &body))
}
