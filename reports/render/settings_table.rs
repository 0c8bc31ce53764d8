//! The tables of settings in effect, as the protocol stacks of players and server report them.
//! Pure.

use netduel_transport::{CongestionControl, PathStats};

use crate::{
    analysis::summary::{Row, Summary},
    data::results::Results,
    plan::contender::Contender,
    render::table::Table,
};

/// The text for a value that a side does not report.
const NOT_REPORTED: &str = "unknown";

/// Returns the table of the contenders' properties.
pub(crate) fn contenders(summary: &Summary) -> Table {
    let mut table = Table::new([
        ("transport", false),
        ("lanes", false),
        ("recipients of a move", false),
        ("Nagle", false),
        ("wire may drop a move", false),
    ]);
    for contender in contenders_of(summary) {
        let subject = contender.transport;
        let ours = subject.kind().is_some();
        table.push_of(
            contender,
            [
                subject.summary().into(),
                if ours { contender.relay.to_string() } else { "other".into() },
                if contender.nagle { "on" } else { "off" }.into(),
                if subject.may_drop() { "yes" } else { "no: loss becomes delay" }.into(),
            ],
        );
    }
    table
}

/// Returns the table of the settings on either side.
pub(crate) fn sides(summary: &Summary) -> Table {
    let mut table = Table::new([
        ("transport", false),
        ("side", false),
        ("congestion control", false),
        ("TLS", false),
        ("largest packet B", false),
        ("other settings", false),
    ]);
    type Side = fn(&Row) -> Option<&PathStats>;
    let sides: [(&str, Side); 2] =
        [("players", |row| Some(&row.players)), ("server", |row| row.server.as_ref())];
    for contender in contenders_of(summary) {
        // A baseline reports nothing. Its settings are the defaults of its library.
        let Some(kind) = contender.transport.kind() else { continue };
        for (side, of) in sides {
            let read = |value: fn(&PathStats) -> String| {
                let rows = summary.rows.iter().filter(|row| row.key.contender == contender);
                by_link(
                    rows.map(|row| (row.key.group.link.as_str(), of(row).map_or(NOT_REPORTED.into(), value))),
                )
            };
            table.push_of(
                contender,
                [
                    side.into(),
                    match kind.capabilities().congestion {
                        CongestionControl::AsAsked => read(|path| {
                            path.congestion.as_ref().map_or(NOT_REPORTED.into(), ToString::to_string)
                        }),
                        CongestionControl::Own => "its own".into(),
                        CongestionControl::None => "none".into(),
                    },
                    read(|path| path.tls.as_ref().map_or("not encrypted".into(), ToString::to_string)),
                    read(|path| path.max_packet_bytes.map_or(NOT_REPORTED.into(), |bytes| bytes.to_string())),
                    read(|path| match &path.settings[..] {
                        [] => NOT_REPORTED.into(),
                        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
                    }),
                ],
            );
        }
    }
    table
}

/// Returns the note beside the tables: the source of the settings, and the common settings.
pub(crate) fn note(results: &Results) -> String {
    format!(
        "Each side reports its own settings: the players at the end of a run, the server when the \
         first player joined. Congestion control and socket options are read back from the stack. \
         The other settings of QUIC are the values given to its library. Only TCP has Nagle's \
         algorithm. Warm-up before each window: {} ms.",
        results.scenario.main_sampling().warmup_ms
    )
}

fn contenders_of(summary: &Summary) -> Vec<Contender> {
    let mut contenders: Vec<Contender> = Vec::new();
    for row in &summary.rows {
        if !contenders.contains(&row.key.contender) {
            contenders.push(row.key.contender);
        }
    }
    contenders
}

/// Returns a value that is the same on all links, or else each value with its links.
fn by_link<'a>(values: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut known: Vec<(String, Vec<&str>)> = Vec::new();
    for (link, value) in values {
        let at = known.iter().position(|it| it.0 == value).unwrap_or_else(|| {
            known.push((value, Vec::new()));
            known.len() - 1
        });
        if !known[at].1.contains(&link) {
            known[at].1.push(link);
        }
    }
    match &known[..] {
        [(value, _)] => value.clone(),
        many => many
            .iter()
            .map(|(value, links)| format!("{value} on {}", links.join(", ")))
            .collect::<Vec<_>>()
            .join("; "),
    }
}
