//! The verdict as tables: what was found of each contender, and the numbers behind it. Pure.

use crate::{
    analysis::{
        metrics::Metric,
        place::Place,
        statistics::Interval,
        verdict::{
            GroupVerdict,
            comparison::{Comparison, Effect, Finding},
        },
    },
    plan::contender::Contender,
    render::table::{Cell, Heading, Table, UNKNOWN},
};

/// The note beside [`findings`].
pub(crate) const FINDINGS_NOTE: &str = "“better” and “worse”: the difference is larger than what \
    matters, with 95 % confidence for all comparisons of the table together. “same”: it is smaller \
    than what a player notices, with the same confidence. “cannot tell”: this run shows neither; in \
    brackets, the difference that it would have found.";

/// The note beside [`comparisons`].
pub(crate) const COMPARISONS_NOTE: &str = "Each value is the one of the tables above. “together”: the \
    95 % interval of the difference, for all comparisons of this metric at once. “matters from”: a \
    smaller difference is never called. “noticed from”: a smaller difference counts as the same. \
    “would find”: the smallest difference that this run would have found in four of five cases.";

/// Returns what was found of each contender against the reference, with a column for each judged
/// metric. `None` if nothing was compared.
pub(crate) fn findings(
    group: &GroupVerdict,
    contenders: &[Contender],
    reference: Contender,
) -> Option<Table> {
    let heading = |text, number| Heading { text, meaning: "", number };
    let metrics = judged(group);
    let headings = std::iter::once(heading("transport", false))
        .chain(metrics.iter().map(|metric| heading(metric.name(), false)));
    let compared = |contender: Contender, metric: Metric| group.comparison(metric, contender, reference);
    let rows: Vec<Vec<Cell>> = (contenders.iter())
        .filter(|it| **it != reference)
        .filter(|it| metrics.iter().any(|metric| compared(**it, *metric).is_some()))
        .map(|&contender| {
            let cells = metrics.iter().map(|&metric| finding_cell(compared(contender, metric).as_ref()));
            std::iter::once(Cell::from(contender)).chain(cells).collect()
        })
        .collect();
    (!rows.is_empty()).then(|| Table { headings: headings.collect(), rows })
}

/// Returns the metrics whose findings a reader needs, in their order.
fn judged(group: &GroupVerdict) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for comparison in &group.figures.comparisons {
        if !metrics.contains(&comparison.metric) {
            metrics.push(comparison.metric);
        }
    }
    // Without a network the rate decides the age.
    metrics.retain(|metric| {
        group.place != Place::Loopback || !matches!(metric, Metric::AgeP99 | Metric::AgeMean)
    });
    metrics
}

/// Returns a cell with what was found, and how much.
fn finding_cell(comparison: Option<&Comparison>) -> Cell {
    let Some(comparison) = comparison else { return Cell::from(UNKNOWN.to_owned()) };
    let metric = comparison.metric;
    let word = finding_word(comparison.finding);
    let text = match (comparison.finding, comparison.effect) {
        (Finding::Better | Finding::Worse, Some(effect)) if metric.by_ratio() => {
            format!("{word}, {:.2} ×", effect.ratio())
        }
        (Finding::Better | Finding::Worse, Some(effect)) => {
            format!("{word}, {} {}", metric.signed(effect.difference), metric.unit())
        }
        (Finding::CannotTell, Some(effect)) if effect.detectable.is_finite() => {
            format!("{word} ({} {})", metric.number(effect.detectable), metric.unit())
        }
        _ => word.to_owned(),
    };
    Cell { class: Some(finding_class(comparison.finding)), ..Cell::from(text) }
}

/// Returns every comparison of a group with its numbers.
pub(crate) fn comparisons(group: &GroupVerdict) -> Table {
    let mut table = Table::new([
        ("transport", false),
        ("against", false),
        ("metric", false),
        ("value", true),
        ("other", true),
        ("difference", true),
        ("together", true),
        ("matters from", true),
        ("noticed from", true),
        ("would find", true),
        ("finding", false),
    ]);
    for comparison in &group.figures.comparisons {
        let Comparison { metric, candidate, against, effect, finding } = comparison;
        let numbers =
            effect.map_or_else(|| std::array::from_fn(|_| UNKNOWN.to_owned()), |it| numbers(*metric, &it));
        let [value, other, difference, together, floor, margin, detectable] = numbers;
        let what = format!("{}, {}", metric.name(), metric.unit());
        let word = finding_word(*finding).to_owned();
        table.push_of(
            *candidate,
            [against.to_string(), what, value, other, difference, together, floor, margin, detectable, word],
        );
    }
    table
}

fn numbers(metric: Metric, effect: &Effect) -> [String; 7] {
    let Effect {
        candidate,
        against,
        difference,
        simultaneous: Interval { low, high },
        floor,
        margin,
        detectable,
        ..
    } = *effect;
    [
        metric.number(candidate),
        metric.number(against),
        metric.signed(difference),
        format!("{} to {}", metric.signed(low), metric.signed(high)),
        metric.number(floor),
        metric.number(margin),
        metric.number(detectable),
    ]
}

/// Returns the words for a finding.
pub(crate) fn finding_word(finding: Finding) -> &'static str {
    match finding {
        Finding::Better => "better",
        Finding::Worse => "worse",
        Finding::Same => "same",
        Finding::CannotTell => "cannot tell",
    }
}

/// Returns the class of a finding in the style sheet.
fn finding_class(finding: Finding) -> &'static str {
    match finding {
        Finding::Better => "win",
        Finding::Worse => "lose",
        Finding::Same => "tie",
        Finding::CannotTell => "unknown",
    }
}
