//! Results as one HTML page with style, script and plots included. Pure: the same results give the
//! same bytes.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use netduel_loadgen::{Subject, Workload};

use crate::{
    analysis::{
        conclusions::Conclusions,
        ratios::Ratios,
        summary::{Row, Summary},
        sweep::{self, Sweep},
        validity,
        verdict::Verdict,
    },
    data::results::Results,
    plan::{
        contender::Contender,
        scenario::{Network, Scenario},
        search::Searched,
    },
    render::{
        answer::first_screen,
        chart,
        columns::{self, AGE_P99, CPU, Column, FRESH},
        glossary,
        html_table::{meanings, table},
        memory_table, ratios_table, settings_table,
        tables::{self, Group},
        verdict_text, words,
    },
};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// The number of groups up to which all are open. Beyond it, only the first group of each link is
/// open.
const GROUPS_OPEN_MAX: usize = 4;

/// Renders the whole page.
pub fn html(conclusions: &Conclusions<'_>) -> String {
    let Conclusions { results, summary, verdict, .. } = conclusions;
    let groups = tables::groups(summary);
    let keys: Vec<_> = groups.iter().map(|group| group.rows[0].key.group.clone()).collect();
    let sweeps = sweep::from_results(results, &keys);
    let body = html! {
        (first_screen::top(conclusions))
        main {
            (first_screen::answer_section(results, verdict.as_ref(), &groups))
            (contents(results, &groups, &sweeps))
            (ratios_section(results))
            (sweeps_section(results, verdict.as_ref(), &sweeps, summary))
            @if results.scenario.search.is_none() { (links_section(results, verdict.as_ref(), &groups)) }
            (memory_section(results))
            (method_section(results))
            section id="settings" {
                h2 { "Settings in effect" }
                p { (settings_table::note(results)) }
                (table(&settings_table::contenders(summary)))
                (table(&settings_table::sides(summary)))
            }
            (calibration_section(results))
            (benches_section(results))
            (trust_section(conclusions))
            (provenance_section(results))
            (glossary_section())
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
    let of_network = |network: &Network| {
        let pairs = searched(Searched::Pairs, &scenario.sampling(network).pairs);
        format!("{}: {pairs} matches at once", network.name())
    };
    let mut facts = vec![
        format!("{} Hz", searched(Searched::RateHz, &scenario.rates_hz)),
        format!("{payload} B of payload"),
        words::windows(scenario),
        format!(
            "{} congestion control",
            list(scenario.congestions.iter().map(|it| it.to_string()).collect())
        ),
    ];
    facts.extend(scenario.links.iter().map(of_network));
    facts
}

fn contents(results: &Results, groups: &[Group<'_>], sweeps: &[Sweep]) -> Markup {
    let of_links = groups.chunk_by(same_link).enumerate();
    html! {
        nav {
            @if !results.scenario.baselines.is_empty() { a href="#ratios" { "Ratios to the bare relays" } }
            @if !sweeps.is_empty() { a href="#sweeps" { "Crossovers" } }
            @if results.scenario.search.is_none() {
                @for (number, of_link) in of_links {
                    a href=(format!("#link-{number}")) {
                        (words::capital(&words::network(&results.scenario, &of_link[0].rows[0].key.group.link)))
                    }
                }
            }
            a href="#method" { "What ran" }
            a href="#settings" { "Settings" }
            a href="#trust" { "Validity" }
            a href="#provenance" { "Run it again" }
            a href="#words" { "Words" }
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

/// Renders the figures of each link: a part for each group.
fn links_section(results: &Results, verdict: Option<&Verdict>, groups: &[Group<'_>]) -> Markup {
    html! {
        @for (number, of_link) in groups.chunk_by(same_link).enumerate() {
            @let link = &of_link[0].rows[0].key.group.link;
            section id=(format!("link-{number}")) {
                h2 { (words::capital(&words::network(&results.scenario, link))) }
                @if of_link.len() == 1 {
                    p class="scope" { (of_link[0].title) }
                    (group_part(results, verdict, &of_link[0]))
                } @else {
                    @for (place, group) in of_link.iter().enumerate() {
                        details open[place == 0 || groups.len() <= GROUPS_OPEN_MAX] {
                            summary { h3 { (group.title) } }
                            (group_part(results, verdict, group))
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

fn group_part(results: &Results, verdict: Option<&Verdict>, group: &Group<'_>) -> Markup {
    let judged = verdict.and_then(|verdict| {
        Some((verdict, verdict.groups.iter().find(|it| it.group == group.rows[0].key.group)?))
    });
    let columns = columns::of_group(results, &group.rows[0].key.group);
    html! {
        (table(&tables::figures(&group.rows, columns.main.iter().copied())))
        @if let Some(why) = columns.left_out { p class="note" { (why) } }
        @if let Some((verdict, judged)) = judged {
            @if let Some(found) = verdict_text::findings(judged, &verdict.contenders, verdict.reference) {
                h3 { "Against " (verdict.reference) }
                (table(&found))
            }
        }
        @if results.scenario.workload == Workload::Moves { div class="charts" {
            (chart::age_over_time(results, &group.rows))
            (chart::tails(results, &group.rows, "Age tail.",
                chart::AGE_TAIL_NOTE,
                |run| &run.load.stats.age))
            (chart::tails(results, &group.rows, "Delay tail.",
                chart::DELAY_TAIL_NOTE,
                |run| &run.load.stats.one_way))
        } }
        details class="meanings" {
            summary { "More figures, and what they mean" }
            (table(&tables::figures(&group.rows, columns.detail.iter().copied())))
            @if let Some(players) = tables::players(results, &group.rows) {
                h3 { "Each player by itself" }
                (table(&players))
            }
            @if let Some(recovery) = tables::recovery(results, &group.rows) {
                h3 { "Recovery from loss" }
                (table(&recovery))
                p class="note" { (tables::RECOVERY_NOTE) }
            }
            @if group.rows.iter().any(|row| row.repeats > 1) {
                h3 { "Spread of the repeats" }
                (table(&tables::spread(&group.rows)))
            }
            (meanings(columns.main.iter().chain(&columns.detail).copied()))
        }
        @if let Some((_, judged)) = judged.filter(|(_, judged)| !judged.figures.comparisons.is_empty()) {
            details class="meanings" {
                summary { "Every comparison with its numbers" }
                (table(&verdict_text::comparisons(judged)))
                p class="note" { (verdict_text::FINDINGS_NOTE) }
                p class="note" { (verdict_text::COMPARISONS_NOTE) }
            }
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

fn trust_section(conclusions: &Conclusions<'_>) -> Markup {
    let Conclusions { results, summary, checks, .. } = conclusions;
    let failed = conclusions.failed_checks();
    html! {
        section id="trust" {
            h2 { "Validity" }
            p {
                @if failed == 0 { "All " (checks.len()) " self-checks passed." }
                @else { (failed) " of " (checks.len()) " self-checks failed: see the rows marked ✗." }
            }
            (table(&tables::checks(checks)))
            @if !summary.warnings.is_empty() {
                h3 { "Warnings" }
                ul class="warnings" { @for warning in &summary.warnings { li { (warning) } } }
            }
            h3 { "Threats to validity" }
            ul { @for threat in validity::threats(results) { li { (threat) } } }
        }
    }
}

/// Renders the meanings of the report's words.
fn glossary_section() -> Markup {
    html! {
        section id="words" {
            h2 { "Words" }
            details class="meanings" open {
                summary { "The words of this report" }
                dl { @for (word, meaning) in glossary::WORDS { dt { (word) } dd { (meaning) } } }
            }
            p { code { (glossary::PAGE) } " in the repository explains each word and figure with examples." }
        }
    }
}

fn provenance_section(results: &Results) -> Markup {
    let (facts, command) = tables::provenance(results);
    html! {
        section id="provenance" {
            h2 { "Run it again" }
            pre { code { (command) } }
            dl class="provenance" { @for (name, value) in &facts { dt { (name) } dd { (value) } } }
            p { "This page comes from " code { "results.json" } " alone; "
                code { "netduel-reports render" } " renders it again." }
        }
    }
}
