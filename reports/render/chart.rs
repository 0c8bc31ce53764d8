//! Charts: tails, age over time, and curves along a sweep, from results to the shapes of `plot.rs`.
//! Pure.

use maud::{Markup, html};
use netduel_client::stats::{AgeSlot, Samples};
use netduel_link::{Direction, LinkReport, bad_periods};
use netduel_loadgen::Subject;
use netduel_transport::TransportKind;

use crate::{
    analysis::{
        repeats::{Figure, Repeats, repeats_of},
        summary::Row,
        sweep::Sweep,
        traffic::dropped,
    },
    data::{results::Results, run_result::RunResult},
    plan::{contender::Contender, scenario::Group},
    render::{
        columns::Column,
        plot::{self, Axis, Line, Pick, Strip},
        words,
    },
};

/// The share of the weight from which on a tail is drawn. Before this share all curves coincide.
const TAIL_FROM: f64 = 0.9;
/// The ratio of values along a sweep beyond which their axis is logarithmic.
const RATIO_LOG: f64 = 20.0;
/// The note of a chart of age tails.
pub(crate) const AGE_TAIL_NOTE: &str = "Share of the time in which a position is older than this; \
     further left is better. With the age at p99:";
/// The note of a chart of delay tails.
pub(crate) const DELAY_TAIL_NOTE: &str = "Share of the moves that arrived as news and took longer \
     than this. With the delay at p99:";
/// The quantiles that get a dot on a tail.
const DOTS: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// Returns the style sheet's classes of a contender. A transport has the same colour everywhere;
/// other settings and baselines are dotted.
pub(crate) fn class_of(contender: Contender) -> String {
    // A baseline has the colour of the first transport on the same wire.
    let subject = contender.transport;
    let wire = |it: Subject| it.bare_relay().or(it.baseline());
    let place = TransportKind::ALL.iter().position(|&kind| {
        subject.kind().map_or(wire(kind.into()) == wire(subject), |of_contender| of_contender == kind)
    });
    let plus =
        if contender.is_plain() && !contender.tuned && subject.baseline().is_none() { "" } else { " plus" };
    format!("t{}{plus}", place.unwrap_or(TransportKind::ALL.len()))
}

/// An entry in the key of a chart.
pub(crate) struct Key {
    /// The style sheet's class.
    pub(crate) class: String,
    pub(crate) name: String,
    /// The value behind the name.
    pub(crate) value: String,
}

/// Renders a chart with its title, a note on its content, and the key of its lines.
pub(crate) fn chart(title: &str, note: &str, key: &[Key], plot: &Markup) -> Markup {
    framed(title, note, key, plot, false)
}

/// Renders a chart that fills the row.
pub(crate) fn wide_chart(title: &str, note: &str, plot: &Markup) -> Markup {
    framed(title, note, &[], plot, true)
}

fn framed(title: &str, note: &str, key: &[Key], plot: &Markup, wide: bool) -> Markup {
    html! {
        figure class=(if wide { "chart wide" } else { "chart" }) {
            figcaption { strong { (title) } " " (note) }
            @if !key.is_empty() {
                ul class="key" {
                    @for Key { class, name, value } in key {
                        li class=(class) { (swatch()) (name) " " b { (value) } }
                    }
                }
            }
            (plot)
        }
    }
}

/// Renders a sample of a transport's line.
pub(crate) fn swatch() -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 26 10" aria-hidden="true" { path class="line" d="M1 5H25" {} }
    }
}

/// Renders the tail distribution of each row of a group: the probability to exceed each value.
pub(crate) fn tails(
    results: &Results,
    rows: &[&Row],
    title: &str,
    note: &str,
    pick: fn(&RunResult) -> &Samples,
) -> Markup {
    let named = |row: &&Row| Named {
        class: class_of(row.key.contender),
        name: row.key.contender.to_string(),
        samples: Repeats::new(&repeats_of(results, &row.key)).merged(pick),
    };
    tails_of(&rows.iter().map(named).collect::<Vec<_>>(), title, note)
}

/// A distribution with the class and the name of its line.
pub(crate) struct Named {
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) samples: Samples,
}

