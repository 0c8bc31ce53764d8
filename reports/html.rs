//! Results as one HTML page that needs nothing else: style, script and plots are in it. Pure: the same results give the
//! same bytes.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use netduel_transport::TransportKind;

use crate::{
    chart, checks,
    metrics::Metric,
    render_verdict::{MAPPED, map_cell},
    results::Results,
    summary::{Row, Summary},
    tables::{self, AGE_P99, COST, COST_DETAIL, CPU, Cell, Column, FIGURES, FRESH, Group, Heading, Table},
    verdict::{Outcome, Verdict},
    words,
};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// Groups shown at once; where there are more, only the first of each link is open.
const GROUPS_OPEN_MAX: usize = 4;
/// Cells with more characters than this wrap.
const LONG_TEXT: usize = 24;

/// The whole page.
pub fn html(results: &Results) -> String {
    let verdict = Verdict::of(results);
    let summary = Summary::of(results);
    let groups = tables::groups(&summary);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Netduel: transports compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (intro(results, &groups, verdict.is_some()))
                main {
                    @if let Some(verdict) = &verdict { (verdict_section(results, verdict)) }
                    (links_section(results, &groups))
                    (cost_section(&groups))
                    section id="settings" {
                        h2 { "Settings in effect" }
                        p { "Congestion control, TLS and packet size are read back from the players' stacks at the end of a run. " (tables::parity_note(results)) }
                        (table(&tables::parity(&summary)))
                    }
                    (calibration_section(results))
                    (trust_section(results, &summary))
                    (provenance_section(results))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn intro(results: &Results, groups: &[Group<'_>], judged: bool) -> Markup {
    let scenario = &results.scenario;
    let list = |items: &[u32]| items.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let facts = [
        format!("{} Hz", list(&scenario.rates_hz)),
        format!("{} matches at once", list(&scenario.pairs)),
        format!("{} repeats of {:.1} s", scenario.repeats, scenario.duration_ms as f64 / 1e3),
        scenario.links.iter().map(|link| link.name()).collect::<Vec<_>>().join(", "),
        format!("{} congestion control", scenario.congestion),
    ];
    html! {
        header {
            p class="brand" { "Netduel" }
            h1 { "Transports compared" }
            p class="lead" {
                "Two players send each other small moves through a relay, and only the newest move counts: which transport "
                "keeps what each sees of the other youngest, and what does that cost the server?"
            }
            p {
                "Read the age first: it is what a player sees, and it counts what was lost as well as what was late. Every "
                "figure is of all repeats together; a difference within their spread is none."
            }
            ul class="facts" { @for fact in &facts { li { (fact) } } }
            ul class="kinds" {
                @for kind in &scenario.transports {
                    li class=(chart::class_of(*kind)) { (chart::swatch()) b { (kind) } span { (kind.summary()) } }
                }
            }
            (contents(groups, judged))
        }
    }
}

fn contents(groups: &[Group<'_>], judged: bool) -> Markup {
    let of_links = groups.chunk_by(same_link).enumerate();
    html! {
        nav {
            @if judged { a href="#verdict" { "Verdict" } }
            @for (number, of_link) in of_links {
                a href=(format!("#link-{number}")) { "On " (of_link[0].rows[0].key.link) }
            }
            a href="#cost" { "Cost" }
            a href="#settings" { "Settings" }
            a href="#trust" { "May this be believed?" }
            a href="#provenance" { "Run it again" }
        }
    }
}

fn verdict_section(results: &Results, verdict: &Verdict) -> Markup {
    let mut paragraphs = words::paragraphs(results, verdict).into_iter();
    let how_sure = paragraphs.next();
    html! {
        section id="verdict" {
            h2 { "Verdict" }
            @for paragraph in paragraphs { p { (paragraph) } }
            @if let Some(how_sure) = how_sure { p class="note" { (how_sure) } }
            @if verdict.transports.len() > 1 {
                @for metric in MAPPED {
                    h3 { "Who wins where, against " (verdict.reference) ": " (metric.name()) }
                    (win_map(verdict, metric))
                }
            }
        }
    }
}

/// Transports by groups.
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
                            (kind_cell(kind))
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

/// Its class in the style sheet.
fn outcome_class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better(_) => "win",
        Outcome::Worse(_) => "lose",
        Outcome::NoDetectableDifference => "tie",
        Outcome::NotEnoughData => "unknown",
    }
}

/// Everything of each link: a part for each rate, number of pairs and policy, and then the curves over the rate.
fn links_section(results: &Results, groups: &[Group<'_>]) -> Markup {
    html! {
        (meanings(FIGURES))
        @for (number, of_link) in groups.chunk_by(same_link).enumerate() {
            section id=(format!("link-{number}")) {
                h2 { "On " (of_link[0].rows[0].key.link) }
                @if of_link.len() == 1 {
                    p class="scope" { (of_link[0].title) }
                    (group_part(results, &of_link[0]))
                } @else {
                    (rate_part(of_link))
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
    a.rows[0].key.link == b.rows[0].key.link
}

fn group_part(results: &Results, group: &Group<'_>) -> Markup {
    html! {
        (table(&tables::figures(&group.rows, FIGURES)))
        details class="meanings" {
            summary { "How far the repeats lay apart" }
            (table(&tables::spread(&group.rows)))
        }
        div class="charts" {
            (chart::tails(results, &group.rows, "Age tail.",
                "How much of the time a position is older than this; further left is better. With the age at p99:",
                |run| &run.load.stats.age))
            (chart::tails(results, &group.rows, "Delay tail.",
                "How many of the moves took longer than this, of those that arrived as news. With the delay at p99:",
                |run| &run.load.stats.one_way))
            (chart::age_over_time(results, &group.rows))
        }
    }
}

/// Curves over the rate, for each number of pairs and policy that ran at more than one.
fn rate_part(of_link: &[Group<'_>]) -> Markup {
    let rows: Vec<&Row> = of_link.iter().flat_map(|group| group.rows.iter().copied()).collect();
    let mut sets: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let same =
            |set: &&mut Vec<&Row>| (set[0].key.pairs, set[0].key.relay) == (row.key.pairs, row.key.relay);
        match sets.iter_mut().find(same) {
            Some(set) => set.push(row),
            None => sets.push(vec![row]),
        }
    }
    sets.retain(|set| set.iter().any(|row| row.key.rate_hz != set[0].key.rate_hz));
    html! {
        @for set in &sets {
            div class="charts" {
                (chart::over_rate(set, "Age at p99 over the rate.", &AGE_P99, 1e3))
                (chart::over_rate(set, "Fresh moves over the rate.", &FRESH, 0.01))
                (chart::over_rate(set, "Server CPU per fresh move over the rate.", &CPU, 1.0))
            }
        }
    }
}

fn cost_section(groups: &[Group<'_>]) -> Markup {
    html! {
        section id="cost" {
            h2 { "What it costs the server" }
            p { "For each move that arrived as news, so that what is sent in vain counts, too." }
            @for group in groups {
                h3 { (group.title) }
                (table(&tables::figures(&group.rows, COST.iter().chain(COST_DETAIL))))
            }
            (meanings(COST.iter().chain(COST_DETAIL)))
        }
    }
}

fn calibration_section(results: &Results) -> Markup {
    html! {
        @if !results.calibrations.is_empty() {
            section id="links" {
                h2 { "The links, asked for and measured" }
                p { (tables::LINKS_NOTE) }
                (table(&tables::links(results)))
            }
        }
    }
}

fn trust_section(results: &Results, summary: &Summary) -> Markup {
    let checks = checks::checks(results, summary);
    let failed = checks.iter().filter(|check| !check.passed).count();
    html! {
        section id="trust" {
            h2 { "May this be believed?" }
            p {
                @if failed == 0 { "All " (checks.len()) " self-checks passed." }
                @else { (failed) " of " (checks.len()) " self-checks did not pass: see those marked ✗." }
            }
            (table(&checks::table(&checks)))
            @if !summary.warnings.is_empty() {
                h3 { "Warnings" }
                ul class="warnings" { @for warning in &summary.warnings { li { (warning) } } }
            }
            h3 { "Threats to validity" }
            ul { @for threat in checks::threats(results) { li { (threat) } } }
        }
    }
}

fn provenance_section(results: &Results) -> Markup {
    let (facts, command) = tables::provenance(results);
    html! {
        section id="provenance" {
            h2 { "Where it ran, and how to run it again" }
            pre { code { (command) } }
            dl class="provenance" { @for (name, value) in &facts { dt { (name) } dd { (value) } } }
            p { "This page is drawn from " code { "results.json" } " alone; " code { "netduel-report render" } " draws it again." }
        }
    }
}

/// What the headings of columns mean, to unfold.
fn meanings<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Markup {
    html! {
        details class="meanings" {
            summary { "What the columns mean" }
            dl { @for column in columns { dt { (column.heading) } dd { (column.meaning) } } }
        }
    }
}

/// A table that the script can sort. Scrolls by itself where the page is narrow.
fn table(table: &Table) -> Markup {
    html! {
        div class="scroll" {
            table class="sortable" {
                thead {
                    tr {
                        @for heading in &table.headings {
                            th scope="col" class=[heading.number.then_some("number")]
                                title=[(!heading.meaning.is_empty()).then_some(heading.meaning)] { (heading.text) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (cell, heading) in row.iter().zip(&table.headings) {
                                @match cell.text.parse::<TransportKind>() {
                                    Ok(kind) => (kind_cell(kind)),
                                    Err(_) => td class=[class_of(cell, heading)] title=[&cell.note] { (cell.text) },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Numbers stand to the right, and long texts may wrap.
fn class_of(cell: &Cell, heading: &Heading) -> Option<&'static str> {
    let long = cell.text.chars().count() > LONG_TEXT;
    if heading.number { Some("number") } else { long.then_some("long") }
}

/// The name of a transport, at the head of a row, with its line.
fn kind_cell(kind: TransportKind) -> Markup {
    html! { th scope="row" class=(chart::class_of(kind)) { (chart::swatch()) (kind) } }
}
