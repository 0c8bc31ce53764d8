//! Bar charts: the same bars as HTML for the page and as text for the terminal. Pure.

use std::fmt::Write;

use maud::{Markup, html};

use crate::{
    plan::contender::Contender,
    render::{chart, plot::end_of, words::wrapped},
};

/// The share of the scale that a value beyond it fills.
const FULL: f64 = 1.0;
/// The share of the scale up to which the text of a mark fits behind its line.
const TEXT_FITS: f64 = 0.5;
/// The room of the widest value beside a bar of text, in columns.
const VALUE_COLUMNS: usize = 18;
/// The least width of a bar of text, in columns.
const BAR_COLUMNS_MIN: usize = 10;
/// The word beside a contender that encrypts.
const ENCRYPTED: &str = "encrypted";

/// A chart of bars in sets.
pub(crate) struct Bars {
    pub(crate) title: String,
    /// The meaning of the bars.
    pub(crate) note: String,
    /// The value that gets a line across all bars.
    pub(crate) mark: Option<Mark>,
    pub(crate) sets: Vec<Set>,
}

/// A line across the bars.
pub(crate) struct Mark {
    pub(crate) at: f64,
    pub(crate) text: String,
}

/// Bars with a common scale, the shortest first.
pub(crate) struct Set {
    pub(crate) heading: String,
    pub(crate) bars: Vec<Bar>,
}

/// A bar from zero over `low` to `high`.
pub(crate) struct Bar {
    pub(crate) contender: Contender,
    /// The end of the darker part; equal to `high` for a bar of one part.
    pub(crate) low: f64,
    /// The end of the bar; infinite if it has none.
    pub(crate) high: f64,
    /// The values in words.
    pub(crate) value: String,
    /// Whether the verdict recommends the contender.
    pub(crate) chosen: bool,
}

impl Bars {
    /// Returns the end of the scale of a set. A chart with a mark has one scale for all sets, so
    /// that the mark is one line.
    fn end(&self, set: &Set) -> f64 {
        let sets = || self.sets.iter().filter(|it| self.mark.is_some() || std::ptr::eq(*it, set));
        let ends = sets().flat_map(|it| &it.bars).flat_map(|bar| [bar.low, bar.high]);
        let longest = ends.filter(|end| end.is_finite()).fold(0.0, f64::max);
        // The mark has bars on both sides of it.
        let mark = self.mark.as_ref().map_or(0.0, |mark| mark.at * 1.2);
        end_of(longest.max(mark).max(f64::MIN_POSITIVE))
    }

    /// Returns the sets with their bars in rising order.
    fn sorted(&self) -> impl Iterator<Item = (&Set, Vec<&Bar>)> {
        self.sets.iter().map(|set| {
            let mut bars: Vec<&Bar> = set.bars.iter().collect();
            bars.sort_by(|a, b| a.high.total_cmp(&b.high).then(a.low.total_cmp(&b.low)));
            (set, bars)
        })
    }
}

/// Returns the part of a scale that a value fills, from 0 to 1.
fn share(value: f64, end: f64) -> f64 {
    if value.is_finite() { (value / end).clamp(0.0, FULL) } else { FULL }
}

/// Renders the chart for the page.
pub(crate) fn html(chart: &Bars) -> Markup {
    let mark = |set: &Set| {
        let at = chart.mark.as_ref()?.at;
        Some(format!("--at:{:.3}", share(at, chart.end(set))))
    };
    html! {
        figure class="bars" {
            figcaption { strong { (chart.title) } " " (chart.note) }
            @for (number, (set, bars)) in chart.sorted().enumerate() {
                @let end = chart.end(set);
                div class="set" style=[mark(set)] {
                    p class="heading" {
                        (set.heading)
                        @if let Some(mark) = chart.mark.as_ref().filter(|_| number == 0) {
                            @let late = share(mark.at, end) > TEXT_FITS;
                            span class=(if late { "mark late" } else { "mark" }) { (mark.text) }
                        }
                    }
                    ul { @for bar in bars { (bar_html(bar, end)) } }
                }
            }
        }
    }
}

fn bar_html(bar: &Bar, end: f64) -> Markup {
    let class = format!("{}{}", chart::class_of(bar.contender), if bar.chosen { " chosen" } else { "" });
    let width = |value: f64| format!("width:{:.1}%", share(value, end) * 100.0);
    html! {
        li class=(class) {
            span class="who" {
                (bar.contender)
                @if bar.contender.transport.encrypted() { (lock()) }
            }
            span class="track" {
                i class="tail" style=(width(bar.high)) {}
                i class="body" style=(width(bar.low)) {}
            }
            span class="value" { (bar.value) }
        }
    }
}

