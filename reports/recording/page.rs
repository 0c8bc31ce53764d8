//! A recording as one self-contained HTML page, in the style of a comparison's page. Pure: the same
//! recording gives the same bytes.

use maud::{Markup, html};
use netduel_client::{
    recording::Recording,
    stats::{AgeSlot, MoveStats, Samples, live::Figures},
};

use crate::{
    analysis::units::milliseconds,
    recording::tables::{Known, Link, Part, about, links, tables, words},
    render::{
        chart::{self, Key, Named, chart, plain, wide_chart},
        html::document,
        html_table::table,
        plot::{self, Axis, Line, Pick, Strip},
        table::UNKNOWN,
    },
};

/// Renders the whole page.
pub fn page(recording: &Recording) -> String {
    let links = links(recording);
    let known: Vec<&Link<'_>> = links.iter().filter(|link| link.is_known()).collect();
    let body = html! {
        (intro(recording, &links))
        main {
            section id="summary" {
                h2 { "Summary" }
                @for paragraph in words(&links) { p { (paragraph) } }
                @let parts = tables(&known);
                @for Part { title, table: figures } in &parts { h3 { (title) } (table(figures)) }
                (meanings(&parts))
            }
            section id="time" {
                h2 { "Over time" }
                p { "Each line shows the measurements of one player. Point at a plot to read its values." }
                div class="charts" {
                    (age_over_time(&known))
                    (over_time(&known, &ROUND_TRIP))
                    (over_time(&known, &ONE_WAY))
                }
            }
            section id="tails" {
                h2 { "Tails" }
                div class="charts" {
                    (tails(&known, "Age tail.", chart::AGE_TAIL_NOTE, |it| &it.age))
                    (tails(&known, "Delay tail.", chart::DELAY_TAIL_NOTE, |it| &it.one_way))
                }
            }
            section id="provenance" {
                h2 { "Provenance" }
                dl class="provenance" {
                    @for (name, value) in about(recording, &links) { dt { (name) } dd { (value) } }
                }
                p {
                    "This page comes from the recording's JSON alone; "
                    code { "netduel-reports recording FILE" } " renders it again. "
                    "One match is an impression. To measure a transport, use " code { "netduel-reports run" } "."
                }
            }
        }
    };
    document("Netduel: a match, recorded", &body)
}

