//! The capacities that a search found, in sentences and as a table. Pure.

use crate::{
    analysis::capacity::{Capacity, Wire},
    data::results::Results,
    plan::search::{Criterion, Searched},
    render::table::{Table, UNKNOWN},
};

/// Describes the capacities that a search found, link by link, the largest first.
pub(crate) fn paragraphs(results: &Results, capacities: &[Capacity]) -> Vec<String> {
    let Some(search) = results.scenario.search else { return Vec::new() };
    let Criterion { age_p99_max_ms, delivered_share_min } = search.criterion;
    let what = match search.of {
        Searched::RateHz => "rate",
        Searched::Pairs => "number of matches",
    };
    let mut texts = vec![format!(
        "The search looked for the highest {what} that holds. A value holds under three conditions. \
         The opponent's position is younger than {age_p99_max_ms} ms for 99 % of the time. At least \
         {:.0} % of the moves arrive as news, of those that the link's own loss leaves. The link's \
         rate carries the moves. A move that a newer one superseded, or that overflowed a queue, \
         has not arrived. The search doubled the value and then halved the gap, to within 15 %. \
         Each value ran {}.",
        delivered_share_min * 100.0,
        match results.scenario.main_sampling().repeats {
            1 => "once".into(),
            repeats => format!("{repeats} times"),
        }
    )];
    let mut links: Vec<&str> = capacities.iter().map(|it| it.group.link.as_str()).collect();
    links.dedup();
    for link in links {
        let of_link = |control: bool| move |it: &&Capacity| it.group.link == link && (it.arm > 0) == control;
        let mut compared: Vec<&Capacity> = capacities.iter().filter(of_link(false)).collect();
        compared.sort_by_key(|it| std::cmp::Reverse(it.highest()));
        let each: Vec<String> =
            compared.iter().map(|it| format!("{} {}", it.contender, bears(it, search.of))).collect();
        let noise: Vec<String> = capacities
            .iter()
            .filter(of_link(true))
            .map(|it| format!("{} (A/A): {}", it.contender, bears(it, search.of)))
            .collect();
        let noise = if noise.is_empty() { String::new() } else { format!(" ({})", noise.join("; ")) };
        texts.push(format!("On {link}: {}{noise}.", each.join("; ")));
    }
    texts
}

/// Returns for example "538 Hz of the 578 that the link carries", "at least 5120 Hz (players busy)"
/// or "none (age p99 402 ms)".
fn bears(capacity: &Capacity, of: Searched) -> String {
    let unit = match of {
        Searched::RateHz => "Hz",
        Searched::Pairs => "matches",
    };
    let of_link = capacity
        .wire()
        .map_or(String::new(), |wire| format!(" of the {:.0} that the link carries", wire.limit.floor()));
    match (capacity.highest(), capacity.broke()) {
        (Some(highest), Some(broke)) if capacity.harness_broke() => {
            format!("at least {highest} {unit}{of_link} ({broke})")
        }
        (Some(highest), Some(_)) => format!("{highest} {unit}{of_link}"),
        (Some(highest), None) => format!("at least {highest} {unit}{of_link}"),
        (None, Some(broke)) => format!("none ({broke})"),
        (None, None) => "unknown".into(),
    }
}

/// Returns the table of a search, by link and contender: the highest value that held, the link's
/// capacity beside it, and the next value, which broke.
pub(crate) fn table(results: &Results, capacities: &[Capacity]) -> Table {
    let [held, carried] = match results.scenario.search.map(|search| search.of) {
        Some(Searched::Pairs) => ["matches held", "matches that the link carries"],
        _ => ["Hz held", "Hz that the link carries"],
    };
    let mut table = Table::new([
        ("transport", false),
        ("link", false),
        (held, true),
        (carried, true),
        ("link bytes per move", true),
        ("broke at", true),
        ("cause", false),
    ]);
    for it in capacities {
        let highest = it.highest().map_or("none".into(), |value| value.to_string());
        let more = if it.harness_broke() { "≥ " } else { "" };
        let of_wire =
            |read: fn(Wire) -> f64| it.wire().map_or(UNKNOWN.into(), |wire| format!("{:.0}", read(wire)));
        let cells = [
            if it.arm > 0 { format!("{} (A/A {})", it.group.link, it.arm) } else { it.group.link.clone() },
            format!("{more}{highest}"),
            of_wire(|wire| wire.limit.floor()),
            of_wire(|wire| wire.bytes_per_move),
            it.broke().map_or(UNKNOWN.into(), |broke| broke.value.to_string()),
            it.broke().map_or("held up to the highest tried".into(), ToString::to_string),
        ];
        table.push_of(it.contender, cells);
    }
    table
}
