//! The self-test of links on this machine.
//!
//! Each check makes a link, sends real packets over it, and compares the arrivals with the spec.
//! The bounds are those of the project's acceptance.

use std::{thread, time::Duration};

use crate::{
    emulator::{
        report::{DroppedPacket, LinkReport},
        schedule::bad_periods,
    },
    error::LinkError,
    measure::{
        finding::{Finding, SelfTest},
        flow::{self, Arrivals, Flow},
        scheduled::{Pace, scheduled_delay},
        stream,
    },
    spec::{
        link_spec::{DirectionSpec, Jitter, LinkSpec, Rate, Reorder},
        loss::Loss,
    },
    testbed::Testbed,
    types::Direction,
};

/// The seed of every check. Random decisions are thus the same each time, and only the machine
/// differs.
const SEED: u64 = 2_026;
/// The packets per second of a flow: more than any game sends, and well within the capacity of two
/// cores.
const PACKETS_PER_S: f64 = 8_000.0;
/// Half the width of a 99 % interval of a normal distribution, standard deviations.
const SD_99: f64 = 2.576;
/// The data of a full TCP segment with timestamps at an MTU of 1500, bytes.
const SEGMENT_BYTES: usize = 1_448;
/// The concurrent TCP connections over a lossy link. A single connection would lose the same
/// segment again and again in a bad period by packets, because no other packet would advance the
/// chain.
const STREAMS: usize = 16;

/// The checks of the self-test.
pub const SELF_TESTS: &[SelfTest] = &[
    SelfTest { name: "delay", run: delay },
    SelfTest { name: "iid loss", run: iid_loss },
    SelfTest { name: "bursts by packet", run: bursts_by_packet },
    SelfTest { name: "bursts in time", run: bursts_in_time },
    SelfTest { name: "rate", run: rate },
    SelfTest { name: "reordering", run: reordering },
    SelfTest { name: "jitter", run: jitter },
    SelfTest { name: "TCP retransmissions", run: tcp_retransmissions },
    SelfTest { name: "no loss outside the spec", run: no_loss_outside_the_spec },
];

fn delay(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let asked_ms = 10.0;
    let both = DirectionSpec { delay_ms: asked_ms, ..DirectionSpec::default() };
    let link = testbed.link(&LinkSpec::symmetric("delay", both), SEED)?;
    let udp = flow::run(&link, Direction::Up, game_flow(packets))?.delay;
    let tcp = stream::messages(&link, Direction::Up, packets, PACKETS_PER_S)?;
    let lateness = link.finish()?.lateness;
    let near = |what: &str, p50_ms: f64, p99_ms: f64| Finding {
        what: what.to_owned(),
        asked: format!("{asked_ms} ms, within 0.3 ms at p50"),
        measured: format!("{p50_ms:.2} ms at p50, {p99_ms:.2} at p99"),
        ok: (p50_ms - asked_ms).abs() <= 0.3,
    };
    Ok(vec![
        near("delay, UDP", udp.quantile_ms(0.5), udp.quantile_ms(0.99)),
        near("delay, TCP", tcp.quantile_ms(0.5), tcp.quantile_ms(0.99)),
        Finding {
            what: "lateness of the emulator".to_owned(),
            asked: "at most 2 ms at p99".to_owned(),
            measured: format!(
                "{:.2} ms at p50, {:.2} at p99, {:.1} at worst",
                lateness.quantile_ms(0.5),
                lateness.quantile_ms(0.99),
                lateness.max_ms()
            ),
            ok: lateness.quantile_ms(0.99) <= 2.0,
        },
    ])
}

