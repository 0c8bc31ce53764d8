//! The columns of figures in a report, with their meaning and format.

use netduel_loadgen::Workload;

use crate::{
    analysis::{repeats::Figure, summary::Row, units::milliseconds},
    data::results::Results,
};

/// A column of figures: its heading, meaning, value and format.
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) figure: fn(&Row) -> Option<Figure>,
    pub(crate) format: fn(f64) -> String,
}

/// The age of positions.
pub(crate) const AGE_P99: Column = Column {
    heading: "age p99 ms",
    meaning: "99 % of the time the position is younger",
    figure: |row| row.age_p99_us,
    format: milliseconds,
};

/// The share of moves that arrive as news.
pub(crate) const FRESH: Column = Column {
    heading: "fresh %",
    meaning: "share of the moves sent within the window that arrived as news within it; moves \
        under way at its edges can raise it slightly above 100",
    figure: |row| row.fresh_share,
    format: percent,
};

/// The server's CPU time.
pub(crate) const CPU: Column = Column {
    heading: "CPU µs",
    meaning: "server CPU time per fresh move, by the kernel's account of the process",
    figure: |row| row.server_cpu_us,
    format: one_digit,
};

/// The columns of age, delivery and delay of the moves, in the order in which to read them.
pub(crate) const FIGURES: &[Column] = &[
    AGE_P99,
    Column {
        heading: "age ms",
        meaning: "age of information: the age of the newest known position of the opponent, \
            averaged over time; half a send period of it comes from the rate, not from the \
            transport",
        figure: |row| row.age_mean_us,
        format: milliseconds,
    },
    FRESH,
    Column {
        heading: "p50 ms",
        meaning: "one-way delay from player to player through the server, from the intended send \
            time; half of the moves took less",
        figure: |row| row.one_way_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten moves took less",
        figure: |row| row.one_way_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "p99 ms",
        meaning: "99 of 100 moves took less",
        figure: |row| row.one_way_p99_us,
        format: milliseconds,
    },
    Column {
        heading: "max ms",
        meaning: "the slowest move of a run",
        figure: |row| row.one_way_max_us,
        format: milliseconds,
    },
    Column {
        heading: "superseded %",
        meaning: "moves that a newer move replaced before they could leave; they never count as \
            late, and are part of the missing moves",
        figure: |row| row.superseded_share,
        format: percent,
    },
];

/// The columns of the server's cost.
pub(crate) const COST: &[Column] = &[
    CPU,
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory at the end of the window, without the kernel's \
            memory for its sockets",
        figure: |row| row.server_resident_bytes,
        format: |bytes| one_digit(bytes / 1e6),
    },
    Column {
        heading: "B in",
        meaning: "bytes that the server received per fresh move, headers and acknowledgements \
            included: whole IP packets, counted on the emulated link, or on loopback by the \
            protocol stacks",
        figure: |row| row.bytes_in,
        format: no_digit,
    },
    Column {
        heading: "B out",
        meaning: "bytes that the server sent per fresh move, counted like the received bytes",
        figure: |row| row.bytes_out,
        format: no_digit,
    },
];

/// The kernel's memory for the server's sockets.
const KERNEL: Column = Column {
    heading: "kernel kB",
    meaning: "the kernel's memory for the server's sockets, in addition to its resident memory: \
        the data queued in the sockets, and the sockets' objects",
    figure: |row| row.server_kernel_bytes,
    format: |bytes| one_digit(bytes / 1e3),
};

/// Further columns of the server's cost, for wide reports.
pub(crate) const COST_DETAIL: &[Column] = &[
    Column {
        heading: "user µs",
        meaning: "part of the CPU time in the program and its libraries; the kernel counts it in \
            ticks of 10 ms, so it is shown only with enough ticks",
        figure: |row| row.server_user_us,
        format: one_digit,
    },
    Column {
        heading: "system µs",
        meaning: "part of the CPU time in the kernel, shown only with enough ticks",
        figure: |row| row.server_system_us,
        format: one_digit,
    },
    KERNEL,
    Column {
        heading: "switches",
        meaning: "context switches of the server per fresh move",
        figure: |row| row.server_switches,
        format: two_digits,
    },
    Column {
        heading: "packets in",
        meaning: "packets that the server received per fresh move, acknowledgements included, \
            counted like the bytes",
        figure: |row| row.packets_in,
        format: two_digits,
    },
    Column {
        heading: "packets out",
        meaning: "packets that the server sent per fresh move, counted like the bytes",
        figure: |row| row.packets_out,
        format: two_digits,
    },
];

/// The columns of connection times.
pub(crate) const CONNECT_FIGURES: &[Column] = &[
    Column {
        heading: "paired p50 ms",
        meaning: "from the intended beginning of a connect until the player learns that its match starts",
        figure: |row| row.paired_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten connections took less",
        figure: |row| row.paired_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "first move p50 ms",
        meaning: "from the intended beginning of a connect until the opponent's first move arrives",
        figure: |row| row.first_move_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "first move p90 ms",
        meaning: "nine of ten connections took less",
        figure: |row| row.first_move_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "resumed %",
        meaning: "connections that resumed a TLS session instead of a full handshake",
        figure: |row| row.resumed_share,
        format: percent,
    },
];

/// The columns of the server's cost per connection.
pub(crate) const CONNECT_COST: &[Column] = &[
    Column {
        heading: "CPU µs",
        meaning: "server CPU time per connection: handshake, pairing, a few moves and the close",
        figure: |row| row.connect_cpu_us,
        format: no_digit,
    },
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory at the end of the window, without the kernel's \
            memory for its sockets",
        figure: |row| row.server_resident_bytes,
        format: |bytes| one_digit(bytes / 1e6),
    },
];

/// Returns the columns of the players' figures and of the server's cost.
pub(crate) fn columns(results: &Results) -> (&'static [Column], &'static [Column]) {
    match results.scenario.workload {
        Workload::Moves => (FIGURES, COST),
        Workload::Connects => (CONNECT_FIGURES, CONNECT_COST),
    }
}

pub(crate) fn percent(share: f64) -> String {
    one_digit(share * 100.0)
}

pub(crate) fn no_digit(value: f64) -> String {
    format!("{value:.0}")
}

pub(crate) fn one_digit(value: f64) -> String {
    format!("{value:.1}")
}

pub(crate) fn two_digits(value: f64) -> String {
    format!("{value:.2}")
}
