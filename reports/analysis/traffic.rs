//! Bytes, packets and moves of one run, as the link counts them or else the stacks. Pure.

use netduel_link::LinkReport;

use crate::data::run_result::RunResult;

/// The link's counts, where it carried nothing but the game; else the stacks' own.
fn game_alone(run: &RunResult) -> Option<&LinkReport> {
    run.link.as_ref().filter(|_| !run.shared)
}

pub(crate) fn bytes_in(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.sent_bytes, |link| Some(link.up.total().delivered_bytes))
}

pub(crate) fn bytes_out(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.received_bytes, |link| Some(link.down.total().offered_bytes))
}

pub(crate) fn packets_in(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.sent_packets, |link| Some(link.up.total().delivered))
}

pub(crate) fn packets_out(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.received_packets, |link| Some(link.down.total().offered))
}

pub(crate) fn dropped(link: &LinkReport) -> u64 {
    [link.up.total(), link.down.total()].iter().map(|path| path.lost + path.queue_dropped).sum()
}

pub(crate) fn offered(link: &LinkReport) -> u64 {
    link.up.total().offered + link.down.total().offered
}

/// The players' part is counted within the window, the relay's over the whole run: scaled to the window.
pub(crate) fn superseded(run: &RunResult) -> Option<u64> {
    let relayed = run.counters.updates_relayed.max(1) as f64;
    let by_relay = run.counters.updates_superseded as f64 * run.load.sent as f64 / relayed;
    Some(run.load.superseded + by_relay.round() as u64)
}
