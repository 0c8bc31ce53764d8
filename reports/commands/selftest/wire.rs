//! Self-test of what is counted on the wire: by the link, by a packet capture, and by the players' own stacks.

use anyhow::{Context, bail, ensure};
use netduel_link::{DirectionReport, Invalid, LinkReport, LinkSpec, Testbed};

use crate::{
    commands::selftest::tcpdump::{Capture, Count},
    data::{results::ATTEMPTS_MAX, run_result::RunResult},
    plan::scenario::{Network, RunKey, Scenario},
    run::{place::Place, run_once, runner::enter_testbed},
};

/// How far the capture's counts may lie from the link's. Both see the same packets; what crosses just as the window opens
/// or closes may be on either side of it.
const SHARE_MAX: f64 = 0.01;
/// What is crossed: with losses, so that what is offered and what is delivered differ.
const LINK: &str = "delay=5ms,loss=1%";
/// Set where links must be possible, and so must this.
const REQUIRED: &str = "NETDUEL_LINK_REQUIRED";

/// Every transport over a link with tcpdump on it.
pub(crate) fn wire() -> anyhow::Result<()> {
    let network: Network = LINK.parse()?;
    let spec = network.spec().context("a link was asked for")?.clone();
    let testbed = match enter_testbed([&network]) {
        Ok(testbed) => testbed.context("a link was asked for")?,
        Err(error) => return skip(&format!("no emulated links: {error}")),
    };
    if !Capture::is_possible() {
        return skip("there is no tcpdump: install it (apt-get install tcpdump)");
    }
    let scenario = Scenario {
        preset: "selftest".into(),
        links: vec![network],
        rates_hz: vec![120],
        duration_ms: 2_000,
        ..Scenario::default()
    };
    let mut worst: f64 = 0.0;
    for key in scenario.runs() {
        let (run, [received, sent]) = captured(&scenario, &key, &testbed, &spec)?;
        let link = run.link.as_ref().context("the run was on a link")?;
        worst = worst.max(tell(&run, link, received, sent));
    }
    println!("the capture is at most {:.2} % off the link's counts", worst * 100.0);
    ensure!(
        worst <= SHARE_MAX,
        "bytes and packets are not to be trusted: the link and a packet capture disagree by more than {:.0} %",
        SHARE_MAX * 100.0
    );
    Ok(())
}

fn skip(why: &str) -> anyhow::Result<()> {
    ensure!(std::env::var_os(REQUIRED).is_none(), "{why}");
    println!("skipped: {why}");
    Ok(())
}

/// One run, with what came in to the server and went out of it by the capture. Again where the link was late.
fn captured(
    scenario: &Scenario,
    key: &RunKey,
    testbed: &Testbed,
    spec: &LinkSpec,
) -> anyhow::Result<(RunResult, [Count; 2])> {
    for _ in 0..ATTEMPTS_MAX {
        let link = testbed.link(spec, scenario.seed)?;
        let capture = Capture::start(&link)?;
        match run_once::run(scenario, key, Place::on_link(link, false)?) {
            Ok(run) => {
                let counts = capture.count(run.link.as_ref().context("the run was on a link")?)?;
                return Ok((run, counts));
            }
            Err(error) if error.is::<Invalid>() => {}
            Err(error) => return Err(error),
        }
    }
    bail!("the machine is too busy for an honest link: {ATTEMPTS_MAX} attempts at {key} were late")
}

/// Says how far the counts of a run lie apart; returns the largest share between the link's and the capture's.
fn tell(run: &RunResult, link: &LinkReport, received: Count, sent: Count) -> f64 {
    let kind = run.key.contender.transport;
    let load = &run.load;
    let stacks = |packets: Option<u64>, bytes: Option<u64>| Some(Count { packets: packets?, bytes: bytes? });
    // The capture sees what arrives at the server and what leaves it; the players' stacks the other ends.
    let ways = [
        (
            "in ",
            [delivered(&link.up), offered(&link.up)],
            received,
            stacks(load.sent_packets, load.sent_bytes),
        ),
        (
            "out",
            [offered(&link.down), delivered(&link.down)],
            sent,
            stacks(load.received_packets, load.received_bytes),
        ),
    ];
    let mut worst: f64 = 0.0;
    for (way, [at_server, at_players], captured, own) in ways {
        let off = shares(captured, at_server);
        worst = off.iter().fold(worst, |worst, share| worst.max(share.abs()));
        let own = own.map_or("do not count".into(), |own| said(shares(own, at_players)));
        println!(
            "{kind:<14} {way}  link {} packets, {} B; capture {}; players' stacks {own}",
            at_server.packets,
            at_server.bytes,
            said(off)
        );
    }
    worst
}

fn delivered(path: &DirectionReport) -> Count {
    let [tcp, udp] = [&path.tcp, &path.udp];
    Count { packets: tcp.delivered + udp.delivered, bytes: tcp.delivered_bytes + udp.delivered_bytes }
}

fn offered(path: &DirectionReport) -> Count {
    let [tcp, udp] = [&path.tcp, &path.udp];
    Count { packets: tcp.offered + udp.offered, bytes: tcp.offered_bytes + udp.offered_bytes }
}

/// How far packets and bytes lie from those of the link.
fn shares(other: Count, link: Count) -> [f64; 2] {
    let share = |other: u64, link: u64| other as f64 / link.max(1) as f64 - 1.0;
    [share(other.packets, link.packets), share(other.bytes, link.bytes)]
}

fn said([packets, bytes]: [f64; 2]) -> String {
    format!("{:+.2} % packets, {:+.2} % B", packets * 100.0, bytes * 100.0)
}
