//! The columns of figures in a report: what each shows of a row, and how.

use netduel_loadgen::Workload;

use crate::{
    analysis::{repeats::Figure, summary::Row, units::milliseconds},
    data::results::Results,
};

/// A column of figures: its heading, what it means, what it shows and how.
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) figure: fn(&Row) -> Option<Figure>,
    pub(crate) format: fn(f64) -> String,
}

/// How old positions get.
pub(crate) const AGE_P99: Column = Column {
    heading: "age p99 ms",
    meaning: "99 % of the time it is younger",
    figure: |row| row.age_p99_us,
    format: milliseconds,
};

/// What arrives in time.
pub(crate) const FRESH: Column = Column {
    heading: "fresh %",
    meaning: "moves that arrived as news within the window, of those sent within it; what was under way at its edges can make it a little more than 100",
    figure: |row| row.fresh_share,
    format: percent,
};

/// What the server computes.
pub(crate) const CPU: Column = Column {
    heading: "CPU µs",
    meaning: "server CPU time for each fresh move, by the kernel's account of its process",
    figure: |row| row.server_cpu_us,
    format: one_digit,
};

/// Delay, age and what became of the moves.
pub(crate) const FIGURES: &[Column] = &[
    Column {
        heading: "p50 ms",
        meaning: "one-way delay from player to player through the server, from the intended send time; half of the moves took less",
        figure: |row| row.one_way_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten took less",
        figure: |row| row.one_way_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "p99 ms",
        meaning: "99 of 100 took less",
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
        heading: "age ms",
        meaning: "age of information: how old the newest known position of the opponent is, averaged over time; half a send period of it is the rate's, not the transport's",
        figure: |row| row.age_mean_us,
        format: milliseconds,
    },
    AGE_P99,
    FRESH,
    Column {
        heading: "superseded %",
        meaning: "moves that a newer one replaced before they could leave; never late, never missed",
        figure: |row| row.superseded_share,
        format: percent,
    },
];

/// What it costs the server.
pub(crate) const COST: &[Column] = &[
    CPU,
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory at the end of the window; what the kernel holds for its sockets comes on top",
        figure: |row| row.server_resident_bytes,
        format: |bytes| one_digit(bytes / 1e6),
    },
    Column {
        heading: "B in",
        meaning: "bytes the server received for each fresh move, headers and acknowledgements included: whole IP packets counted on the emulated link, or on loopback by the stacks' own counts",
        figure: |row| row.bytes_in,
        format: no_digit,
    },
    Column {
        heading: "B out",
        meaning: "bytes it sent, likewise",
        figure: |row| row.bytes_out,
        format: no_digit,
    },
];

/// What the kernel holds for the server's sockets.
const KERNEL: Column = Column {
    heading: "kernel kB",
    meaning: "what the kernel holds for the server's sockets, beside its resident memory: what is queued in them, and the objects they are made of",
    figure: |row| row.server_kernel_bytes,
    format: |bytes| one_digit(bytes / 1e3),
};

/// More of it, where there is room.
pub(crate) const COST_DETAIL: &[Column] = &[
    Column {
        heading: "user µs",
        meaning: "part of the CPU time in the program and its libraries; the kernel counts it in ticks of 10 ms, so it is shown only where there are enough",
        figure: |row| row.server_user_us,
        format: one_digit,
    },
    Column {
        heading: "system µs",
        meaning: "part of it in the kernel, likewise",
        figure: |row| row.server_system_us,
        format: one_digit,
    },
    KERNEL,
    Column {
        heading: "switches",
        meaning: "times the server was put off the CPU for each fresh move: how often it was woken",
        figure: |row| row.server_switches,
        format: two_digits,
    },
    Column {
        heading: "packets in",
        meaning: "packets the server received for each fresh move, acknowledgements included, counted where the bytes are",
        figure: |row| row.packets_in,
        format: two_digits,
    },
    Column {
        heading: "packets out",
        meaning: "packets it sent, likewise",
        figure: |row| row.packets_out,
        format: two_digits,
    },
];

/// How long it takes to come.
pub(crate) const CONNECT_FIGURES: &[Column] = &[
    Column {
        heading: "paired p50 ms",
        meaning: "from the intended beginning of a connect until the player is told that its match starts",
        figure: |row| row.paired_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten took less",
        figure: |row| row.paired_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "first move p50 ms",
        meaning: "from the same beginning until the player has the other's first move",
        figure: |row| row.first_move_p50_us,
        format: milliseconds,
    },
    Column {
        heading: "first move p90 ms",
        meaning: "nine of ten took less",
        figure: |row| row.first_move_p90_us,
        format: milliseconds,
    },
    Column {
        heading: "resumed %",
        meaning: "connections that took a TLS session up again instead of a full handshake",
        figure: |row| row.resumed_share,
        format: percent,
    },
];

/// What it costs the server that somebody came and went.
pub(crate) const CONNECT_COST: &[Column] = &[
    Column {
        heading: "CPU µs",
        meaning: "server CPU time for each connection: handshake, pairing, a few moves, the goodbye",
        figure: |row| row.connect_cpu_us,
        format: no_digit,
    },
    Column {
        heading: "RSS MB",
        meaning: "the server's resident memory at the end of the window; what the kernel holds for its sockets comes on top",
        figure: |row| row.server_resident_bytes,
        format: |bytes| one_digit(bytes / 1e6),
    },
];

/// What players feel, and what it costs the server.
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
