//! The content of a recording as tables and sentences, for the page and the terminal. Pure.

use std::time::{Duration, UNIX_EPOCH};

use netduel_client::{
    recording::{FIGURES_MAX, Recording, Side},
    stats::{MoveStats, Samples, live::Figures},
};
use netduel_transport::{PathStats, TransportKind};

use crate::{
    analysis::units::milliseconds,
    render::table::{Cell, Heading, Table, UNKNOWN},
};

/// One player's link: its measurements of the opponent, and the statistics of its transport.
pub(crate) struct Link<'a> {
    /// The class of the style sheet.
    pub(crate) class: &'static str,
    /// The name of the player.
    pub(crate) name: String,
    pub(crate) side: &'a Side,
    /// The round-trip times of the pings, one for each sample.
    pub(crate) round_trip: Samples,
    /// The jitter at each sample.
    pub(crate) jitter: Samples,
    /// The figures, if the player's figures are known.
    pub(crate) known: Option<Known<'a>>,
}

/// The known figures of a link.
pub(crate) struct Known<'a> {
    pub(crate) first: &'a Figures,
    pub(crate) last: &'a Figures,
    pub(crate) totals: &'a MoveStats,
}

impl Link<'_> {
    pub(crate) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Describes the transport, if it is one of Netduel's.
    pub(crate) fn transport_words(&self) -> String {
        let name = &self.side.transport;
        let known = name.parse::<TransportKind>().ok();
        known.map_or_else(|| name.clone(), |kind| format!("{name}: {}", kind.summary()))
    }

    /// Returns the player and its transport.
    pub(crate) fn title(&self) -> String {
        format!("{} over {}", self.name, self.side.transport)
    }
}

/// Returns both links: that of the player who saved the recording, and that of the opponent.
pub(crate) fn links(recording: &Recording) -> [Link<'_>; 2] {
    let Recording { me, opponent, .. } = recording;
    let named = |side: &Side, or: &str| if side.name.is_empty() { or.into() } else { side.name.clone() };
    let mine = named(me, "you");
    let mut theirs = named(opponent, "the opponent");
    if mine == theirs {
        theirs += " (the opponent)";
    }
    [link("me", mine, me), link("opponent", theirs, opponent)]
}

fn link<'a>(class: &'static str, name: String, side: &'a Side) -> Link<'a> {
    let (mut round_trip, mut jitter) = (Samples::default(), Samples::default());
    for figures in &side.figures {
        figures.round_trip.current_us.into_iter().for_each(|us| round_trip.record(us));
        jitter.record(figures.jitter_us.round() as u64);
    }
    let known = match (side.figures.front(), side.figures.back(), &side.totals) {
        (Some(first), Some(last), Some(totals)) => Some(Known { first, last, totals }),
        _ => None,
    };
    Link { class, name, side, round_trip, jitter, known }
}