/// Renders the tail distributions: the probability to exceed each value.
pub(crate) fn tails_of(all: &[Named], title: &str, note: &str) -> Markup {
    let lines: Vec<Line> = all.iter().map(tail).collect();
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let (Some(from), Some(to), Some(least)) = (
        points().map(|(ms, _)| *ms).reduce(f64::min),
        points().map(|(ms, _)| *ms).reduce(f64::max),
        points().map(|(_, share)| *share).reduce(f64::min),
    ) else {
        return chart(title, "Too few samples.", &[], &Markup::default());
    };
    let x = Axis { log: true, from, to: to * 1.05, name: "ms", format: plain, unit: "ms" };
    let y = Axis {
        log: true,
        from: least * 0.8,
        to: 1.0,
        name: "share beyond",
        format: share_text,
        unit: "beyond",
    };
    let mut key: Vec<(&Named, Option<u64>)> =
        all.iter().map(|named| (named, named.samples.quantile_us(0.99))).collect();
    key.sort_by_key(|(_, p99_us)| p99_us.unwrap_or(u64::MAX));
    let key: Vec<Key> = key
        .into_iter()
        .map(|(Named { class, name, .. }, p99_us)| {
            let value = p99_us.map_or("–".into(), |us| format!("{} ms", words::milliseconds(us as f64)));
            Key { class: class.clone(), name: name.clone(), value }
        })
        .collect();
    chart(title, note, &key, &plot::lines(title, x, y, Pick::Y, &lines))
}

fn tail(Named { class, name: kind, samples }: &Named) -> Line {
    let points: Vec<(f64, f64)> = samples
        .tail()
        .filter(|(us, share)| *share <= TAIL_FROM && !words::is_infinite(*us as f64))
        .map(|(us, share)| (us as f64 / 1e3, share))
        .collect();
    let dot = |(quantile, name): (f64, &str)| {
        let us = samples.quantile_us(quantile).map(|us| us as f64).filter(|us| !words::is_infinite(*us))?;
        Some((us / 1e3, 1.0 - quantile, format!("{kind}: {name} {} ms", words::milliseconds(us))))
    };
    let dots = DOTS.into_iter().filter_map(dot).collect();
    Line { class: class.clone(), name: kind.clone(), points, dots, ranges: Vec::new() }
}

/// Renders the age over the time of one repeat, a strip for each row of a group. All rows met the
/// same bad periods.
pub(crate) fn age_over_time(results: &Results, rows: &[&Row]) -> Markup {
    let title = "Age over time.";
    let lost = |repeat: u32| -> u64 {
        let runs = rows.iter().flat_map(|row| repeats_of(results, &row.key));
        runs.filter(|run| run.key.repeat == repeat).filter_map(|run| run.link.as_ref()).map(dropped).sum()
    };
    // The chart shows the repeat with the most losses, or the first of equals.
    let Some(first) = rows.first() else { return Markup::default() };
    let sampling = results.scenario.sampling_of(&first.key.group);
    let repeat = (0..sampling.repeats).rev().max_by_key(|repeat| lost(*repeat)).unwrap_or(0);
    let runs: Vec<&RunResult> = rows
        .iter()
        .flat_map(|row| repeats_of(results, &row.key))
        .filter(|run| run.key.repeat == repeat)
        .collect();
    let window_s = sampling.duration_ms as f64 / 1e3;
    let strips: Vec<Strip> = runs.iter().map(|run| strip(run, window_s)).collect();
    // A player that heard nothing has an infinite age, which no axis reaches.
    let finite = |ms: &f64| !words::is_infinite(ms * 1e3);
    let ages = strips.iter().flat_map(|strip| &strip.points).map(|point| point.2);
    let highest = ages.filter(finite).fold(0.0, f64::max);
    if highest <= 0.0 {
        return chart(title, "No age was recorded.", &[], &Markup::default());
    }
    let x = Axis {
        log: false,
        from: 0.0,
        to: window_s,
        name: "seconds since the window opened",
        format: plain,
        unit: "s",
    };
    let y =
        Axis { log: false, from: 0.0, to: plot::end_of(highest), name: "age, ms", format: plain, unit: "ms" };
    let shades =
        runs.iter().find_map(|run| run.link.as_ref()).map(|link| bad(link, window_s)).unwrap_or_default();
    let mut note = format!("Repeat {}: the mean age of all players, and above it the oldest.", repeat + 1);
    if lost(repeat) > 0 {
        note += " Ticks below the curves: packets that the link lost.";
    }
    if !shades.is_empty() {
        note += " Shaded: bad periods of the link, the same for all.";
    }
    wide_chart(title, &note, &plot::strips(title, x, y, &shades, &strips))
}

