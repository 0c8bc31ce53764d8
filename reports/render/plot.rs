//! Plots as inline SVG: axes, lines, strips. Pure.
//!
//! The style sheet sets colours and dashes by class, so that a dark page can change them. The
//! script reads values back from the lines. This file is independent of transports.

use maud::{Markup, html};

/// The width of a plot of lines in CSS pixels. It fits a phone, and two or three plots fit side by
/// side on a desktop.
const WIDTH: f64 = 400.0;
/// The edges of the plotted area, in pixels.
const LEFT: f64 = 44.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 20.0;
/// The height of the plotted area, in pixels.
const AREA_HEIGHT: f64 = 240.0;
/// The width of a plot of strips, which fills a row of the page, in pixels.
const STRIPS_WIDTH: f64 = 900.0;
/// The least height of a strip with its gap, in pixels.
const STRIP_HEIGHT_MIN: f64 = 50.0;
/// The height of numbers and axis name below the area, in pixels.
const FOOT: f64 = 36.0;
/// The gap below each strip for its events, in pixels.
const STRIP_GAP: f64 = 13.0;
/// The distance from the last drawn point, in pixels, below which a point is left out. It applies
/// to both directions.
const POINT_DISTANCE: f64 = 0.7;
/// The number of decades beyond which a logarithmic axis is marked at powers of ten alone.
const DECADES_FINE: f64 = 2.5;

/// An axis, which maps values to pixels.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) log: bool,
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The name beside the axis, with its unit.
    pub(crate) name: &'static str,
    /// The format of its values.
    pub(crate) format: fn(f64) -> String,
    /// The unit behind values that a pointer shows.
    pub(crate) unit: &'static str,
}

impl Axis {
    fn scale(self, start: f64, end: f64) -> Scale {
        Scale { axis: self, start, end }
    }

    /// Returns the values that get a grid line and a number.
    fn ticks(self) -> Vec<f64> {
        let within = |value: &f64| (self.from * 0.999..=self.to * 1.001).contains(value);
        if self.log {
            let decades = (self.to / self.from).log10();
            let steps: &[f64] = if decades > DECADES_FINE { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let powers = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
            let ticks: Vec<f64> = powers
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(within)
                .collect();
            if ticks.len() >= 3 {
                return ticks;
            }
        }
        let step = nice((self.to - self.from) / 5.0);
        let first = (self.from / step).ceil() as i64;
        (first..first + 10).map(|number| number as f64 * step).filter(within).collect()
    }
}

/// Returns the next larger of 1, 2, 5, 10 and so on, as the distance between marks.
fn nice(value: f64) -> f64 {
    rounded_up(value, &[1.0, 2.0, 5.0])
}

/// Returns the next larger value of two digits, as the end of an axis.
pub(crate) fn end_of(value: f64) -> f64 {
    rounded_up(value, &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0])
}

fn rounded_up(value: f64, steps: &[f64]) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    steps.iter().map(|step| step * power).find(|it| *it >= value * 0.999).unwrap_or(10.0 * power)
}

/// An axis with its position.
#[derive(Clone, Copy)]
struct Scale {
    axis: Axis,
    start: f64,
    end: f64,
}

impl Scale {
    fn px(self, value: f64) -> f64 {
        let Axis { log, from, to, .. } = self.axis;
        let share = if log { (value / from).ln() / (to / from).ln() } else { (value - from) / (to - from) };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Returns the axis in the form from which the script turns pixels into values.
    fn data(self) -> String {
        let Axis { log, from, to, unit, .. } = self.axis;
        format!("{} {from} {to} {} {} {unit}", if log { "log" } else { "linear" }, self.start, self.end)
    }
}

/// Formats a pixel coordinate to a tenth.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A line of a plot.
pub(crate) struct Line {
    /// The class of the style sheet, which sets colour and dashes.
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// The points with a dot, and the text of each dot.
    pub(crate) dots: Vec<(f64, f64, String)>,
    /// The uncertainty of points: (x, lowest, highest).
    pub(crate) ranges: Vec<(f64, f64, f64)>,
}

/// The coordinate of the pointer that picks the points whose values are shown.
#[derive(Clone, Copy)]
pub(crate) enum Pick {
    X,
    Y,
}

impl Pick {
    fn name(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::Y => "y",
        }
    }
}