fn iid_loss(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let probability = 0.01;
    let (arrivals, report) = both_protocols(testbed, Loss::Iid { probability }, packets)?;
    let tcp = report.up.tcp;
    let within = |what: &str, lost: u64, sent: u64| {
        let (lost, sent) = (lost as f64, sent as f64);
        let half = SD_99 * (probability * (1.0 - probability) / sent).sqrt();
        Finding {
            what: what.to_owned(),
            asked: format!("1 % ± {:.2} % (99 % of a binomial)", half * 100.0),
            measured: format!("{:.2} % of {sent}", lost / sent * 100.0),
            ok: (lost / sent - probability).abs() <= half,
        }
    };
    Ok(vec![
        within("iid loss, UDP", arrivals.lost.into(), packets.into()),
        within("iid loss, TCP", tcp.lost, tcp.offered),
    ])
}

fn bursts_by_packet(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let loss = Loss::GilbertElliott { good_to_bad: 0.01, bad_to_good: 0.25, loss_good: 0.0, loss_bad: 1.0 };
    let mean = loss.mean_share().unwrap_or(0.0);
    let (arrivals, report) = both_protocols(testbed, loss, packets)?;
    let tcp = report.up.tcp;
    let burst = f64::from(arrivals.lost) / f64::from(arrivals.bursts.max(1));
    Ok(vec![
        near("bursts by packet, mean loss, UDP", share(arrivals.lost, packets), mean, 0.1, percent),
        near("bursts by packet, mean burst, UDP", burst, 4.0, 0.1, |packets| format!("{packets:.2}")),
        near("bursts by packet, mean loss, TCP", tcp.lost as f64 / tcp.offered as f64, mean, 0.1, percent),
    ])
}

/// Checks that UDP and TCP, on two links with one seed, lose packets in the same bad periods.
fn bursts_in_time(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let loss = Loss::GilbertElliottTime {
        good_ms: 150.0,
        bad_ms: 20.0,
        loss_good: 0.0,
        loss_bad: 1.0,
        stalls: false,
    };
    let up = DirectionSpec { delay_ms: 5.0, loss, ..DirectionSpec::default() };
    let down = DirectionSpec { delay_ms: 5.0, ..DirectionSpec::default() };
    let spec = LinkSpec { up, down, ..LinkSpec::symmetric("bursts in time", DirectionSpec::default()) };
    // The pace is slower than in other checks, so that as many packets meet more bad periods.
    let per_s = PACKETS_PER_S / 2.0;
    let (udp_link, tcp_link) = (testbed.link(&spec, SEED)?, testbed.link(&spec, SEED)?);
    let arrivals = thread::scope(|scope| {
        let tcp = scope.spawn(|| stream::messages(&tcp_link, Direction::Up, packets / 4, per_s / 4.0));
        let flow = Flow { packets_per_s: per_s, ..game_flow(packets) };
        let arrivals = flow::run(&udp_link, Direction::Up, flow);
        tcp.join().expect("the stream does not panic").and(arrivals)
    })?;
    let (udp, tcp) = (udp_link.finish()?, tcp_link.finish()?);

    let flow_ns = (f64::from(packets) / per_s * 1e9) as u64;
    let periods: Vec<(u64, u64)> = bad_periods(&spec, SEED, Direction::Up)
        .take_while(|(start, _)| *start < flow_ns)
        .map(|(start, end)| (start, end.min(flow_ns)))
        .collect();
    let bad_ns: u64 = periods.iter().map(|(start, end)| end - start).sum();
    let bad_share = bad_ns as f64 / flow_ns as f64;
    let burst_ms = bad_ns as f64 / periods.len() as f64 / 1e6;
    // At an even pace, a burst of n packets lasts n packet intervals.
    let measured_ms = f64::from(arrivals.lost) / f64::from(arrivals.bursts.max(1)) / per_s * 1e3;
    Ok(vec![
        near("bursts in time, mean loss, UDP", share(arrivals.lost, packets), bad_share, 0.1, percent),
        near("bursts in time, mean burst, UDP", measured_ms, burst_ms, 0.1, |ms| format!("{ms:.1} ms")),
        same_periods("bursts in time, drops of UDP", &udp.drops, &periods, 0.9),
        // After a bad period TCP is silent for its timeout of 200 ms or more, and misses some bad
        // periods.
        same_periods("bursts in time, drops of TCP", &tcp.drops, &periods, 0.3),
    ])
}