fn intro(recording: &Recording, links: &[Link<'_>; 2]) -> Markup {
    html! {
        header {
            p class="brand" { "Netduel" }
            h1 { "A match, recorded" }
            p class="lead" { (links[0].title()) " against " (links[1].title()) "." }
            ul class="facts" {
                @for (name, fact) in about(recording, links).iter().skip(1) { li { (name) " " (fact) } }
            }
            ul class="kinds" {
                @for link in links {
                    li class=(link.class) { (chart::swatch()) b { (link.name) } span { (link.transport_words()) } }
                }
            }
            nav {
                a href="#summary" { "Summary" }
                a href="#time" { "Over time" }
                a href="#tails" { "Tails" }
                a href="#provenance" { "Provenance" }
            }
        }
    }
}

/// Renders the meanings of the columns as an expandable list.
fn meanings(parts: &[Part]) -> Markup {
    html! {
        details class="meanings" {
            summary { "Meaning of the columns" }
            @for Part { title, table } in parts {
                h3 { (title) }
                dl { @for heading in table.headings.iter().skip(1) { dt { (heading.text) } dd { (heading.meaning) } } }
            }
        }
    }
}

fn seconds(at_us: u64) -> f64 {
    at_us as f64 / 1e6
}

/// Returns the time axis of the match, from the beginning of the plot.
fn time_axis(from: f64, to: f64) -> Axis {
    let name = "seconds since the match began";
    Axis { log: false, from, to: to.max(from + 1.0), name, format: plain, unit: "s" }
}

fn age_over_time(links: &[&Link<'_>]) -> Markup {
    let title = "Age over time.";
    let strips: Vec<Strip> = links.iter().filter_map(|link| strip(link, link.known.as_ref()?)).collect();
    let highest = strips.iter().flat_map(|strip| &strip.points).map(|point| point.2).fold(0.0, f64::max);
    if highest <= 0.0 {
        return chart(title, "No move of the opponent arrived.", &[], &Markup::default());
    }
    let end_s =
        links.iter().filter_map(|link| Some(seconds(link.known.as_ref()?.last.at_us))).fold(0.0, f64::max);
    let x = time_axis(0.0, end_s);
    let to = plot::end_of(highest);
    let y = Axis { log: false, from: 0.0, to, name: "age, ms", format: plain, unit: "ms" };
    let frozen = strips.iter().any(|strip| !strip.events.is_empty());
    let note = format!(
        "The age of the opponent's newest known position: the mean, and above it the oldest.{}",
        if frozen { " Ticks below the curves: freezes." } else { "" }
    );
    wide_chart(title, &note, &plot::strips(title, x, y, &[], &strips))
}

fn strip(link: &Link<'_>, known: &Known<'_>) -> Option<Strip> {
    let series = &known.totals.age_over_time;
    let end_s = seconds(known.last.at_us);
    let middle_s = |index: usize| (index as f64 + 0.5) * series.slot_us as f64 / 1e6;
    let point = |(index, slot): (usize, &AgeSlot)| {
        Some((middle_s(index), slot.mean_us()? / 1e3, slot.max_us as f64 / 1e3))
    };
    let points: Vec<_> =
        series.slots.iter().enumerate().filter_map(point).filter(|at| at.0 < end_s).collect();
    let looks = link.side.figures.iter().zip(link.side.figures.iter().skip(1));
    let froze = looks.filter(|(before, after)| after.freezes > before.freezes);
    let events = froze.map(|(_, after)| seconds(after.at_us)).collect();
    (!points.is_empty()).then(|| Strip { class: link.class.into(), name: link.name.clone(), points, events })
}

/// A chart of a delay that is sampled ten times a second.
struct DelayChart {
    title: &'static str,
    note: &'static str,
    axis: &'static str,
    read: fn(&Figures) -> Option<u64>,
    /// The value that the transport reports for the same delay.
    own: fn(&Figures) -> Option<u64>,
}

const ROUND_TRIP: DelayChart = DelayChart {
    title: "Round trip over time.",
    note: "Pings to the server and back. Dotted: the transport's own smoothed round-trip time, if \
        it reports one. With the median:",
    axis: "round trip, ms",
    read: |figures| figures.round_trip.current_us,
    own: |figures| figures.path.rtt_us,
};

const ONE_WAY: DelayChart = DelayChart {
    title: "One-way delay over time.",
    note: "The newest move at each sample, from the opponent's intended send time to its arrival. \
        With the median:",
    axis: "one way, ms",
    read: |figures| figures.one_way.current_us,
    own: |_| None,
};

fn over_time(links: &[&Link<'_>], course: &DelayChart) -> Markup {
    let mut lines = Vec::new();
    let mut key = Vec::new();
    for link in links {
        let line = line(link, link.class.to_owned(), link.name.clone(), course.read);
        let class = format!("{} plus", link.class);
        let own = self::line(
            link,
            class,
            format!("{}: {} (own value)", link.name, link.side.transport),
            course.own,
        );
        for line in [line, own].into_iter().filter(|line| !line.points.is_empty()) {
            let value = median(&line).unwrap_or_else(|| UNKNOWN.into());
            key.push(Key { class: line.class.clone(), name: line.name.clone(), value });
            lines.push(line);
        }
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    if highest <= 0.0 {
        return chart(course.title, "No delay was measured.", &[], &Markup::default());
    }
    let from = points().map(|point| point.0).fold(f64::MAX, f64::min);
    // The axis begins with the match, unless the oldest figures were dropped.
    let x = time_axis(if from < 1.0 { 0.0 } else { from }, points().map(|point| point.0).fold(0.0, f64::max));
    let y = Axis {
        log: false,
        from: 0.0,
        to: plot::end_of(highest),
        name: course.axis,
        format: plain,
        unit: "ms",
    };
    chart(course.title, course.note, &key, &plot::lines(course.title, x, y, Pick::X, &lines))
}

fn line(link: &Link<'_>, class: String, name: String, read: fn(&Figures) -> Option<u64>) -> Line {
    let point = |figures: &Figures| Some((seconds(figures.at_us), read(figures)? as f64 / 1e3));
    let points = link.side.figures.iter().filter_map(point).collect();
    Line { class, name, points, dots: Vec::new(), ranges: Vec::new() }
}

fn median(line: &Line) -> Option<String> {
    let mut samples = Samples::default();
    line.points.iter().for_each(|(_, ms)| samples.record((ms * 1e3).round() as u64));
    samples.quantile_us(0.5).map(|us| format!("{} ms", milliseconds(us as f64)))
}

fn tails(links: &[&Link<'_>], title: &str, note: &str, pick: fn(&MoveStats) -> &Samples) -> Markup {
    let named = |link: &&Link<'_>| {
        let samples = pick(link.known.as_ref()?.totals).clone();
        Some(Named { class: link.class.into(), name: link.name.clone(), samples })
    };
    chart::tails_of(&links.iter().filter_map(named).collect::<Vec<_>>(), title, note)
}