/// Draws lines over two axes. The first line is drawn over all others.
pub(crate) fn lines(label: &str, x: Axis, y: Axis, pick: Pick, lines: &[Line]) -> Markup {
    let bottom = TOP + AREA_HEIGHT;
    let (x, y) = (x.scale(LEFT, RIGHT), y.scale(bottom, TOP));
    html! {
        svg class="plot" role="img" aria-label=(label) viewBox=(format!("0 0 {WIDTH} {}", bottom + FOOT))
            data-pick=(pick.name()) data-x=(x.data()) data-y=(y.data()) {
            (grid_x(x, bottom))
            (grid_y(y))
            text class="name" x="2" y=(px(TOP - 9.0)) { (y.axis.name) }
            @for line in lines.iter().rev() {
                g class=(line.class) {
                    @for (at, low, high) in &line.ranges {
                        path class="range"
                            d=(format!("M{0} {1}V{2}", px(x.px(*at)), px(y.px(*low)), px(y.px(*high)))) {}
                    }
                    path class="line" data-name=(line.name) d=(path(&line.points, x, y)) {}
                    @for (at, value, tip) in &line.dots {
                        circle cx=(px(x.px(*at))) cy=(px(y.px(*value))) r="3" { title { (tip) } }
                    }
                }
            }
        }
    }
}

fn grid_x(x: Scale, bottom: f64) -> Markup {
    html! {
        g class="grid" {
            @for tick in x.axis.ticks() {
                path d=(format!("M{} {TOP}V{bottom}", px(x.px(tick)))) {}
                text x=(px(x.px(tick))) y=(px(bottom + 14.0)) text-anchor="middle" { ((x.axis.format)(tick)) }
            }
            text class="name" x=(px(f64::midpoint(x.start, x.end))) y=(px(bottom + 30.0)) text-anchor="middle" {
                (x.axis.name)
            }
        }
    }
}

fn grid_y(y: Scale) -> Markup {
    html! {
        g class="grid" {
            @for tick in y.axis.ticks() {
                path d=(format!("M{LEFT} {}H{RIGHT}", px(y.px(tick)))) {}
                text x=(px(LEFT - 5.0)) y=(px(y.px(tick) + 3.5)) text-anchor="end" { ((y.axis.format)(tick)) }
            }
        }
    }
}

fn path(points: &[(f64, f64)], x: Scale, y: Scale) -> String {
    let mut out = String::new();
    let mut last: Option<(f64, f64)> = None;
    let end = points.len().saturating_sub(1);
    for (index, (at, value)) in points.iter().enumerate() {
        let here = (x.px(*at), y.px(*value));
        let near = |last: (f64, f64)| {
            (here.0 - last.0).abs() < POINT_DISTANCE && (here.1 - last.1).abs() < POINT_DISTANCE
        };
        if index != end && last.is_some_and(near) {
            continue;
        }
        out.push_str(&format!("{}{} {}", if last.is_none() { 'M' } else { 'L' }, px(here.0), px(here.1)));
        last = Some(here);
    }
    out
}

/// A strip: a quantity over time.
pub(crate) struct Strip {
    pub(crate) class: String,
    pub(crate) name: String,
    /// The points: (time, mean, largest).
    pub(crate) points: Vec<(f64, f64, f64)>,
    /// The times of single events, drawn below the strip.
    pub(crate) events: Vec<f64>,
}

