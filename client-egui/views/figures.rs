//! The statistics beside the arena, as words and numbers. `client/stats/live.rs` computes them.

use eframe::egui::{self, Grid, RichText, Ui};
use netduel_client::stats::live::{Figures, Recent};

use crate::{
    model::thresholds::{Grade, Thresholds, ms},
    theme::{card, palette},
};

/// The shortest match with a freeze rate, in µs.
const FREEZE_RATE_FROM_US: u64 = 5_000_000;

/// Draws the four figures that a player feels as large tiles.
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
            Thresholds::AGE_MS.grade(in_ms(figures.age.p95_us)),
            "Median age of the opponent's newest known position over the last 5 s. This is the delay that \
             a player feels. Graded by its p95.",
        ),
        (
            "Round trip",
            format!("{} ms", ms(figures.round_trip.p50_us)),
            Thresholds::ROUND_TRIP_MS.grade(in_ms(figures.round_trip.p50_us)),
            "Median round trip of the pings to the server over the last 5 s, without the time in the server.",
        ),
        (
            "Freezes",
            figures.freezes.to_string(),
            Thresholds::FREEZES_PER_MIN.grade(freezes_per_min),
            "Number of times the opponent stood still for more than three of its send periods since the \
             start of the match. Graded by the number per minute.",
        ),
        (
            "Missing",
            missing.map_or("–".into(), |percent| format!("{percent:.1} %")),
            Thresholds::MISSING_PERCENT.grade(missing),
            "Share of the opponent's moves that never arrived: lost on the way, or superseded by a newer \
             one before they were sent.",
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

/// Draws a table of the delays over the last five seconds.
pub(crate) fn delays(ui: &mut Ui, id: &str, figures: &Figures) {
    let clock_error = match figures.clock_error_us {
        Some(0) => "both hosts share one clock".to_owned(),
        None => "not known before the first pong".to_owned(),
        Some(error_us) => format!("± {} ms, because the clocks differ", ms(Some(error_us.into()))),
    };
    let one_way = format!(
        "Delay from the intended sending of the opponent's move to its arrival here, through the server. \
         Clock error: {clock_error}."
    );
    let rows: [(&str, Recent, Thresholds, &str); 3] = [
        (
            "Age",
            figures.age,
            Thresholds::AGE_MS,
            "Age of the opponent's newest known position, weighted by time. The age grows until the next \
             move arrives.",
        ),
        ("One way", figures.one_way, Thresholds::ONE_WAY_MS, &one_way),
        (
            "Round trip",
            figures.round_trip,
            Thresholds::ROUND_TRIP_MS,
            "Round trip of the pings to the server, without the time in the server.",
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
                "Interarrival jitter (RFC 3550): running mean of the difference between the spacing of \
                 moves at arrival and at sending.",
            );
            right(ui, RichText::new(ms(jitter_ms.map(|ms| (ms * 1e3) as u64))).monospace());
            (0..3).for_each(|_| drop(ui.label("")));
            graded(ui, Thresholds::JITTER_MS.grade(jitter_ms));
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

/// Draws the counts of sent and received moves, bytes and packets.
pub(crate) fn counts(ui: &mut Ui, id: &str, figures: &Figures) {
    let rates = figures.rates;
    let kilo = |value: Option<f64>| value.map_or("–".into(), |per_s| format!("{:.1} kB/s", per_s / 1e3));
    let packets = |value: Option<f64>| value.map_or("–".into(), |per_s| format!("{per_s:.0} packets/s"));
    let rows: [(&str, String, &str); 10] = [
        ("Moves sent", figures.sent.to_string(), "Moves that this side sent since the start of the match."),
        (
            "superseded",
            figures.superseded.to_string(),
            "Sent moves that a newer move replaced before they left this host.",
        ),
        (
            "Moves received",
            figures.received.to_string(),
            "Moves of the opponent that were newer than all moves before.",
        ),
        (
            "late",
            figures.late.to_string(),
            "Moves that arrived after a newer one: late, reordered or duplicated. They do not change the \
             screen.",
        ),
        (
            "Moves missing",
            figures.missing.to_string(),
            "Moves that never arrived: lost on the way, or superseded before they were sent. The receiver \
             cannot tell the two apart.",
        ),
        (
            "longest gap",
            format!("{} ms", ms(Some(figures.longest_gap_us))),
            "Longest time without a fresh move since the start of the match.",
        ),
        (
            "Bytes out",
            kilo(rates.sent_bytes_per_s),
            "Bytes sent on the wire per second, headers included, as the transport counts them.",
        ),
        ("", packets(rates.sent_packets_per_s), "Packets sent per second, acknowledgements included."),
        (
            "Bytes in",
            kilo(rates.received_bytes_per_s),
            "Bytes received from the wire per second, headers included, as the transport counts them.",
        ),
        (
            "",
            packets(rates.received_packets_per_s),
            "Packets received per second, acknowledgements included.",
        ),
    ];
    pairs(ui, id, &rows);
}

/// Draws the statistics that the transport reports itself.
pub(crate) fn transport(ui: &mut Ui, id: &str, figures: &Figures) {
    let path = &figures.path;
    let count = |value: Option<u64>| value.map_or("not counted".into(), |count| count.to_string());
    let bytes = |value: Option<u64>| {
        value.map_or("not known".into(), |bytes| format!("{:.1} kB", bytes as f64 / 1e3))
    };
    let in_ms = |value: Option<u64>| value.map_or("not known".into(), |us| format!("{} ms", ms(Some(us))));
    let rows: [(&str, String, &str); 8] = [
        (
            "Smoothed RTT",
            in_ms(path.rtt_us),
            "The transport's smoothed round-trip time, which includes acknowledgement delays. The round \
             trip above is measured by pings of the game.",
        ),
        ("lowest RTT", in_ms(path.min_rtt_us), "The shortest round-trip time that the transport measured."),
        (
            "Window",
            bytes(path.congestion_window_bytes),
            "Congestion window: the number of bytes that may be in flight.",
        ),
        (
            "control",
            path.congestion.as_ref().map_or("not known".into(), ToString::to_string),
            "The congestion control in effect, as the network stack reports it.",
        ),
        (
            "Retransmits",
            count(path.retransmitted_packets),
            "Retransmitted packets. QUIC retransmits data but never packets, so it counts none.",
        ),
        ("lost", count(path.lost_packets), "Packets that the transport declared lost."),
        (
            "Encryption",
            path.tls.as_ref().map_or("none".into(), ToString::to_string),
            "The negotiated TLS version and cipher suite.",
        ),
        ("", String::new(), ""),
    ];
    pairs(ui, id, &rows[..7]);
}

/// Draws names and values, two pairs in a row. A last pair without a partner takes the whole row.
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
