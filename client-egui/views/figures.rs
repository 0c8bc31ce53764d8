//! The statistics beside the arena, as words and numbers. Everything shown was computed by `client/stats/live.rs`.

use eframe::egui::{self, Grid, RichText, Ui};
use netduel_client::stats::live::{Figures, Recent};

use crate::{
    model::thresholds::{Grade, Limits, ms},
    theme::{card, palette},
};

/// Matches shorter than this have no freezes a minute.
const FREEZE_RATE_FROM_US: u64 = 5_000_000;

/// The four figures that a player feels, large.
pub(crate) fn tiles(ui: &mut Ui, figures: &Figures) {
    let in_ms = |value_us: Option<u64>| value_us.map(|us| us as f64 / 1e3);
    let minutes = figures.at_us as f64 / 60e6;
    let freezes_per_min =
        (figures.at_us > FREEZE_RATE_FROM_US).then(|| figures.freezes as f64 / minutes.max(0.5));
    let missing = missing_percent(figures);
    let tiles = [
        (
            "Age",
            format!("{} ms", ms(figures.age.p50_us)),
            Limits::AGE_MS.grade(in_ms(figures.age.p95_us)),
            "How old the opponent's newest known position is: half of the time it is younger than this. Graded by what it exceeds 5 % of the time. This is what a player feels.",
        ),
        (
            "Round trip",
            format!("{} ms", ms(figures.round_trip.p50_us)),
            Limits::ROUND_TRIP_MS.grade(in_ms(figures.round_trip.p50_us)),
            "From here to the server and back: the median of the pings of the last 5 s, without the time within the server.",
        ),
        (
            "Freezes",
            figures.freezes.to_string(),
            Limits::FREEZES_PER_MIN.grade(freezes_per_min),
            "How often the opponent stood still for more than three of its send periods since the match began. Graded by how often a minute.",
        ),
        (
            "Missing",
            missing.map_or("–".into(), |percent| format!("{percent:.1} %")),
            Limits::MISSING_PERCENT.grade(missing),
            "Moves of the opponent that never came: lost on the way, or replaced by a newer one before they left.",
        ),
    ];
    ui.columns(tiles.len(), |columns| {
        for (column, (name, value, grade, about)) in columns.iter_mut().zip(tiles) {
            tile(column, name, &value, grade, about);
        }
    });
}

fn missing_percent(figures: &Figures) -> Option<f64> {
    let due = figures.received + figures.late + figures.missing;
    (due > 0).then(|| figures.missing as f64 * 100.0 / due as f64)
}

fn tile(ui: &mut Ui, name: &str, value: &str, grade: Grade, about: &str) {
    let colors = palette(ui.visuals());
    let response = card(ui.visuals())
        .inner_margin(egui::Margin::symmetric(10, 8))
        .show(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.label(RichText::new(name).small().color(colors.muted));
            ui.add(egui::Label::new(RichText::new(value).size(18.0).strong()).truncate());
            ui.label(RichText::new(grade.word()).small().strong().color(grade.color(&colors)));
        })
        .response;
    response.on_hover_text(about);
}

/// The delays over the last five seconds, a row each.
pub(crate) fn delays(ui: &mut Ui, id: &str, figures: &Figures) {
    let clock_error = match figures.clock_error_us {
        0 => "both read one clock".to_owned(),
        u32::MAX => "not known before the first pong".to_owned(),
        error_us => format!("± {} ms, since the clocks differ", ms(Some(error_us.into()))),
    };
    let one_way = format!(
        "From the moment the opponent's move was meant to be sent until it was here, through the server. Exact to: {clock_error}."
    );
    let rows: [(&str, Recent, Limits, &str); 3] = [
        (
            "Age",
            figures.age,
            Limits::AGE_MS,
            "How old the opponent's newest known position is, weighted by time: it grows until the next move comes.",
        ),
        ("One way", figures.one_way, Limits::ONE_WAY_MS, &one_way),
        (
            "Round trip",
            figures.round_trip,
            Limits::ROUND_TRIP_MS,
            "Pings from here to the server and back, without the time within it.",
        ),
    ];
    Grid::new(id).num_columns(6).min_row_height(18.0).spacing([12.0, 5.0]).min_col_width(46.0).show(
        ui,
        |ui| {
            ui.label(RichText::new("ms, last 5 s").small().color(palette(ui.visuals()).muted));
            for head in ["now", "p50", "p95", "max", ""] {
                right(ui, RichText::new(head).small().color(palette(ui.visuals()).muted));
            }
            ui.end_row();
            for (name, recent, limits, about) in rows {
                let grade = limits.grade(recent.p95_us.map(|us| us as f64 / 1e3));
                ui.label(name).on_hover_text(about);
                for value_us in [recent.current_us, recent.p50_us, recent.p95_us, recent.max_us] {
                    right(ui, RichText::new(ms(value_us)).monospace());
                }
                graded(ui, grade);
                ui.end_row();
            }
            let jitter_ms = (figures.received > 0).then_some(figures.jitter_us / 1e3);
            ui.label("Jitter").on_hover_text(
                "How unevenly moves arrive, compared with how they were sent (RFC 3550): a running mean.",
            );
            right(ui, RichText::new(ms(jitter_ms.map(|ms| (ms * 1e3) as u64))).monospace());
            (0..3).for_each(|_| drop(ui.label("")));
            graded(ui, Limits::JITTER_MS.grade(jitter_ms));
            ui.end_row();
        },
    );
}