/// Draws strips under each other, with a common time axis and a common scale of values. `shades`
/// are the periods, from and to, of a condition that affected all strips.
pub(crate) fn strips(label: &str, x: Axis, y: Axis, shades: &[(f64, f64)], strips: &[Strip]) -> Markup {
    let height = (AREA_HEIGHT / strips.len().max(1) as f64).max(STRIP_HEIGHT_MIN);
    let bottom = TOP + height * strips.len() as f64;
    let x = x.scale(LEFT, STRIPS_WIDTH - (WIDTH - RIGHT));
    html! {
        svg class="plot strips" role="img" aria-label=(label) viewBox=(format!("0 0 {STRIPS_WIDTH} {}", bottom + FOOT))
            data-pick="x" data-x=(x.data()) {
            g class="shade" {
                @for (from, to) in shades {
                    rect x=(px(x.px(*from))) y=(TOP) height=(bottom - TOP)
                        width=(px((x.px(*to) - x.px(*from)).max(1.0))) {}
                }
            }
            (grid_x(x, bottom))
            text class="name" x="2" y=(px(TOP - 9.0)) { (y.name) }
            @for (index, strip) in strips.iter().enumerate() {
                (one_strip(strip, x, y, TOP + index as f64 * height, height - STRIP_GAP))
            }
        }
    }
}

fn one_strip(strip: &Strip, x: Scale, y: Axis, top: f64, height: f64) -> Markup {
    let floor = top + height;
    let scale = y.scale(floor, top + 2.0);
    let means: Vec<(f64, f64)> = strip.points.iter().map(|(at, mean, _)| (*at, *mean)).collect();
    let tops: Vec<(f64, f64)> = strip.points.iter().map(|(at, _, top)| (*at, *top)).collect();
    let outline: Vec<(f64, f64)> = tops.iter().chain(means.iter().rev()).copied().collect();
    let events: String =
        strip.events.iter().map(|at| format!("M{} {}v7", px(x.px(*at)), px(floor + 2.0))).collect();
    html! {
        g class="grid" {
            path class="floor" d=(format!("M{LEFT} {floor}H{}", x.end)) {}
            text x=(px(LEFT - 5.0)) y=(px(floor + 1.0)) text-anchor="end" { ((y.format)(y.from)) }
            text x=(px(LEFT - 5.0)) y=(px(top + 9.0)) text-anchor="end" { ((y.format)(y.to)) }
        }
        g class=(strip.class) {
            path class="band" d=(format!("{}Z", path(&outline, x, scale))) {}
            path class="peak" data-name=(format!("{} oldest", strip.name)) data-y=(scale.data())
                d=(path(&tops, x, scale)) {}
            path class="line" data-name=(format!("{} mean", strip.name)) data-y=(scale.data())
                d=(path(&means, x, scale)) {}
            path class="event" d=(events) {}
            text class="label" x=(px(x.end - 3.0)) y=(px(top + 10.0)) text-anchor="end" { (strip.name) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(log: bool, from: f64, to: f64) -> Axis {
        Axis { log, from, to, name: "", format: |value| value.to_string(), unit: "" }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(axis(false, 0.0, 3.0).ticks(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(axis(true, 1.0, 60.0).ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(axis(true, 0.001, 1.0).ticks().len(), 4);
        assert_eq!(axis(true, 55.0, 90.0).ticks(), [60.0, 70.0, 80.0, 90.0]);
        assert_eq!([0.3, 1.0, 2.1, 70.0].map(nice), [0.5, 1.0, 5.0, 100.0]);
        assert_eq!([383.0, 1.0, 85.0].map(end_of), [400.0, 1.0, 100.0]);
    }

    #[test]
    fn log_scale_is_even_and_clips() {
        let scale = axis(true, 1.0, 100.0).scale(0.0, 200.0);
        assert_eq!(
            [0.5, 1.0, 10.0, 100.0, 999.0].map(|value| scale.px(value).round()),
            [0.0, 0.0, 100.0, 200.0, 200.0]
        );
    }
}