fn same_periods(what: &str, drops: &[DroppedPacket], periods: &[(u64, u64)], hit_min: f64) -> Finding {
    let inside = |drop: &&DroppedPacket, period: &(u64, u64)| (period.0..period.1).contains(&drop.at_ns);
    // The flow starts a little after the schedule, so it may end in a period after the last of
    // `periods`.
    let until_ns = periods.last().map_or(0, |(_, end)| *end);
    let drops: Vec<&DroppedPacket> = drops.iter().filter(|drop| drop.at_ns < until_ns).collect();
    let strays = drops.iter().filter(|drop| !periods.iter().any(|period| inside(drop, period))).count();
    let last_ns = drops.last().map_or(0, |drop| drop.at_ns);
    let passed: Vec<_> = periods.iter().filter(|(start, _)| *start <= last_ns).collect();
    let hit = passed.iter().filter(|period| drops.iter().any(|drop| inside(drop, period))).count();
    Finding {
        what: what.to_owned(),
        asked: format!("all within the {} bad periods of the seed", passed.len()),
        measured: format!("{} drops in {hit} of them, {strays} outside", drops.len()),
        ok: strays == 0 && hit as f64 >= hit_min * passed.len() as f64,
    }
}

fn rate(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let asked = 100.0;
    let both = DirectionSpec {
        delay_ms: 5.0,
        rate: Some(Rate::MbitPerS(asked)),
        queue_bytes: 500_000,
        ..DirectionSpec::default()
    };
    let link = testbed.link(&LinkSpec::symmetric("rate", both), SEED)?;
    let fill = Flow {
        packets,
        packets_per_s: 1.2 * asked * 1e6 / (1_500.0 * 8.0),
        payload_bytes: 1_500 - flow::header_bytes(false),
        drain: Duration::from_millis(500),
    };
    let udp = flow::run(&link, Direction::Up, fill)?;
    let tcp = stream::bulk(&link, Direction::Up, packets as usize * SEGMENT_BYTES)?.mbit_per_s;
    link.finish()?;
    let tcp_on_the_wire = tcp * 1_500.0 / SEGMENT_BYTES as f64;
    Ok(vec![
        near("rate, UDP", udp.mbit_per_s, asked, 0.03, mbit),
        near("rate, TCP", tcp_on_the_wire, asked, 0.03, mbit),
    ])
}

fn reordering(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let asked = 0.02;
    let reorder = Some(Reorder { share: asked, hold_ms: 3.0 });
    let (arrivals, report) =
        over(testbed, DirectionSpec { delay_ms: 5.0, reorder, ..DirectionSpec::default() }, packets)?;
    let tcp = report.up.tcp;
    Ok(vec![
        near("reordered, UDP", share(arrivals.reordered, packets), asked, 0.1, percent),
        near("held back, TCP", tcp.held as f64 / tcp.offered as f64, asked, 0.1, percent),
    ])
}

fn jitter(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let jitter = Some(Jitter { sd_ms: 2.0, correlation_ms: 50.0 });
    let both = DirectionSpec { delay_ms: 10.0, jitter, ..DirectionSpec::default() };
    let spec = LinkSpec::symmetric("jitter", both);
    let link = testbed.link(&spec, SEED)?;
    let arrivals = flow::run(&link, Direction::Up, game_flow(packets))?;
    link.finish()?;
    // Over so short a time, the schedule of this seed differs from its long-run mean.
    let pace = Pace { packets, packets_per_s: PACKETS_PER_S, packet_bytes: 92 };
    let scheduled = scheduled_delay(&spec, SEED, Direction::Up, pace)?;
    let ms = |ms: f64| format!("{ms:.2} ms");
    Ok(vec![
        near("jitter, mean delay", arrivals.delay.mean_ms(), scheduled.mean_ms(), 0.03, ms),
        near("jitter, deviation", arrivals.delay.sd_ms(), scheduled.sd_ms(), 0.1, ms),
        Finding {
            what: "jitter, reordered".to_owned(),
            asked: "none".to_owned(),
            measured: arrivals.reordered.to_string(),
            ok: arrivals.reordered == 0,
        },
    ])
}

