//! Words for the sentences of a report: links, numbers, multiples and lists. Pure.

use std::fmt::Display;

use netduel_client::stats::Samples;

use crate::{
    analysis::units,
    plan::{
        sampling::{Order, Sampling},
        scenario::{Group, Network, Scenario},
    },
};

/// The age that a player notices, in µs. In games with a view from the first person, players do
/// worse from about 100 ms of delay on (Claypool and Claypool, CACM 49(11), 2006).
pub(crate) const NOTICED_US: f64 = 100_000.0;
/// The value in µs that stands for an age or a time without an end.
const INFINITE_US: f64 = Samples::VALUE_MAX_US as f64;
/// The text of a value without an end.
pub(crate) const INFINITE: &str = "∞";

/// The words for the links that have a name.
const LINKS: [(&str, &str); 14] = [
    ("loopback", "loopback"),
    ("lan", "a local network"),
    ("fibre", "fibre"),
    ("cable", "cable"),
    ("wifi", "good Wi-Fi"),
    ("wifi-busy", "busy Wi-Fi"),
    ("wifi-edge", "lossy Wi-Fi"),
    ("lte", "LTE"),
    ("3g", "3G"),
    ("starlink", "Starlink"),
    ("satellite", "a geostationary satellite"),
    ("transatlantic", "a line across the Atlantic"),
    ("bufferbloat", "a line with a queue of seconds"),
    ("blackhole", "a link that fails for two seconds"),
];

/// Returns a link in words, for a place behind "on".
pub(crate) fn link(name: &str) -> String {
    let (link, shared) =
        name.strip_suffix("+bulk").map_or((name, ""), |it| (it, " with a download beside the game"));
    let known = LINKS.iter().find(|(name, _)| *name == link).map(|(_, words)| (*words).to_owned());
    known.unwrap_or_else(|| format!("\"{link}\"")) + shared
}

/// Returns the windows of a scenario in words: "36 s on each link, 20 rounds of 0.25 s on
/// loopback".
pub(crate) fn windows(scenario: &Scenario) -> String {
    let mut texts: Vec<String> = Vec::new();
    for network in &scenario.links {
        let Sampling { repeats, duration_ms, .. } = scenario.sampling(network);
        let window = seconds(*duration_ms as f64 / 1e3);
        let in_turns = scenario
            .groups()
            .iter()
            .any(|group| group.link == network.name() && scenario.order_of(group) == Order::InTurns);
        let place = if network.spec().is_some() {
            "each link".into()
        } else {
            self::network(scenario, &network.name())
        };
        let text = match (in_turns, repeats) {
            (true, rounds) => format!("{rounds} rounds of {window} on {place}"),
            (false, 1) => format!("{window} on {place}"),
            (false, repeats) => format!("{repeats} times {window} on {place}"),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(", ")
}

/// Returns a network of a scenario in words: "busy Wi-Fi", "loopback", "the way to play.example".
pub(crate) fn network(scenario: &Scenario, name: &str) -> String {
    let remote = |network: &Network| matches!(network, Network::Remote(_)) && network.name() == name;
    if scenario.links.iter().any(remote) { format!("the way to {name}") } else { link(name) }
}

/// Returns a text with a capital at its beginning.
pub(crate) fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Joins texts: "a, b and c".
pub(crate) fn list(items: &[impl Display], last: &str) -> String {
    let names: Vec<String> = items.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

/// Returns a time given in µs with its unit, as precise as a sentence needs it.
pub(crate) fn time(us: f64) -> String {
    match us {
        _ if is_infinite(us) => INFINITE.into(),
        _ if us < 10_000.0 => format!("{:.1} ms", us / 1e3),
        _ if us < 10_000_000.0 => format!("{:.0} ms", us / 1e3),
        _ => format!("{:.1} s", us / 1e6),
    }
}

/// Returns a time given in µs as a number of ms, for tables.
pub(crate) fn milliseconds(us: f64) -> String {
    if is_infinite(us) { INFINITE.into() } else { units::milliseconds(us) }
}

/// Whether a time given in µs stands for one without an end.
pub(crate) fn is_infinite(us: f64) -> bool {
    us >= INFINITE_US
}

/// Returns a multiple in words, for a place before "the CPU": "twice", "1.7 times", "half".
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        _ if (0.95..1.05).contains(&ratio) => "about".into(),
        _ if (1.9..2.1).contains(&ratio) => "twice".into(),
        _ if (0.475..0.525).contains(&ratio) => "half".into(),
        _ if ratio >= 10.0 => format!("{ratio:.0} times"),
        _ => format!("{ratio:.1} times"),
    }
}

/// Returns a duration given in seconds.
pub(crate) fn seconds(s: f64) -> String {
    let text = format!("{s:.*}", if s >= 10.0 { 0 } else { 2 });
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} s")
}

/// Returns a group in words: its link, and the numbers in which groups of this scenario differ.
pub(crate) fn place(scenario: &Scenario, group: &Group) -> String {
    let all: Vec<Group> = scenario.groups().into_iter().filter(|it| it.link == group.link).collect();
    let differ = |of: fn(&Group) -> u32| all.iter().any(|it| of(it) != of(group));
    let mut text = network(scenario, &group.link);
    if group.in_flight > 0 {
        text += &format!(" with {} in flight", group.in_flight);
    } else if differ(|it| it.rate_hz) {
        text += &format!(" at {} Hz", group.rate_hz);
    }
    if differ(|it| it.payload_bytes) {
        text += &format!(" with {} B of payload", group.payload_bytes);
    }
    if differ(|it| it.pairs) {
        text += &format!(" with {} {}", group.pairs, if group.pairs == 1 { "match" } else { "matches" });
    }
    text
}

/// Breaks a paragraph into lines of at most `width` columns, as far as its words permit.
pub(crate) fn wrapped(paragraph: &str, width: usize) -> String {
    let mut out = String::new();
    let mut columns = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if columns > 0 && columns + 1 + length > width {
            out.push('\n');
            columns = 0;
        }
        if columns > 0 {
            out.push(' ');
            columns += 1;
        }
        out.push_str(word);
        columns += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use netduel_link::PROFILES;

    use super::*;

    #[test]
    fn every_profile_has_words() {
        for profile in PROFILES.iter() {
            let name = &profile.spec.name;
            assert!(LINKS.iter().any(|(known, _)| known == name), "{name}");
        }
        assert_eq!(link("lte+bulk"), "LTE with a download beside the game");
        assert_eq!(link("2 % loss"), "\"2 % loss\"");
    }

    #[test]
    fn numbers_read_as_words() {
        assert_eq!(
            [0.5, 0.7, 1.0, 1.26, 2.04, 12.3].map(times),
            ["half", "0.7 times", "about", "1.3 times", "twice", "12 times"]
        );
        assert_eq!(
            [8_420.0, 86_400.0, 12_300_000.0, INFINITE_US].map(time),
            ["8.4 ms", "86 ms", "12.3 s", "∞"]
        );
        assert_eq!(list(&["a", "b", "c"], "or"), "a, b or c");
        assert_eq!(list(&["a"], "or"), "a");
        assert_eq!(capital("on LTE"), "On LTE");
        assert_eq!(wrapped("one two  three\nfour", 9), "one two\nthree\nfour\n");
        assert_eq!([0.7, 3.0, 41.6].map(seconds), ["0.7 s", "3 s", "42 s"]);
    }
}
