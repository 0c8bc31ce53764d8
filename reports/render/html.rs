//! Results as one HTML page with style, script and plots included. Pure: the same results give the
//! same bytes.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use netduel_loadgen::{Subject, Workload};

use crate::{
    analysis::{
        capacity::capacities,
        old_metrics::Metric,
        old_verdict::{Outcome, Verdict},
        ratios::Ratios,
        summary::{Row, Summary},
        sweep::{self, Sweep},
        validity,
    },
    data::results::Results,
    plan::{
        scenario::{Contender, Scenario},
        search::Searched,
    },
    render::{
        bars, chart,
        columns::{self, AGE_P99, COST_DETAIL, CPU, Column, FRESH},
        html_table::{head_cell, meanings, table},
        memory_table, narrative, overview, ratios_table, search_text, settings_table,
        tables::{self, Group},
        verdict_text::{map_cell, map_note},
    },
};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// The number of groups up to which all are open. Beyond it, only the first group of each link is
/// open.
const GROUPS_OPEN_MAX: usize = 4;

/// Renders the whole page.
pub fn html(results: &Results) -> String {
    let verdict = Verdict::from_results(results);
    let summary = Summary::from_results(results);
    let groups = tables::groups(&summary);
    let keys: Vec<_> = groups.iter().map(|group| group.rows[0].key.group.clone()).collect();
    let sweeps = sweep::from_results(results, &keys);
    let body = html! {
        (top(results, &summary))
        main {
            (answer_section(results, verdict.as_ref(), &groups))
            (contents(results, &groups, &sweeps))
            (ratios_section(results))
            (sweeps_section(results, verdict.as_ref(), &sweeps, &summary))
            @if results.scenario.search.is_none() { (links_section(results, &groups)) }
            (outcomes_section(results, verdict.as_ref()))
            @if results.scenario.search.is_none() { (cost_section(results, &groups)) }
            (memory_section(results))
            (method_section(results))
            section id="settings" {
                h2 { "Settings in effect" }
                p { (settings_table::note(results)) }
                (table(&settings_table::contenders(&summary)))
                (table(&settings_table::sides(&summary)))
            }
            (calibration_section(results))
            (benches_section(results))
            (trust_section(results, &summary))
            (provenance_section(results))
        }
    };
    document("Netduel: transports compared", &body)
}

/// Renders a self-contained page.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Renders the name of the program, and the state of the self-checks.
fn top(results: &Results, summary: &Summary) -> Markup {
    let checks = validity::checks(results, summary);
    let failed = checks.iter().filter(|check| !check.passed).count();
    html! {
        header {
            p class="brand" { "Netduel" }
            a class=(if failed == 0 { "state" } else { "state bad" }) href="#trust" {
                @if failed == 0 { "✓ all " (checks.len()) " self-checks passed" }
                @else { "⚠ " (failed) " of " (checks.len()) " self-checks failed" }
            }
        }
    }
}

