//! The fates of moves on an emulated link, as far as the list of dropped packets tells. Pure.
//!
//! A dropped packet has a time, a direction and a length, and no number of a move. A move and a
//! drop are joined by time, and only if no other move and no other drop is near. Everything else
//! stays unknown.

use netduel_link::{Direction, DirectionSpec, DropCause, DroppedPacket, LinkReport};
use netduel_loadgen::{MoveRow, Subject};
use netduel_transport::TransportKind;

/// The largest distance of a drop from the sending of its move, in µs. The emulator reads a packet
/// within a fraction of a millisecond.
const UP_REACH_US: u64 = 1_000;
/// The largest distance of a drop on the way down from the time at which the relay should have sent
/// its move, in µs. It is larger by the lateness of the emulator, which is below 2 ms.
const DOWN_REACH_US: u64 = 3_000;

/// The fate of a move's packet on an emulated link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLink {
    /// The packet crossed the link to the server and back.
    Crossed,
    /// The link dropped it.
    Dropped(Direction, DropCause),
    /// The list of drops does not tell.
    Unknown,
}

impl OnLink {
    /// Returns the name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crossed => "crossed",
            Self::Dropped(Direction::Up, DropCause::Loss) => "lost_up",
            Self::Dropped(Direction::Up, DropCause::Queue) => "queue_full_up",
            Self::Dropped(Direction::Down, DropCause::Loss) => "lost_down",
            Self::Dropped(Direction::Down, DropCause::Queue) => "queue_full_down",
            Self::Unknown => "unknown",
        }
    }
}

/// Returns what a link did to each of these moves of a run, in their order. The times of rows and
/// of drops count from the opening of the window.
pub(crate) fn on_link(rows: &[MoveRow], transport: Subject, link: &LinkReport) -> Vec<OnLink> {
    let once = is_sent_once(transport);
    let mut fates = vec![OnLink::Unknown; rows.len()];
    for (row, fate) in rows.iter().zip(&mut fates) {
        if once && row.arrived_us.is_some() {
            *fate = OnLink::Crossed;
        }
    }
    for leg in legs(link) {
        let open = |fates: &[OnLink], is_of_leg: &dyn Fn(u32) -> bool| -> Vec<usize> {
            (0..rows.len())
                .filter(|place| fates[*place] == OnLink::Unknown && is_of_leg(rows[*place].player))
                .collect()
        };
        let up = open(&fates, &|player| leg.carries(player));
        join(&mut fates, &up, |place| rows[place].sent_us, UP_REACH_US, leg.report, Direction::Up);
        // The relay answers at once, so that a fixed delay gives the time at which it sent.
        let Some(delay_us) = legs(link).find_map(|it| it.delay_up_us(&leg)).filter(|_| once) else {
            continue;
        };
        let down = open(&fates, &|player| leg.carries(player ^ 1));
        join(
            &mut fates,
            &down,
            |place| rows[place].sent_us + delay_us,
            DOWN_REACH_US,
            leg.report,
            Direction::Down,
        );
    }
    fates
}

/// Whether a transport sends the packet of a move once, whatever becomes of it.
fn is_sent_once(transport: Subject) -> bool {
    let once = |kind| matches!(kind, TransportKind::QuicDatagram | TransportKind::Enet | TransportKind::Udp);
    transport.kind().is_some_and(once)
}

/// The link of some players.
struct Leg<'a> {
    report: &'a LinkReport,
    /// 0 and 1 for the players of a match; `None` for both.
    player: Option<u32>,
}

/// Returns the link, or those of both players of each match.
fn legs(link: &LinkReport) -> impl Iterator<Item = Leg<'_>> {
    let first = Leg { report: link, player: link.second.as_ref().map(|_| 0) };
    let second = link.second.as_deref().map(|report| Leg { report, player: Some(1) });
    std::iter::once(first).chain(second)
}

impl Leg<'_> {
    fn carries(&self, player: u32) -> bool {
        self.player.is_none_or(|of| of == player % 2)
    }

    /// Returns the time from the sending of a move until the relay sends it down `to`; `None` if it
    /// varies, or if the moves to `to` come over another link.
    fn delay_up_us(&self, to: &Self) -> Option<u64> {
        let is_source = match to.player {
            None => true,
            Some(of) => self.player == Some(of ^ 1),
        };
        let DirectionSpec { delay_ms, trace, jitter, reorder, rate, .. } = &self.report.spec.up;
        let fixed = trace.is_none() && jitter.is_none() && reorder.is_none() && rate.is_none();
        (is_source && fixed).then_some((delay_ms * 1e3) as u64)
    }
}

/// Joins the rows at these places, by the time at which each is expected on the link, with the
/// drops in a direction.
fn join(
    fates: &mut [OnLink],
    places: &[usize],
    expected_us: impl Fn(usize) -> u64,
    reach_us: u64,
    link: &LinkReport,
    direction: Direction,
) {
    let mut expected: Vec<(u64, usize)> = places.iter().map(|place| (expected_us(*place), *place)).collect();
    expected.sort_unstable();
    let times: Vec<u64> = expected.iter().map(|it| it.0).collect();
    let drops: Vec<&DroppedPacket> = link.drops.iter().filter(|drop| drop.direction == direction).collect();
    // The drops are in order of time.
    let dropped: Vec<u64> = drops.iter().map(|drop| drop.at_ns / 1_000).collect();
    for (drop, &at_us) in drops.iter().zip(&dropped) {
        if let [only] = near(&times, at_us, reach_us)[..]
            && near(&dropped, times[only], reach_us).len() == 1
        {
            fates[expected[only].1] = OnLink::Dropped(direction, drop.cause);
        }
    }
}