/// Describes the match as names and values.
pub(crate) fn about(recording: &Recording, [me, opponent]: &[Link<'_>; 2]) -> Vec<(&'static str, String)> {
    let when = |unix_s: u64| {
        // RFC 3339 cannot express the year 10,000, and a wrong clock must not end the program.
        let time = UNIX_EPOCH + Duration::from_secs(unix_s.min(253_402_300_799));
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let server = recording.server.as_deref();
    let length_s = me.known.as_ref().map_or(0.0, |known| known.last.at_us as f64 / 1e6);
    let mut about = vec![
        ("played", format!("{} against {}", me.title(), opponent.title())),
        ("server", server.map_or_else(|| format!("in {}'s program", me.name), str::to_owned)),
        ("began", when(recording.started_unix_s)),
        ("length", format!("{length_s:.1} s, {} moves per second by {}", recording.rate_hz, me.name)),
        ("saved", format!("{} by netduel {}", when(recording.saved_unix_s), recording.version)),
    ];
    if recording.me.figures.len() >= FIGURES_MAX {
        about.push(("note", "the recording keeps only the last ten minutes of delays over time".into()));
    }
    about
}

/// Describes the experience of each player in a sentence, and names unknown figures.
pub(crate) fn words([me, opponent]: &[Link<'_>; 2]) -> Vec<String> {
    let mut words: Vec<String> = [(me, opponent), (opponent, me)].into_iter().filter_map(felt).collect();
    if !opponent.is_known() {
        words.push(format!(
            "The figures of {} are unknown: a remote player does not report them. The one-way \
             delay and the age here cover the whole path from {0}, so they include the remote \
             player's line.",
            opponent.name
        ));
    }
    words
}

fn felt((link, other): (&Link<'_>, &Link<'_>)) -> Option<String> {
    let Known { last, totals, .. } = link.known.as_ref()?;
    let ms = |us: u64| milliseconds(us as f64);
    let half = totals.age.quantile_us(0.5).map(ms)?;
    let mut text =
        format!("Half of the time, {}'s view of {} was younger than {half} ms", link.name, other.name);
    if let Some(tail) = totals.age.quantile_us(0.99).map(ms) {
        text += &format!("; 1 % of the time the view was older than {tail} ms");
    }
    text += &match last.freezes {
        0 => format!(". {} never froze.", other.name),
        freezes => format!(
            ". {} froze {freezes} time{}, for {} ms at most.",
            other.name,
            if freezes == 1 { "" } else { "s" },
            ms(last.longest_gap_us)
        ),
    };
    Some(text)
}

/// A table with its title.
pub(crate) struct Part {
    pub(crate) title: &'static str,
    pub(crate) table: Table,
}

/// A column: its heading, its meaning and its cell.
type Column = (&'static str, &'static str, fn(&Link<'_>, &Known<'_>) -> Option<String>);

/// Returns all tables; each fits a screen.
pub(crate) fn tables(links: &[&Link<'_>]) -> Vec<Part> {
    let part = |title, head, columns: &[Column]| Part { title, table: table(links, head, columns) };
    vec![
        part("Age of the opponent's position", "player", AGE),
        part("Delays", "player", DELAYS),
        part("Delivery of the moves", "player", MOVES),
        part("Figures of the transport itself", "player", TRANSPORT),
    ]
}

fn table(links: &[&Link<'_>], head: &'static str, columns: &[Column]) -> Table {
    let heading = |text, meaning, number| Heading { text, meaning, number };
    let mut table = Table::new([]);
    table.headings.push(heading(head, "", false));
    let words = |text: &str| WORDS.contains(&text);
    table.headings.extend(columns.iter().map(|(text, meaning, _)| heading(text, meaning, !words(text))));
    for link in links {
        let cell = |(_, _, read): &Column| {
            let text = link.known.as_ref().and_then(|known| read(link, known));
            Cell::from(text.unwrap_or_else(|| UNKNOWN.into()))
        };
        let head = Cell { head: Some(link.class), ..Cell::from(link.name.clone()) };
        table.rows.push(std::iter::once(head).chain(columns.iter().map(cell)).collect());
    }
    table
}

fn ms_at(samples: &Samples, quantile: f64) -> Option<String> {
    samples.quantile_us(quantile).map(|us| milliseconds(us as f64))
}

fn ms_max(samples: &Samples) -> Option<String> {
    samples.max_us().map(|us| milliseconds(us as f64))
}

fn ms(us: Option<u64>) -> Option<String> {
    us.map(|us| milliseconds(us as f64))
}

fn count(value: Option<u64>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// The columns that hold words and are aligned to the left.
const WORDS: [&str; 2] = ["congestion", "TLS"];

const AGE: &[Column] = &[
    (
        "age ms",
        "the age of the newest known position of the opponent, averaged over time; half a send \
         period of it comes from the rate, not from the transport",
        |_, it| it.totals.age.mean_us().map(milliseconds),
    ),
    ("age p50 ms", "half of the time the position was younger", |_, it| ms_at(&it.totals.age, 0.5)),
    ("age p95 ms", "95 % of the time the position was younger", |_, it| ms_at(&it.totals.age, 0.95)),
    ("age p99 ms", "99 % of the time the position was younger", |_, it| ms_at(&it.totals.age, 0.99)),
    ("age max ms", "the largest age", |_, it| ms_max(&it.totals.age)),
    ("freezes", "gaps of more than three of the opponent's send periods", |_, it| {
        Some(it.last.freezes.to_string())
    }),
    ("longest gap ms", "the longest time between two fresh moves", |_, it| ms(Some(it.last.longest_gap_us))),
];

const DELAYS: &[Column] = &[
    (
        "round trip p50 ms",
        "pings to the server and back, ten per second, without the time within the server",
        |it, _| ms_at(&it.round_trip, 0.5),
    ),
    ("p95 ms", "95 of 100 pings took less", |it, _| ms_at(&it.round_trip, 0.95)),
    ("max ms", "the slowest ping", |it, _| ms_max(&it.round_trip)),
    (
        "one way p50 ms",
        "from the opponent's intended send time through the server to the arrival here",
        |_, it| ms_at(&it.totals.one_way, 0.5),
    ),
    ("p95 ms", "95 of 100 moves took less", |_, it| ms_at(&it.totals.one_way, 0.95)),
    ("p99 ms", "99 of 100 moves took less", |_, it| ms_at(&it.totals.one_way, 0.99)),
    (
        "± ms",
        "possible error of the clocks, and so of the one-way delay and the age; 0 if all share one clock",
        |_, it| Some(milliseconds(f64::from(it.totals.clock_error_us))),
    ),
    ("jitter p50 ms", "interarrival jitter (RFC 3550), the median of ten samples per second", |it, _| {
        ms_at(&it.jitter, 0.5)
    }),
    ("max ms", "the largest jitter", |it, _| ms_max(&it.jitter)),
];

const MOVES: &[Column] = &[
    ("sent", "own moves sent", |_, it| Some(it.last.sent.to_string())),
    ("superseded", "own moves that a newer move replaced before they left", |_, it| {
        Some(it.last.superseded.to_string())
    }),
    ("received", "moves of the opponent that were newer than all earlier ones", |_, it| {
        Some(it.last.received.to_string())
    }),
    ("late", "moves of the opponent that arrived after a newer one", |_, it| Some(it.last.late.to_string())),
    (
        "lost",
        "moves of the opponent that never arrived: lost, or replaced by a newer one on the way",
        |_, it| Some(it.last.missing.to_string()),
    ),
    ("lost %", "share of the opponent's moves up to the last one that arrived", |_, it| {
        let all = it.last.received.saturating_add(it.last.late).saturating_add(it.last.missing);
        (all > 0).then(|| format!("{:.1}", it.last.missing as f64 * 100.0 / all as f64))
    }),
    ("B/s out", "bytes sent per second, IP headers included, over the plotted time", |_, it| {
        per_s(it, |path| path.sent_bytes)
    }),
    ("B/s in", "bytes received per second", |_, it| per_s(it, |path| path.received_bytes)),
    ("packets/s out", "packets sent per second", |_, it| per_s(it, |path| path.sent_packets)),
    ("packets/s in", "packets received per second", |_, it| per_s(it, |path| path.received_packets)),
];

/// Returns the growth per second between the first figures and the last.
fn per_s(known: &Known<'_>, read: fn(&PathStats) -> Option<u64>) -> Option<String> {
    let grown = read(&known.last.path)?.saturating_sub(read(&known.first.path)?);
    let seconds = known.last.at_us.saturating_sub(known.first.at_us) as f64 / 1e6;
    (seconds > 0.0).then(|| format!("{:.0}", grown as f64 / seconds))
}

const TRANSPORT: &[Column] = &[
    ("RTT ms", "smoothed round-trip time of the transport's loss recovery, at the end", |_, it| {
        ms(it.last.path.rtt_us)
    }),
    ("min RTT ms", "the lowest round-trip time", |_, it| ms(it.last.path.min_rtt_us)),
    ("window B", "congestion window, at the end", |_, it| count(it.last.path.congestion_window_bytes)),
    ("congestion", "congestion control in effect", |_, it| {
        it.last.path.congestion.as_ref().map(ToString::to_string)
    }),
    ("lost", "packets that the transport declared lost", |_, it| count(it.last.path.lost_packets)),
    ("retransmitted", "segments that the transport retransmitted; QUIC counts none", |_, it| {
        count(it.last.path.retransmitted_packets)
    }),
    ("throttled", "moves that ENet dropped to relieve the path", |_, it| {
        count(it.last.path.recovery.throttled_messages)
    }),
    ("packet B", "largest packet payload", |_, it| count(it.last.path.max_packet_bytes)),
    ("TLS", "version and suite", |_, it| it.last.path.tls.as_ref().map(ToString::to_string)),
];
