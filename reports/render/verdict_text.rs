//! The verdict as text: sentences, the map of outcomes, and the numbers with their intervals. Pure.

use std::fmt::Write;

use netduel_loadgen::Workload;

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{Comparison, Evidence, GroupVerdict, Outcome, Verdict},
    },
    data::results::Results,
    render::narrative,
};

/// Adds the verdict's paragraphs for a terminal.
pub(crate) fn terminal(paragraphs: &mut Vec<String>, results: &Results, verdict: &Verdict) {
    paragraphs.extend(narrative::paragraphs(results, verdict));
}

/// Writes the verdict and the map as Markdown.
pub(crate) fn markdown(out: &mut String, results: &Results, verdict: &Verdict) {
    let _ = writeln!(out, "\n## Verdict\n");
    let mut paragraphs = narrative::paragraphs(results, verdict).into_iter();
    let evidence = paragraphs.next().unwrap_or_default();
    for paragraph in paragraphs {
        let _ = writeln!(out, "- {paragraph}");
    }
    let _ = writeln!(out, "\n{evidence}");
    map(out, verdict, results.scenario.workload);
}

/// Writes the map of transport × group, one table for each deciding metric.
fn map(out: &mut String, verdict: &Verdict, workload: Workload) {
    if verdict.contenders.len() < 2 {
        return;
    }
    let _ = writeln!(out, "\n## Outcomes against {}\n", verdict.reference);
    let _ = writeln!(out, "{}", map_note(verdict));
    for metric in Metric::deciding(workload) {
        let groups: Vec<String> = verdict.groups.iter().map(|group| group.group.to_string()).collect();
        let _ = writeln!(out, "\n| {} | {} |", metric.name(), groups.join(" | "));
        let _ = writeln!(out, "|---|{}", "---|".repeat(groups.len()));
        for (kind, comparisons) in verdict.map(metric) {
            let cells: Vec<String> = comparisons.into_iter().map(map_cell).collect();
            let _ = writeln!(out, "| {kind} | {} |", cells.join(" | "));
        }
    }
}

/// Returns the legend of the map.
pub(crate) fn map_note(verdict: &Verdict) -> String {
    let settings = if verdict.contenders.iter().all(|it| it.is_plain()) {
        ""
    } else {
        " A contender with other settings (+) is compared with the same transport without them."
    };
    format!(
        "In brackets: an indication, not a test. =: no detectable difference. ?: not enough data.{settings}"
    )
}

pub(crate) fn map_cell(comparison: Option<&Comparison>) -> String {
    let Some((comparison, effect)) = comparison.and_then(|it| Some((it, it.effect?))) else {
        return "?".into();
    };
    let size = format!("{} {}", comparison.metric.signed(effect.difference), comparison.metric.unit());
    match comparison.outcome {
        Outcome::Better(Evidence::Tested) => format!("better {size}"),
        Outcome::Better(Evidence::Indicated) => format!("(better {size})"),
        Outcome::Worse(Evidence::Tested) => format!("worse {size}"),
        Outcome::Worse(Evidence::Indicated) => format!("(worse {size})"),
        Outcome::NoDetectableDifference => "=".into(),
        Outcome::NotEnoughData => "?".into(),
    }
}

/// Writes every comparison of a group with the reference and its interval, and then the other
/// comparisons that differ.
pub(crate) fn comparisons(out: &mut String, group: &GroupVerdict, verdict: &Verdict, workload: Workload) {
    if group.to_reference.is_empty() {
        return;
    }
    let reference = verdict.reference;
    let _ = writeln!(
        out,
        "\nMeans over the repeats, the difference and its 95 % interval, the floor up to which a \
         difference counts as none, and the corrected p of the sign-flip test. The interval of \
         three repeats is their range, which holds the true value in 3 of 4 cases rather than in \
         95 of 100.\n"
    );
    let _ = writeln!(
        out,
        "| transport | metric | mean | against | mean | difference | 95 % interval | floor | p | |"
    );
    let _ = writeln!(out, "|---|---|---:|---|---:|---:|---:|---:|---:|---|");
    for comparison in &group.to_reference {
        let (metric, candidate, against) = (comparison.metric, comparison.candidate, comparison.against);
        let Some(effect) = comparison.effect else {
            let _ = writeln!(
                out,
                "| {candidate} | {} | – | {against} | – | – | – | – | – | not enough data |",
                metric.name()
            );
            continue;
        };
        let _ = writeln!(
            out,
            "| {candidate} | {}, {} | {} | {against} | {} | {} | {} to {} | {} | {:.3} | {} |",
            metric.name(),
            metric.unit(),
            metric.number(effect.candidate),
            metric.number(effect.against),
            metric.signed(effect.difference),
            metric.signed(effect.interval.low),
            metric.signed(effect.interval.high),
            metric.number(effect.floor),
            effect.p,
            outcome_label(comparison.outcome),
        );
    }
    let noise: Vec<String> = group
        .noise
        .iter()
        .map(|(metric, noise)| format!("{} {} {}", metric.name(), metric.number(*noise), metric.unit()))
        .collect();
    if !noise.is_empty() {
        let _ = writeln!(out, "\nNoise of {reference} against itself: {}.", noise.join(", "));
    }
    for metric in Metric::deciding(workload) {
        let different = |it: &&Comparison| {
            it.metric == metric && matches!(it.outcome, Outcome::Better(_) | Outcome::Worse(_))
        };
        let others: Vec<String> = group.to_each_other.iter().filter(different).map(clause).collect();
        if !others.is_empty() {
            let _ = writeln!(out, "\nAmong the other transports, {}: {}.", metric.name(), others.join("; "));
        }
    }
}

fn clause(comparison: &Comparison) -> String {
    let Comparison { metric, candidate, against, effect, outcome } = comparison;
    let size = effect
        .map_or(String::new(), |effect| format!(" ({} {})", metric.signed(effect.difference), metric.unit()));
    format!("{candidate} {} than {against}{size}", outcome_label(*outcome))
}

/// Returns a short name of an outcome.
pub(crate) fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better(Evidence::Tested) => "better",
        Outcome::Better(Evidence::Indicated) => "better (indication)",
        Outcome::Worse(Evidence::Tested) => "worse",
        Outcome::Worse(Evidence::Indicated) => "worse (indication)",
        Outcome::NoDetectableDifference => "no detectable difference",
        Outcome::NotEnoughData => "not enough data",
    }
}
