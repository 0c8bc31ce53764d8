//! The plots of recent delays. `client/stats/live.rs` computes their points.

use eframe::egui::{Color32, Ui, Vec2, Vec2b};
use egui_plot::{Axis, GridMark, Line, Plot, PlotBounds, PlotPoints, Span};
use netduel_client::stats::live::Trace;

use crate::theme::palette;

/// The smallest span of the y axis, in ms, so that the microseconds of a loopback look small.
const SPAN_MIN_MS: f64 = 20.0;

/// A line of a plot.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: &'a [[f64; 2]],
    pub(crate) color: Color32,
    pub(crate) width: f32,
    pub(crate) fill: bool,
}

/// Draws the delays of one player's link.
pub(crate) fn link(ui: &mut Ui, trace: &Trace, now_s: f64, span_s: f64, height: f32) {
    let colors = palette(ui.visuals());
    let series = [
        Series { name: "age", points: &trace.age, color: colors.opponent, width: 1.3, fill: true },
        Series { name: "round trip", points: &trace.round_trip, color: colors.me, width: 1.5, fill: false },
        Series { name: "one way", points: &trace.one_way, color: colors.good, width: 1.2, fill: false },
    ];
    draw(ui, "link", &series, &trace.freezes, now_s, span_s, height);
}

/// Draws lines over the last `span_s` seconds up to `now_s`. The axis shows times before now as
/// negative.
pub(crate) fn draw(
    ui: &mut Ui,
    id: &str,
    series: &[Series<'_>],
    freezes: &[(f64, f64)],
    now_s: f64,
    span_s: f64,
    height: f32,
) {
    let colors = palette(ui.visuals());
    let from_s = now_s - span_s;
    let newest = |line: &Series<'_>| {
        line.points.iter().filter(|point| point[0] >= from_s).map(|point| point[1]).fold(0.0, f64::max)
    };
    let top_ms = nice(series.iter().map(newest).fold(SPAN_MIN_MS, f64::max) * 1.08);
    // Labels at the ends would overlap the other axis or the edge.
    let label = move |value: f64| {
        if value > -span_s * 0.95 && value < -span_s * 0.02 { format!("{value:.0} s") } else { String::new() }
    };
    let response = Plot::new(id)
        .height(height)
        .show_x(false)
        .show_y(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .set_margin_fraction(Vec2::ZERO)
        .auto_bounds(Vec2b::FALSE)
        .show_background(false)
        .grid_color(colors.line)
        .y_axis_min_width(44.0)
        .x_grid_spacer(move |_| marks(-span_s, 0.0, even_step(span_s)))
        .y_grid_spacer(move |_| marks(0.0, top_ms, even_step(top_ms)))
        .x_axis_formatter(move |mark: GridMark, _| label(mark.value))
        .y_axis_formatter(move |mark: GridMark, _| duration(mark.value, top_ms))
        .label_formatter(|_| None)
        .show(ui, |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([-span_s, 0.0], [0.0, top_ms]));
            for (begin_s, end_s) in freezes.iter().filter(|(_, end_s)| *end_s > from_s) {
                let range = (begin_s - now_s).max(-span_s)..=(end_s - now_s);
                plot.span(
                    Span::new("", range)
                        .axis(Axis::X)
                        .fill(colors.poor.gamma_multiply(0.18))
                        .border_width(0.0),
                );
            }
            for line in series {
                let points: PlotPoints<'_> =
                    line.points.iter().map(|point| [point[0] - now_s, point[1]]).collect();
                let mut drawn = Line::new(line.name, points).color(line.color).width(line.width);
                if line.fill {
                    drawn = drawn.fill(0.0).fill_alpha(0.10);
                }
                // Bands hide single teeth and break steep lines.
                plot.line(drawn.allow_hover(false).allow_band(false));
            }
        });
    response.response.on_hover_text(
        "The right edge is now. A red span is a freeze: the opponent stood \
     still for more than three of its send periods.",
    );
}

/// Formats a time on an axis that reaches to `top_ms`.
fn duration(value_ms: f64, top_ms: f64) -> String {
    if top_ms >= 2_000.0 { format!("{:.1} s", value_ms / 1e3) } else { format!("{value_ms:.0} ms") }
}

/// Returns a grid mark at every `step`.
fn marks(from: f64, to: f64, step: f64) -> Vec<GridMark> {
    let count = ((to - from) / step).round().clamp(1.0, 20.0) as u32;
    (0..=count).map(|mark| GridMark { value: from + f64::from(mark) * step, step_size: step }).collect()
}

/// Returns a step of 1, 2 or 5 times a power of ten that divides `whole` into three to six parts.
fn even_step(whole: f64) -> f64 {
    let power = 10_f64.powf((whole / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| whole / step <= 6.0).unwrap_or(whole)
}

/// Returns the next round number for the end of an axis.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_even_numbers() {
        assert_eq!([20.0, 30.0, 60.0, 150.0, 400.0].map(even_step), [5.0, 5.0, 10.0, 50.0, 100.0]);
        assert_eq!([21.6, 99.0, 100.0, 281.0].map(nice), [30.0, 100.0, 100.0, 300.0]);
    }
}
