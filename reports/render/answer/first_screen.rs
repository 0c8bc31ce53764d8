//! The first screen of the page: what to use, how sure that is, and what it costs. Pure.

use maud::{Markup, html};

use crate::{
    analysis::{capacity::capacities, conclusions::Conclusions, verdict::Verdict},
    data::results::Results,
    render::{
        answer::{
            overview,
            sentences::{self, Answer, PlaceAnswer},
        },
        bars,
        html_table::table,
        search_text,
        tables::Group,
    },
};

/// Renders the name of the program, and the state of the self-checks.
pub(crate) fn top(conclusions: &Conclusions<'_>) -> Markup {
    let (checks, failed) = (conclusions.checks.len(), conclusions.failed_checks());
    html! {
        header {
            p class="brand" { "Netduel" }
            a class=(if failed == 0 { "state" } else { "state bad" }) href="#trust" {
                @if failed == 0 { "✓ all " (checks) " self-checks passed" }
                @else { "⚠ " (failed) " of " (checks) " self-checks failed" }
            }
        }
    }
}

/// Renders the answer in words and as charts.
pub(crate) fn answer_section(results: &Results, verdict: Option<&Verdict>, groups: &[Group<'_>]) -> Markup {
    let found = capacities(results);
    let told = verdict.map(|verdict| sentences::answer(results, verdict));
    let charts =
        [overview::age(results, groups, &overview::chosen(verdict)), overview::cost(results, groups)];
    html! {
        section id="answer" {
            @match &told {
                Some(told) => (in_words(told)),
                None => h1 { "Transports compared" },
            }
            @for paragraph in search_text::paragraphs(results, &found) { p { (paragraph) } }
            @if !found.is_empty() { (table(&search_text::table(results, &found))) }
            @if results.scenario.search.is_none() && results.scenario.baselines.is_empty() {
                div class="overview" { @for chart in charts.iter().flatten() { (bars::html(chart)) } }
            }
        }
    }
}

fn in_words(told: &Answer) -> Markup {
    html! {
        h1 { (told.headline) }
        p class="run" { (told.run) }
        div class="places" { @for place in &told.places { (place_in_words(place)) } }
    }
}

fn place_in_words(place: &PlaceAnswer) -> Markup {
    html! {
        div class=(if place.sure.is_none() { "place cost" } else { "place" }) {
            p class="advice" { (place.advice) }
            @if !place.more.is_empty() { p { (place.more.join(" ")) } }
            @if let Some((certainty, why)) = &place.sure {
                p class=(format!("sure {}", sentences::certainty_word(*certainty))) { (why) }
            }
            @if let Some((words, command)) = &place.settle { p class="settle" { (words) " " code { (command) } } }
        }
    }
}