/// Checks that TCP retransmits as many segments as the link lost.
fn tcp_retransmissions(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let lossy =
        DirectionSpec { delay_ms: 2.0, loss: Loss::Iid { probability: 0.02 }, ..DirectionSpec::default() };
    let spec = LinkSpec {
        up: lossy,
        ..LinkSpec::symmetric("2 % loss", DirectionSpec { delay_ms: 2.0, ..DirectionSpec::default() })
    };
    let link = testbed.link(&spec, SEED)?;
    // A quarter of the packets is enough, because a single stream is slow at this loss.
    let bytes = packets as usize / 4 * SEGMENT_BYTES;
    let retransmits = stream::bulk(&link, Direction::Up, bytes)?.retransmits;
    let lost = link.finish()?.up.tcp.lost;
    let whole = |count: f64| format!("{count:.0}");
    Ok(vec![near("retransmissions, TCP_INFO", retransmits.into(), lost as f64, 0.1, whole)])
}

fn no_loss_outside_the_spec(testbed: &Testbed, packets: u32) -> Result<Vec<Finding>, LinkError> {
    let spec =
        LinkSpec::symmetric("20,000 a second", DirectionSpec { delay_ms: 10.0, ..DirectionSpec::default() });
    let link = testbed.link(&spec, SEED)?;
    let flow = Flow { packets_per_s: 20_000.0, ..game_flow(packets.max(20_000)) };
    let arrivals = flow::run(&link, Direction::Up, flow)?;
    let report = link.finish()?;
    let unasked = report.up.device_dropped + report.up.overflowed;
    Ok(vec![Finding {
        what: "20,000 small packets a second".to_owned(),
        asked: "no loss".to_owned(),
        measured: format!(
            "{} of {} lost, {unasked} in the link; emulator {:.0} % of a CPU",
            arrivals.lost,
            flow.packets,
            report.emulator_cpu_ms / report.elapsed_ms * 100.0
        ),
        ok: arrivals.lost == 0 && unasked == 0,
    }])
}

/// Sends UDP, then bulk TCP, over a link with this loss from the client to the server.
fn both_protocols(testbed: &Testbed, loss: Loss, packets: u32) -> Result<(Arrivals, LinkReport), LinkError> {
    over(testbed, DirectionSpec { delay_ms: 1.0, loss, ..DirectionSpec::default() }, packets)
}

fn over(testbed: &Testbed, up: DirectionSpec, packets: u32) -> Result<(Arrivals, LinkReport), LinkError> {
    let down = DirectionSpec { delay_ms: up.delay_ms, ..DirectionSpec::default() };
    let spec = LinkSpec { up, down, ..LinkSpec::symmetric("self-test", DirectionSpec::default()) };
    let link = testbed.link(&spec, SEED)?;
    let arrivals = flow::run(&link, Direction::Up, game_flow(packets))?;
    let each = packets as usize * SEGMENT_BYTES / STREAMS;
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            // The last connection is alone and may fail; only the counts of the link matter.
            scope.spawn(|| stream::bulk(&link, Direction::Up, each).ok());
        }
    });
    Ok((arrivals, link.finish()?))
}

fn game_flow(packets: u32) -> Flow {
    Flow { packets, packets_per_s: PACKETS_PER_S, payload_bytes: 64, drain: Duration::from_millis(300) }
}

fn near(what: &str, measured: f64, asked: f64, tolerance: f64, show: impl Fn(f64) -> String) -> Finding {
    Finding {
        what: what.to_owned(),
        asked: format!("{}, within {:.0} %", show(asked), tolerance * 100.0),
        measured: format!("{} ({:+.1} %)", show(measured), (measured / asked - 1.0) * 100.0),
        ok: (measured / asked - 1.0).abs() <= tolerance,
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn mbit(rate: f64) -> String {
    format!("{rate:.1} Mbit/s")
}