fn strip(run: &RunResult, window_s: f64) -> Strip {
    let series = &run.load.stats.age_over_time;
    let middle_s = |index: usize| (index as f64 + 0.5) * series.slot_us as f64 / 1e6;
    let point = |(index, slot): (usize, &AgeSlot)| {
        Some((middle_s(index), slot.mean_us()? / 1e3, slot.max_us as f64 / 1e3))
    };
    let drops = run.link.iter().flat_map(|link| &link.drops);
    Strip {
        class: class_of(run.key.contender),
        name: run.key.contender.to_string(),
        // The window's end may reach slightly into a further slot.
        points: series.slots.iter().enumerate().filter_map(point).filter(|at| at.0 < window_s).collect(),
        events: drops.map(|drop| drop.at_ns as f64 / 1e9).collect(),
    }
}

/// Returns the bad periods of the link in either direction, in seconds since the window opened.
fn bad(link: &LinkReport, window_s: f64) -> Vec<(f64, f64)> {
    let seconds = |ns: u64| ns as f64 / 1e9;
    [Direction::Up, Direction::Down]
        .into_iter()
        .flat_map(|direction| {
            bad_periods(&link.spec, link.seed, direction)
                .map(|(from_ns, to_ns)| (seconds(from_ns), seconds(to_ns)))
                .take_while(|(from_s, _)| *from_s < window_s)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Renders a figure along a sweep, a line for each contender. Bars span the smallest and largest of
/// the repeats.
pub(crate) fn along(sweep: &Sweep, rows: &[&Row], column: &Column, unit: f64) -> Markup {
    let mut contenders: Vec<Contender> = Vec::new();
    let in_sweep = |row: &&&Row| sweep.groups.iter().any(|(_, group)| *group == row.key.group);
    for row in rows.iter().filter(in_sweep) {
        if !contenders.contains(&row.key.contender) {
            contenders.push(row.key.contender);
        }
    }
    let lines: Vec<Line> = contenders.iter().map(|&it| line_along(sweep, rows, it, column, unit)).collect();
    let ranges = || lines.iter().flat_map(|line| &line.ranges);
    let highest = ranges().map(|range| range.2).fold(0.0, f64::max);
    let lowest = ranges().map(|range| range.1).fold(highest, f64::min);
    // A value that breaks along the sweep would flatten all values before it.
    let log = lowest > 0.0 && highest / lowest > RATIO_LOG;
    let (Some((first, _)), Some((last, _))) = (sweep.groups.first(), sweep.groups.last()) else {
        return Markup::default();
    };
    let (from, to) = if sweep.axis.is_log() { (first * 0.9, last * 1.1) } else { (*first, last * 1.05) };
    let x = Axis {
        log: sweep.axis.is_log(),
        from,
        to,
        name: sweep.axis.name(),
        format: plain,
        unit: sweep.axis.unit(),
    };
    let (from, to) = if log { (lowest * 0.9, highest * 1.1) } else { (0.0, plot::end_of(highest)) };
    let y = Axis { log, from, to, name: column.heading, format: plain, unit: "" };
    let in_key = |it: Contender| Key { class: class_of(it), name: it.to_string(), value: String::new() };
    let key: Vec<Key> = contenders.into_iter().map(in_key).collect();
    let title = format!("{} over the {}.", column.heading, sweep.axis.title());
    let plot = plot::lines(&title, x, y, Pick::X, &lines);
    chart(&title, &format!("On {}. Bars: smallest and largest of the repeats.", sweep.scope), &key, &plot)
}

fn line_along(sweep: &Sweep, rows: &[&Row], contender: Contender, column: &Column, unit: f64) -> Line {
    let point = |(value, group): &(f64, Group)| {
        let row = rows.iter().find(|row| row.key.contender == contender && row.key.group == *group)?;
        Some((*value, (column.figure)(row)?))
    };
    let points: Vec<(f64, Figure)> = sweep.groups.iter().filter_map(point).collect();
    let said = |value: f64, figure: Figure| {
        let (text, unit) = ((column.format)(figure.value), sweep.axis.unit());
        format!("{contender} at {} {unit}: {text}", plain(value))
    };
    Line {
        class: class_of(contender),
        name: contender.to_string(),
        points: points.iter().map(|(value, figure)| (*value, figure.value / unit)).collect(),
        dots: points.iter().map(|(at, figure)| (*at, figure.value / unit, said(*at, *figure))).collect(),
        ranges: points.iter().map(|(at, figure)| (*at, figure.min / unit, figure.max / unit)).collect(),
    }
}

/// Formats a number without trailing zeros.
pub(crate) fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn share_text(share: f64) -> String {
    format!("{} %", plain(share * 100.0))
}
