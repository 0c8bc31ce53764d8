//! The path of a move: bars that split its delay into the way to the server, the time in it, and
//! the way from it.
//!
//! The times are medians of the last five seconds.

use eframe::egui::{self, Align2, Color32, CornerRadius, FontId, Rect, RichText, Sense, Ui, pos2, vec2};
use netduel_client::stats::live::Figures;

use crate::{
    model::thresholds::ms,
    theme::{self, Palette, palette},
};

/// The height of a bar, in points.
const BAR_HEIGHT: f32 = 18.0;
/// The smallest width of a part, in points, so that a player can see and hover it.
const PART_MIN: f32 = 6.0;

/// One part of a path.
struct Part {
    name: &'static str,
    time_us: Option<u64>,
    color: fn(&Palette) -> Color32,
    about: &'static str,
}

/// Draws the paths of both directions. `opponent` is known if the opponent is this program's bot.
pub(crate) fn show(ui: &mut Ui, figures: &Figures, opponent: Option<&Figures>) {
    let mine = |name, about| Part { name, time_us: figures.up.p50_us, color: |colors| colors.me, about };
    let server = || Part {
        name: "in the server",
        time_us: figures.in_server.p50_us,
        color: |colors| colors.muted,
        about: "Time from a ping's arrival in the server to its answer. A relayed move takes the same path.",
    };
    let rest = |total: Option<u64>, known: [Option<u64>; 2]| {
        let known = known.into_iter().map(|part| part.unwrap_or(0)).fold(0, u64::saturating_add);
        total.map(|total| total.saturating_sub(known))
    };
    let out_us =
        opponent.map(|opponent| rest(opponent.one_way.p50_us, [figures.up.p50_us, figures.in_server.p50_us]));
    bar(
        ui,
        "My moves",
        &[
            mine("me to server", "One-way delay of a ping from here to the server."),
            server(),
            Part {
                name: "server to opponent",
                time_us: out_us.flatten(),
                color: |colors| colors.opponent,
                about: "The one-way delay that the opponent measures, minus the other two parts. Known \
                 only against the bot, because a remote player does not send it.",
            },
        ],
    );
    let back_us = rest(figures.one_way.p50_us, [figures.down.p50_us, figures.in_server.p50_us]);
    bar(
        ui,
        "Opponent",
        &[
            Part {
                name: "opponent to server",
                time_us: back_us,
                color: |colors| colors.opponent,
                about: "The one-way delay of the opponent's moves, minus the other two parts: the \
                 opponent's link to the server, and queues on it.",
            },
            server(),
            Part {
                name: "server to me",
                time_us: figures.down.p50_us,
                color: |colors| colors.me,
                about: "One-way delay of a pong from the server to here.",
            },
        ],
    );
}

/// Draws one path as a bar of parts.
fn bar(ui: &mut Ui, name: &str, parts: &[Part]) {
    let colors = palette(ui.visuals());
    ui.horizontal(|ui| {
        theme::fixed_label(ui, RichText::new(name).color(colors.muted), 66.0);
        let (bar, _) = ui.allocate_exact_size(vec2(ui.available_width(), BAR_HEIGHT), Sense::hover());
        let total: u64 = parts.iter().filter_map(|part| part.time_us).sum();
        let spare = bar.width() - PART_MIN * parts.len() as f32;
        let mut left = bar.left();
        for (number, part) in parts.iter().enumerate() {
            let share = if total > 0 {
                part.time_us.unwrap_or(0) as f32 / total as f32
            } else {
                1.0 / parts.len() as f32
            };
            let width = PART_MIN + spare.max(0.0) * share;
            let rect = Rect::from_min_size(pos2(left, bar.top()), vec2(width - 1.5, BAR_HEIGHT));
            left += width;
            let color = (part.color)(&colors);
            let known = part.time_us.is_some();
            let fill = color.gamma_multiply(if known { 0.35 } else { 0.12 });
            ui.painter().rect_filled(rect, CornerRadius::same(4), fill);
            let text = if known { format!("{} ms", ms(part.time_us)) } else { "not known".into() };
            let galley = ui.painter().layout_no_wrap(
                text.clone(),
                FontId::proportional(11.5),
                ui.visuals().text_color(),
            );
            if galley.size().x + 6.0 < rect.width() {
                ui.painter().text(
                    rect.center(),
                    Align2::CENTER_CENTER,
                    &text,
                    FontId::proportional(11.5),
                    ui.visuals().text_color(),
                );
            }
            let response = ui.interact(rect, ui.scope_id().with((name, number)), Sense::hover());
            let label = format!("{}: {text}", part.name);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &label));
            response.on_hover_ui(|ui| {
                ui.strong(&label);
                ui.label(part.about);
            });
        }
    });
}

/// Draws the legend of the colours.
pub(crate) fn legend(ui: &mut Ui) {
    let colors = palette(ui.visuals());
    let lines =
        [("my link", colors.me), ("in the server", colors.muted), ("the opponent's link", colors.opponent)];
    theme::legend(ui, &lines);
}
