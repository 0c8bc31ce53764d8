//! `--preset full`: runs every preset in turn, each with its own folder and report, and writes an
//! index page. A plan file in the folder lists the presets, so that the suite can be resumed after
//! any interruption.

use std::path::Path;

use anyhow::Context;
use maud::html;
use netduel_link::Testbed;
use serde::{Deserialize, Serialize};

use crate::{
    analysis::{capacity::capacities, verdict::Verdict},
    commands::{comparison::begin_or_resume, render::print},
    data::results::{RESULTS_FILE, Results, write_atomic},
    plan::{presets::Preset, scenario::Scenario},
    render::{answer::sentences, html::document, search_text},
    run::runner::{enter_testbed, estimate},
};

/// The name of the suite among the presets.
pub(crate) const NAME: &str = "full";
/// The plan file, which lists the presets of a suite.
const PLAN_FILE: &str = "full.json";

/// The scenarios of a suite, and the reason for missing links, if any.
#[derive(Serialize, Deserialize)]
struct Plan {
    scenarios: Vec<Scenario>,
    no_links: Option<String>,
}

/// Returns whether a folder holds a suite.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join(PLAN_FILE).exists()
}

/// Starts a suite in a folder.
pub(crate) fn run(folder: &Path, mut scenarios: Vec<Scenario>) -> anyhow::Result<()> {
    anyhow::ensure!(
        !is_in(folder),
        "{0} already holds a suite: continue with --resume {0}, or choose another --out",
        folder.display()
    );
    let (testbed, no_links) = match enter_testbed(scenarios.iter().flat_map(|scenario| &scenario.links)) {
        Ok(testbed) => (testbed, None),
        Err(error) => {
            eprintln!("warning: measuring loopback only, since emulated links are not available: {error}");
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

/// Resumes the suite in a folder.
pub(crate) fn resume(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(PLAN_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let plan: Plan = serde_json::from_str(&text).with_context(|| {
        format!("{} comes from another version: start again in another folder", path.display())
    })?;
    let testbed = enter_testbed(plan.scenarios.iter().flat_map(|scenario| &scenario.links))?;
    carry_out_all(folder, plan, testbed.as_ref())
}

/// Runs the remaining presets, then writes the index page.
fn carry_out_all(folder: &Path, plan: Plan, testbed: Option<&Testbed>) -> anyhow::Result<()> {
    let done = |scenario: &Scenario| folder.join(&scenario.preset).join(RESULTS_FILE).exists();
    let left_s: u64 =
        plan.scenarios.iter().filter(|it| !done(it)).map(|scenario| estimate(scenario).as_secs()).sum();
    eprintln!("{} presets, at most {} min in all", plan.scenarios.len(), left_s / 60 + 1);
    eprintln!("if interrupted, continue with: netduel-reports run --resume {}", folder.display());
    let mut failed = Vec::new();
    for scenario in &plan.scenarios {
        let own = folder.join(&scenario.preset);
        if done(scenario) {
            continue;
        }
        eprintln!("\n{}: {} s at most", scenario.preset, estimate(scenario).as_secs());
        // The report of a preset lists its failures; the other presets run all the same.
        if let Err(error) = begin_or_resume(&own, scenario, plan.no_links.clone(), testbed) {
            eprintln!("{}: {error:#}", scenario.preset);
            failed.push(scenario.preset.clone());
        }
    }
    let page = folder.join("index.html");
    write_atomic(&page, &index(folder, &plan)?)?;
    print(&format!("all      {}\n", page.display()));
    anyhow::ensure!(failed.is_empty(), "some runs failed in {}; see the messages above", failed.join(", "));
    Ok(())
}

/// Renders the index page: each preset with its question and the answer in words.
fn index(folder: &Path, plan: &Plan) -> anyhow::Result<String> {
    let mut answers = Vec::new();
    for scenario in &plan.scenarios {
        let results = Results::load(&folder.join(&scenario.preset).join(RESULTS_FILE))?;
        let mut answer = search_text::paragraphs(&results, &capacities(&results));
        if let Some(verdict) = Verdict::from_results(&results) {
            let told = sentences::answer(&results, &verdict);
            answer.extend(told.places.into_iter().map(|place| place.advice));
        }
        answers.push((scenario.preset.clone(), answer));
    }
    let body = html! {
        header {
            p class="brand" { "Netduel" }
            h1 { "All presets" }
            p class="lead" { "Two players exchange small moves through a relay; only the newest move counts." }
        }
        main {
            @for (name, answer) in &answers {
                section {
                    h2 { a href=(format!("{name}/report.html")) { (name) } }
                    @if let Some(preset) = Preset::named(name) { p class="scope" { (preset.question) } }
                    @for paragraph in answer { p { (paragraph) } }
                }
            }
        }
    };
    Ok(document("Netduel: all presets", &body))
}