fn graded(ui: &mut Ui, grade: Grade) {
    let colors = palette(ui.visuals());
    ui.label(RichText::new(grade.word()).small().strong().color(grade.color(&colors)));
}

fn right(ui: &mut Ui, text: RichText) {
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| ui.label(text));
}

/// What was sent and what came.
pub(crate) fn counts(ui: &mut Ui, id: &str, figures: &Figures) {
    let rates = figures.rates;
    let kilo = |value: Option<f64>| value.map_or("–".into(), |per_s| format!("{:.1} kB/s", per_s / 1e3));
    let packets = |value: Option<f64>| value.map_or("–".into(), |per_s| format!("{per_s:.0} packets/s"));
    let rows: [(&str, String, &str); 10] = [
        ("Moves sent", figures.sent.to_string(), "Moves that this side sent since the match began."),
        (
            "superseded",
            figures.superseded.to_string(),
            "Of the moves sent, those that were replaced by a newer one before they could leave.",
        ),
        (
            "Moves received",
            figures.received.to_string(),
            "Moves of the opponent that came and were newer than all before.",
        ),
        (
            "late",
            figures.late.to_string(),
            "Moves that came after a newer one: late, reordered or doubled. They change nothing on the screen.",
        ),
        (
            "Never came",
            figures.missing.to_string(),
            "Moves that were skipped and never came: lost on the way, or superseded before they left. The receiver cannot tell which.",
        ),
        (
            "longest gap",
            format!("{} ms", ms(Some(figures.longest_gap_us))),
            "The longest time without a fresh move since the match began.",
        ),
        (
            "Bytes out",
            kilo(rates.sent_bytes_per_s),
            "What crosses the wire, headers included, by the transport's own count.",
        ),
        ("", packets(rates.sent_packets_per_s), "Packets sent a second, acknowledgements included."),
        (
            "Bytes in",
            kilo(rates.received_bytes_per_s),
            "What comes over the wire, headers included, by the transport's own count.",
        ),
        ("", packets(rates.received_packets_per_s), "Packets received a second, acknowledgements included."),
    ];
    pairs(ui, id, &rows);
}

/// What the transport says of itself, beside our own round trip.
pub(crate) fn transport(ui: &mut Ui, id: &str, figures: &Figures) {
    let path = &figures.path;
    let count = |value: Option<u64>| value.map_or("not counted".into(), |count| count.to_string());
    let bytes = |value: Option<u64>| {
        value.map_or("not known".into(), |bytes| format!("{:.1} kB", bytes as f64 / 1e3))
    };
    let in_ms = |value: Option<u64>| value.map_or("not known".into(), |us| format!("{} ms", ms(Some(us))));
    let rows: [(&str, String, &str); 8] = [
        (
            "Its round trip",
            in_ms(path.rtt_us),
            "The transport's own smoothed round trip, with its acknowledgement delays; ours is measured by pings of the game.",
        ),
        ("its lowest", in_ms(path.min_rtt_us), "The shortest round trip that the transport saw."),
        (
            "Window",
            bytes(path.congestion_window_bytes),
            "Congestion window: how much the transport lets be under way at once.",
        ),
        (
            "control",
            path.congestion.clone().unwrap_or_else(|| "not known".into()),
            "The congestion control in effect, read back from the stack.",
        ),
        (
            "Retransmits",
            count(path.retransmitted_packets),
            "Packets sent again. QUIC sends data again, never packets, and counts none.",
        ),
        ("lost", count(path.lost_packets), "Packets that the transport declared lost."),
        (
            "Encryption",
            path.tls.clone().unwrap_or_else(|| "none".into()),
            "The negotiated TLS version and cipher suite.",
        ),
        ("", String::new(), ""),
    ];
    pairs(ui, id, &rows[..7]);
}

/// Two pairs a row: name and value, name and value. The last, if it has no partner, takes the row.
fn pairs(ui: &mut Ui, id: &str, rows: &[(&str, String, &str)]) {
    let muted = palette(ui.visuals()).muted;
    Grid::new(id).num_columns(4).min_row_height(18.0).spacing([12.0, 4.0]).min_col_width(84.0).show(
        ui,
        |ui| {
            for pair in rows.chunks(2).filter(|pair| pair.len() == 2) {
                for (name, value, about) in pair {
                    ui.label(RichText::new(*name).color(muted)).on_hover_text(*about);
                    ui.label(RichText::new(value).monospace()).on_hover_text(*about);
                }
                ui.end_row();
            }
        },
    );
    for (name, value, about) in rows.chunks(2).filter(|pair| pair.len() == 1).flatten() {
        ui.horizontal(|ui| {
            ui.label(RichText::new(*name).color(muted)).on_hover_text(*about);
            ui.add(egui::Label::new(RichText::new(value).monospace()).wrap()).on_hover_text(*about);
        });
    }
}