/// Renders the first screen: what to use, how sure that is, what it costs.
fn answer_section(results: &Results, verdict: Option<&Verdict>, groups: &[Group<'_>]) -> Markup {
    let found = capacities(results);
    let mut paragraphs = search_text::paragraphs(results, &found);
    paragraphs.extend(verdict.into_iter().flat_map(|verdict| narrative::paragraphs(results, verdict)));
    let mut paragraphs = paragraphs.into_iter();
    // The first paragraph explains the evidence of the others.
    let evidence = paragraphs.next();
    let charts =
        [overview::age(results, groups, &overview::chosen(verdict)), overview::cost(results, groups)];
    html! {
        section id="answer" {
            h1 { "Transports compared" }
            @for paragraph in paragraphs { p { (paragraph) } }
            @if let Some(evidence) = evidence { p class="note" { (evidence) } }
            @if !found.is_empty() { (table(&search_text::table(results, &found))) }
            @if results.scenario.search.is_none() && results.scenario.baselines.is_empty() {
                div class="overview" { @for chart in charts.iter().flatten() { (bars::html(chart)) } }
            }
        }
    }
}

/// Renders the question, the settings that all runs share, and the compared transports.
fn method_section(results: &Results) -> Markup {
    html! {
        section id="method" {
            h2 { "What ran" }
            p {
                "Two players send each other small moves through a relay, and only the newest move "
                "counts. Which transport keeps the opponent's position youngest, and at which cost "
                "to the server?"
            }
            ul class="facts" { @for fact in facts(results) { li { (fact) } } }
            ul class="kinds" {
                @for subject in subjects(&results.scenario) {
                    li class=(chart::class_of(Contender::plain(subject))) {
                        (chart::swatch()) b { (subject) } span { (subject.summary()) }
                    }
                }
            }
        }
    }
}

/// Returns the compared transports and baselines, without their settings.
fn subjects(scenario: &Scenario) -> impl Iterator<Item = Subject> {
    let ours = scenario.transports.iter().map(|kind| Subject::Netduel(*kind));
    ours.chain(scenario.baselines.iter().map(|baseline| Subject::Baseline(*baseline)))
}

fn facts(results: &Results) -> Vec<String> {
    let scenario = &results.scenario;
    let list = |items: Vec<String>| items.join(", ");
    let numbers = |items: &[u32]| list(items.iter().map(u32::to_string).collect());
    let payload = numbers(&scenario.payloads_bytes);
    let searched = |of: Searched, listed: &[u32]| match scenario.search.filter(|it| it.of == of) {
        Some(search) => format!("{} to {}", search.from, search.to),
        None => numbers(listed),
    };
    let sampling = scenario.main_sampling();
    let repeats = if sampling.repeats == 1 { "repeat" } else { "repeats" };
    vec![
        format!("{} Hz", searched(Searched::RateHz, &scenario.rates_hz)),
        format!("{} matches at once", searched(Searched::Pairs, &sampling.pairs)),
        format!("{payload} B of payload"),
        format!("{} {repeats} of {:.1} s", sampling.repeats, sampling.duration_ms as f64 / 1e3),
        list(scenario.links.iter().map(|link| link.name()).collect()),
        format!(
            "{} congestion control",
            list(scenario.congestions.iter().map(|it| it.to_string()).collect())
        ),
    ]
}

fn contents(results: &Results, groups: &[Group<'_>], sweeps: &[Sweep]) -> Markup {
    let of_links = groups.chunk_by(same_link).enumerate();
    html! {
        nav {
            @if !results.scenario.baselines.is_empty() { a href="#ratios" { "Ratios to the bare relays" } }
            @if !sweeps.is_empty() { a href="#sweeps" { "Crossovers" } }
            @if results.scenario.search.is_none() {
                @for (number, of_link) in of_links {
                    a href=(format!("#link-{number}")) { "On " (of_link[0].rows[0].key.group.link) }
                }
                a href="#cost" { "Cost" }
            }
            a href="#method" { "What ran" }
            a href="#settings" { "Settings" }
            a href="#trust" { "Validity" }
            a href="#provenance" { "Provenance" }
        }
    }
}

/// Renders the outcome of every comparison with the reference.
fn outcomes_section(results: &Results, verdict: Option<&Verdict>) -> Markup {
    html! {
        @if let Some(verdict) = verdict.filter(|it| it.contenders.len() > 1) {
            section id="outcomes" {
                h2 { "Outcomes against " (verdict.reference) }
                @for metric in Metric::deciding(results.scenario.workload) {
                    h3 { (metric.name()) }
                    (win_map(verdict, metric))
                }
                p class="note" { (map_note(verdict)) }
            }
        }
    }
}

/// Renders the ratios to the bare relay of each wire, if baselines ran.
fn ratios_section(results: &Results) -> Markup {
    let ratios = Ratios::from_results(results);
    html! {
        @if !ratios.is_empty() {
            section id="ratios" {
                h2 { "Ratios to the bare relays" }
                p { (ratios_table::NOTE) }
                @for group in &ratios {
                    h3 { (group.group) }
                    (table(&ratios_table::table(group)))
                }
            }
        }
    }
}

/// Renders the curves along every sweep, and the values at which outcomes change.
fn sweeps_section(
    results: &Results,
    verdict: Option<&Verdict>,
    sweeps: &[Sweep],
    summary: &Summary,
) -> Markup {
    let crossovers = sweep::crossovers(results, verdict);
    let rows: Vec<&Row> = summary.rows.iter().collect();
    let columns: Vec<(&Column, f64)> = match results.scenario.workload {
        Workload::Moves => vec![(&AGE_P99, 1e3), (&FRESH, 0.01), (&CPU, 1.0)],
        Workload::Connects => Vec::new(),
    };
    html! {
        @if !sweeps.is_empty() {
            section id="sweeps" {
                h2 { "Crossovers" }
                @if !crossovers.is_empty() { ul { @for text in &crossovers { li { (text) } } } }
                @for sweep in sweeps {
                    div class="charts" {
                        @for (column, unit) in &columns { (chart::along(sweep, &rows, column, *unit)) }
                    }
                }
            }
        }
    }
}

/// Renders the map of transports by groups.
fn win_map(verdict: &Verdict, metric: Metric) -> Markup {
    html! {
        div class="scroll" {
            table class="map" {
                thead { tr {
                    th scope="col" { "transport" }
                    @for group in &verdict.groups { th scope="col" { (group.group) } }
                } }
                tbody {
                    @for (kind, cells) in verdict.map(metric) {
                        tr {
                            (head_cell(kind))
                            @for cell in cells {
                                @let outcome = cell.map_or(Outcome::NotEnoughData, |it| it.outcome);
                                td class=(outcome_class(outcome)) { (map_cell(cell)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the class of an outcome in the style sheet.
fn outcome_class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better(_) => "win",
        Outcome::Worse(_) => "lose",
        Outcome::NoDetectableDifference => "tie",
        Outcome::NotEnoughData => "unknown",
    }
}

/// Renders the figures of each link: a part for each group.
fn links_section(results: &Results, groups: &[Group<'_>]) -> Markup {
    html! {
        (meanings(columns::columns(results).0))
        @for (number, of_link) in groups.chunk_by(same_link).enumerate() {
            section id=(format!("link-{number}")) {
                h2 { "On " (of_link[0].rows[0].key.group.link) }
                @if of_link.len() == 1 {
                    p class="scope" { (of_link[0].title) }
                    (group_part(results, &of_link[0]))
                } @else {
                    @for (place, group) in of_link.iter().enumerate() {
                        details open[place == 0 || groups.len() <= GROUPS_OPEN_MAX] {
                            summary { h3 { (group.title) } }
                            (group_part(results, group))
                        }
                    }
                }
            }
        }
    }
}

fn same_link(a: &Group<'_>, b: &Group<'_>) -> bool {
    a.rows[0].key.group.link == b.rows[0].key.group.link
}

fn group_part(results: &Results, group: &Group<'_>) -> Markup {
    html! {
        (table(&tables::figures(&group.rows, columns::columns(results).0)))
        details class="meanings" {
            summary { "Spread of the repeats" }
            (table(&tables::spread(&group.rows)))
        }
        @if results.scenario.workload == Workload::Moves { div class="charts" {
            (chart::tails(results, &group.rows, "Age tail.",
                chart::AGE_TAIL_NOTE,
                |run| &run.load.stats.age))
            (chart::tails(results, &group.rows, "Delay tail.",
                chart::DELAY_TAIL_NOTE,
                |run| &run.load.stats.one_way))
            (chart::age_over_time(results, &group.rows))
        } }
    }
}

fn cost_section(results: &Results, groups: &[Group<'_>]) -> Markup {
    let (_, cost) = columns::columns(results);
    let detail = if results.scenario.workload == Workload::Moves { COST_DETAIL } else { &[] };
    let columns = || cost.iter().chain(detail);
    html! {
        section id="cost" {
            h2 { "Cost to the server" }
            @if results.scenario.workload == Workload::Moves {
                p { "The costs are per move that arrived as news, so moves sent in vain count as cost." }
            }
            @for group in groups {
                h3 { (group.title) }
                (table(&tables::figures(&group.rows, columns())))
            }
            (meanings(columns()))
        }
    }
}

fn memory_section(results: &Results) -> Markup {
    html! {
        @if let Some(slopes) = memory_table::table(results) {
            section id="memory" {
                h2 { "Memory per connection" }
                p { (memory_table::NOTE) }
                (table(&slopes))
            }
        }
    }
}

fn benches_section(results: &Results) -> Markup {
    html! {
        @if !results.benches.is_empty() {
            section id="benches" {
                h2 { "cargo bench" }
                p { (tables::BENCHES_NOTE) }
                (table(&tables::benches(results)))
            }
        }
    }
}

fn calibration_section(results: &Results) -> Markup {
    html! {
        @if !results.calibrations.is_empty() {
            section id="links" {
                h2 { "Links: requested and measured" }
                p { (tables::LINKS_NOTE) }
                (table(&tables::links(results)))
            }
        }
    }
}

fn trust_section(results: &Results, summary: &Summary) -> Markup {
    let checks = validity::checks(results, summary);
    let failed = checks.iter().filter(|check| !check.passed).count();
    html! {
        section id="trust" {
            h2 { "Validity" }
            p {
                @if failed == 0 { "All " (checks.len()) " self-checks passed." }
                @else { (failed) " of " (checks.len()) " self-checks failed: see the rows marked ✗." }
            }
            (table(&tables::checks(&checks)))
            @if !summary.warnings.is_empty() {
                h3 { "Warnings" }
                ul class="warnings" { @for warning in &summary.warnings { li { (warning) } } }
            }
            h3 { "Threats to validity" }
            ul { @for threat in validity::threats(results) { li { (threat) } } }
        }
    }
}

fn provenance_section(results: &Results) -> Markup {
    let (facts, command) = tables::provenance(results);
    html! {
        section id="provenance" {
            h2 { "Provenance and command" }
            pre { code { (command) } }
            dl class="provenance" { @for (name, value) in &facts { dt { (name) } dd { (value) } } }
            p { "This page comes from " code { "results.json" } " alone; "
                code { "netduel-reports render" } " renders it again." }
        }
    }
}
