//! Bytes, packets and moves of one run, as the link counts them or else the protocol stacks. Pure.

use netduel_link::LinkReport;

use crate::data::run_result::RunResult;

/// Returns the link's counts if the link carried only the game. Otherwise the stacks' own counts
/// apply.
pub(crate) fn game_alone(run: &RunResult) -> Option<&LinkReport> {
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

/// Returns the packets that the link lost by its specification. Drops of a full queue do not count.
pub(crate) fn lost(link: &LinkReport) -> u64 {
    [link.up.total(), link.down.total()].iter().map(|path| path.lost).sum()
}

pub(crate) fn offered(link: &LinkReport) -> u64 {
    link.up.total().offered + link.down.total().offered
}

/// Returns the moves superseded by players and relay within the window. The relay counts over the
/// whole run, so its count is scaled to the window.
pub(crate) fn superseded(run: &RunResult) -> Option<u64> {
    let by_relay = run.counters.as_ref().map_or(0.0, |counters| {
        let updates = (counters.updates_relayed + counters.updates_outdated).max(1) as f64;
        let replaced = (counters.updates_superseded + counters.updates_outdated) as f64;
        replaced * run.load.sent as f64 / updates
    });
    Some(run.load.superseded + by_relay.round() as u64)
}
