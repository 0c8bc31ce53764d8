//! The columns of figures in a report, with their meaning and format.

use netduel_loadgen::Workload;

use crate::{
    analysis::{repeats::Figure, summary::Row},
    data::results::Results,
    plan::scenario::{Group, Network},
    render::words,
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
    meaning: "99 % of the time the position is younger; a game that shows the opponent this much \
        later stalls at most 1 % of the time, so it is the perceived delay, too",
    figure: |row| row.age_p99_us,
    format: words::milliseconds,
};

/// The share of moves that arrive as news.
pub(crate) const FRESH: Column = Column {
    heading: "fresh %",
    meaning: "share of the moves of the window that arrived as news; one that came together with a \
        newer one is not news",
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

/// The columns of age and delivery of the moves, in the order in which to read them.
const FIGURES: &[Column] = &[
    AGE_P99,
    Column {
        heading: "age ms",
        meaning: "age of information: the age of the newest known position of the opponent, \
            averaged over time; half a send period of it comes from the rate, not from the \
            transport",
        figure: |row| row.age_mean_us,
        format: words::milliseconds,
    },
    Column {
        heading: "freezes /min",
        meaning: "pauses of more than three send periods without a newer position, by player and minute",
        figure: |row| row.freezes_per_minute,
        format: one_digit,
    },
    Column {
        heading: "longest ms",
        meaning: "the longest pause without a newer position that a player met",
        figure: |row| row.longest_freeze_us,
        format: words::milliseconds,
    },
    FRESH,
    Column {
        heading: "superseded %",
        meaning: "moves that a newer move replaced before they could leave; they never count as \
            late, and are part of the missing moves",
        figure: |row| row.superseded_share,
        format: percent,
    },
];

/// The columns of the moves' delay.
const DELAYS: &[Column] = &[
    Column {
        heading: "delay p50 ms",
        meaning: "one-way delay from player to player through the server, from the intended send \
            time; half of the moves took less",
        figure: |row| row.one_way_p50_us,
        format: words::milliseconds,
    },
    Column {
        heading: "delay p90 ms",
        meaning: "nine of ten moves took less",
        figure: |row| row.one_way_p90_us,
        format: words::milliseconds,
    },
    Column {
        heading: "delay p99 ms",
        meaning: "99 of 100 moves took less",
        figure: |row| row.one_way_p99_us,
        format: words::milliseconds,
    },
    Column {
        heading: "delay max ms",
        meaning: "the slowest move of a run",
        figure: |row| row.one_way_max_us,
        format: words::milliseconds,
    },
];

/// The columns of the server's cost.
const COST: &[Column] = &[
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
const COST_DETAIL: &[Column] = &[
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
const CONNECT_FIGURES: &[Column] = &[
    Column {
        heading: "paired p50 ms",
        meaning: "from the intended beginning of a connect until the player learns that its match starts",
        figure: |row| row.paired_p50_us,
        format: words::milliseconds,
    },
    Column {
        heading: "p90 ms",
        meaning: "nine of ten connections took less",
        figure: |row| row.paired_p90_us,
        format: words::milliseconds,
    },
    Column {
        heading: "p99 ms",
        meaning: "99 of 100 connections took less: a lost first packet shows here",
        figure: |row| row.paired_p99_us,
        format: words::milliseconds,
    },
    Column {
        heading: "first move p50 ms",
        meaning: "from the intended beginning of a connect until the opponent's first move arrives",
        figure: |row| row.first_move_p50_us,
        format: words::milliseconds,
    },
    Column {
        heading: "first move p90 ms",
        meaning: "nine of ten connections took less",
        figure: |row| row.first_move_p90_us,
        format: words::milliseconds,
    },
    Column {
        heading: "first move p99 ms",
        meaning: "99 of 100 connections took less",
        figure: |row| row.first_move_p99_us,
        format: words::milliseconds,
    },
    Column {
        heading: "resumed %",
        meaning: "connections that resumed a TLS session instead of a full handshake",
        figure: |row| row.resumed_share,
        format: percent,
    },
];

/// The columns of the server's cost per connection.
const CONNECT_COST: &[Column] = &[
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

/// The columns of one group's tables.
pub(crate) struct OfGroup {
    pub(crate) main: Vec<&'static Column>,
    pub(crate) detail: Vec<&'static Column>,
    /// The reason why columns are left out.
    pub(crate) left_out: Option<&'static str>,
}

/// The reason why a link's table has no cost.
const NO_COST: &str = "The cost is judged on loopback. On an emulated link the emulator does a part of \
    the kernel's work, and the transports run beside one another.";

/// Returns the columns of a group: the cost where it is judged, and what players feel.
pub(crate) fn of_group(results: &Results, group: &Group) -> OfGroup {
    let all = |sets: &[&'static [Column]]| sets.iter().copied().flatten().collect();
    let (main, detail, left_out): (&[&[Column]], &[&[Column]], _) = match results.scenario.workload {
        Workload::Connects => (&[CONNECT_FIGURES, CONNECT_COST], &[], None),
        Workload::Moves if cost_is_judged(results, group) => (&[COST, FIGURES], &[DELAYS, COST_DETAIL], None),
        Workload::Moves => (&[FIGURES], &[DELAYS], Some(NO_COST)),
    };
    OfGroup { main: all(main), detail: all(detail), left_out }
}

/// Returns every column that the tables of these results show, once.
pub(crate) fn shown(results: &Results) -> Vec<&'static Column> {
    let mut all: Vec<&Column> = Vec::new();
    for group in results.scenario.groups() {
        let OfGroup { main, detail, .. } = of_group(results, &group);
        for column in main.into_iter().chain(detail) {
            if !all.iter().any(|it| it.heading == column.heading) {
                all.push(column);
            }
        }
    }
    all
}

/// Whether the cost is judged in a group: where no emulator takes part of the work.
pub(crate) fn cost_is_judged(results: &Results, group: &Group) -> bool {
    let network = results.scenario.links.iter().find(|link| link.name() == group.link);
    results.scenario.workload == Workload::Moves && matches!(network, Some(Network::Loopback))
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