/// Returns the places of the times within reach of a time.
fn near(times: &[u64], at_us: u64, reach_us: u64) -> Vec<usize> {
    let from = times.partition_point(|it| it + reach_us < at_us);
    (from..times.len()).take_while(|place| times[*place] <= at_us + reach_us).collect()
}

#[cfg(test)]
mod tests {
    use netduel_link::{LinkSpec, Protocol};
    use netduel_loadgen::Fate;

    use super::*;

    fn row(player: u32, sent_ms: u64, arrived: bool) -> MoveRow {
        let (sent_us, arrived_us) = (sent_ms * 1_000, arrived.then_some(sent_ms * 1_000 + 40_300));
        let fate = if arrived { Fate::Fresh } else { Fate::NotArrived };
        MoveRow { player, seq: sent_ms as u32, intended_us: sent_us, sent_us, arrived_us, fate }
    }

    fn report(spec: &str, drops: &[(u64, Direction, DropCause)]) -> LinkReport {
        let spec: LinkSpec = spec.parse().expect("a link");
        let mut report = LinkReport::new(spec, 1);
        let drop = |&(at_us, direction, cause): &(u64, Direction, DropCause)| DroppedPacket {
            at_ns: at_us * 1_000,
            direction,
            protocol: Protocol::Udp,
            bytes: 90,
            cause,
        };
        report.drops = drops.iter().map(drop).collect();
        report
    }

    fn names(rows: &[MoveRow], transport: TransportKind, link: &LinkReport) -> Vec<&'static str> {
        on_link(rows, transport.into(), link).into_iter().map(OnLink::name).collect()
    }

    use Direction::{Down, Up};
    use DropCause::{Loss, Queue};

    #[test]
    fn drops_join_their_moves() {
        let rows = [
            row(0, 0, true),
            row(1, 8, false),
            row(0, 16, false),
            row(1, 25, false),
            row(0, 33, false),
            row(1, 41, false),
        ];
        // The moves at 8 and 16 ms are dropped up, those at 25 and 33 down, after 20 ms of delay.
        let drops = [(7_900, Up, Loss), (16_300, Up, Queue), (45_500, Down, Loss), (53_400, Down, Queue)];
        let link = report("delay=20ms,loss=1%", &drops);
        assert_eq!(
            names(&rows, TransportKind::Udp, &link),
            ["crossed", "lost_up", "queue_full_up", "lost_down", "queue_full_down", "unknown"]
        );
        // With jitter nothing tells when the relay sent.
        let jittery = report("delay=20ms,jitter=5ms,loss=1%", &drops);
        assert_eq!(
            names(&rows, TransportKind::QuicDatagram, &jittery),
            ["crossed", "lost_up", "queue_full_up", "unknown", "unknown", "unknown"]
        );
    }

    #[test]
    fn streams_tell_of_first_packets() {
        let rows = [row(0, 0, true), row(1, 8, true)];
        let link = report("delay=20ms,loss=1%", &[(8_100, Up, Loss), (28_100, Down, Loss)]);
        assert_eq!(names(&rows, TransportKind::Tcp, &link), ["unknown", "lost_up"]);
        // A move that arrived in its only packet was not dropped: the drop was of something else.
        assert_eq!(names(&rows, TransportKind::Udp, &link), ["crossed", "crossed"]);
    }

    #[test]
    fn doubtful_drops_stay_unknown() {
        // Two moves near one drop, and one move near two drops.
        let rows = [row(0, 10, false), row(1, 11, false), row(0, 30, false)];
        let link = report("delay=20ms", &[(10_500, Up, Loss), (29_900, Up, Loss), (30_100, Up, Loss)]);
        assert_eq!(names(&rows, TransportKind::Udp, &link), ["unknown"; 3]);
        // A drop beyond the reach is of something else.
        let far = report("delay=20ms", &[(31_001, Up, Loss), (53_001, Down, Loss)]);
        assert_eq!(names(&rows[2..], TransportKind::Udp, &far), ["unknown"]);
        let edge = report("delay=20ms", &[(31_000, Up, Loss)]);
        assert_eq!(names(&rows[2..], TransportKind::Udp, &edge), ["lost_up"]);
    }

    #[test]
    fn players_have_links_of_their_own() {
        let rows = [row(0, 10, false), row(1, 10, false)];
        let mut link = report("delay=20ms", &[(10_100, Up, Loss)]);
        // The second link has no delay, so that its player's move goes down the first at once.
        link.second = Some(Box::new(report("delay=0ms", &[])));
        assert_eq!(names(&rows, TransportKind::Udp, &link), ["lost_up", "unknown"]);
        link.drops = vec![DroppedPacket { direction: Down, ..link.drops[0] }];
        assert_eq!(names(&rows, TransportKind::Udp, &link), ["unknown", "lost_down"]);
        link.drops.clear();
        link.second = Some(Box::new(report("delay=0ms", &[(10_100, Up, Queue), (30_100, Down, Loss)])));
        assert_eq!(names(&rows, TransportKind::Udp, &link), ["lost_down", "queue_full_up"]);
    }
}