/// Renders the sign of encryption.
pub(crate) fn lock() -> Markup {
    html! {
        svg class="lock" viewBox="0 0 10 12" role="img" aria-label=(ENCRYPTED) {
            title { (ENCRYPTED) }
            path d="M1 5.7h8V11.3H1z" {}
            path d="M2.6 5.7V3.4a2.4 2.4 0 0 1 4.8 0v2.3" {}
        }
    }
}

/// Writes the chart as text of at most `width` columns.
pub(crate) fn text(out: &mut String, chart: &Bars, width: usize) {
    let all = || chart.sets.iter().flat_map(|set| &set.bars);
    let names = all().map(|bar| bar.contender.to_string().chars().count()).max().unwrap_or(0);
    let marked = if all().any(|bar| bar.contender.transport.encrypted()) { ENCRYPTED.len() + 2 } else { 0 };
    let values = all().map(|bar| bar.value.chars().count()).max().unwrap_or(0).min(VALUE_COLUMNS);
    let columns = width.saturating_sub(2 + names + 2 + marked + 1 + values).max(BAR_COLUMNS_MIN);
    let _ = write!(out, "\n{}", wrapped(&format!("{} {}", chart.title, chart.note), width));
    for (number, (set, bars)) in chart.sorted().enumerate() {
        let end = chart.end(set);
        let at = chart.mark.as_ref().map(|mark| column(mark.at, end, columns));
        let mut heading = format!("{:<1$}", set.heading, 2 + names + 2 + marked);
        if let (0, Some(mark), Some(at)) = (number, &chart.mark, at) {
            // The text ends at the line if it does not fit behind it.
            let place = heading.chars().count() + at;
            let before = place.saturating_sub(mark.text.chars().count() + 1);
            let fits = place + 2 + mark.text.chars().count() <= width;
            let start = if fits { place } else { before };
            let text = if fits { format!("│ {}", mark.text) } else { format!("{} │", mark.text) };
            heading = format!("{heading:<start$}{text}");
        }
        let _ = writeln!(out, "{}", heading.trim_end());
        for bar in bars {
            let word = if bar.contender.transport.encrypted() { ENCRYPTED } else { "" };
            let name = bar.contender.to_string();
            let gap = marked.saturating_sub(2);
            let _ = writeln!(
                out,
                "  {name:<names$}  {word:<gap$}{}{} {:>values$}",
                if marked > 0 { "  " } else { "" },
                bar_text(bar, end, columns, at),
                bar.value
            );
        }
    }
}

/// Returns the place of a value on a scale of columns.
fn column(value: f64, end: f64, columns: usize) -> usize {
    (share(value, end) * columns as f64).round() as usize
}

fn bar_text(bar: &Bar, end: f64, columns: usize, mark: Option<usize>) -> String {
    let (low, high) = (column(bar.low, end, columns), column(bar.high, end, columns).max(1));
    let cell = |at: usize| match at {
        _ if at < low => '█',
        _ if at < high => '▒',
        _ if Some(at) == mark => '│',
        _ => ' ',
    };
    (0..columns).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Bars {
        let bar = |name: &str, low, high| Bar {
            contender: Contender::plain(name.parse::<netduel_transport::TransportKind>().expect("a kind")),
            low,
            high,
            value: format!("{high} ms"),
            chosen: name == "quic-datagram",
        };
        let bars =
            vec![bar("tcp", 40.0, 500.0), bar("quic-datagram", 35.0, 90.0), bar("udp", 35.0, f64::INFINITY)];
        let mark = Some(Mark { at: 100.0, text: "you notice this".into() });
        Bars {
            title: "Age.".into(),
            note: "Shorter.".into(),
            mark,
            sets: vec![Set { heading: "busy Wi-Fi".into(), bars }],
        }
    }

    #[test]
    fn text_is_sorted_and_fits() {
        let mut out = String::new();
        text(&mut out, &chart(), 60);
        let expected = "
Age. Shorter.
busy Wi-Fi                       │ you notice this
  quic-datagram  encrypted  ██▒▒▒│                     90 ms
  tcp                       ██▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ 500 ms
  udp                       ██▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ inf ms
";
        assert_eq!(out, expected);
        assert!(out.lines().all(|line| line.chars().count() <= 60));
    }

    #[test]
    fn page_has_widths_and_mark() {
        let page = html(&chart()).into_string();
        for part in ["--at:0.200", "width:18.0%", "width:100.0%", "chosen", "aria-label=\"encrypted\""] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(page.find("quic-datagram") < page.find("tcp"));
    }
}
