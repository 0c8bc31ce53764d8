//! The wire self-test: compares the packet counts of the link, of a packet capture, and of the
//! stacks of the players.

use anyhow::{Context, bail, ensure};
use netduel_link::{DirectionReport, Invalid, LinkReport, LinkSpec, Testbed};
use netduel_loadgen::affinity;

use crate::{
    commands::selftest::packet_count::{Capture, Count},
    data::{results::ATTEMPTS_MAX, run_result::RunResult},
    plan::{
        sampling::Sampling,
        scenario::{Network, RunKey, Scenario},
    },
    run::{place::Place, runner::enter_testbed, session::run_once, tcpdump::Tcpdump},
};

/// The largest difference between the counts of the capture and of the link, as a share. Both see
/// the same packets; a packet that crosses as the window opens or closes may count on either side.
const SHARE_MAX: f64 = 0.01;
/// The link under test. It loses packets, so that the offered and delivered counts differ.
const LINK: &str = "delay=5ms,loss=1%";
/// The environment variable that makes links, and so this self-test, mandatory.
const REQUIRED: &str = "NETDUEL_LINK_REQUIRED";

/// Runs every transport over a link with tcpdump attached.
pub(crate) fn wire() -> anyhow::Result<()> {
    let network: Network = LINK.parse()?;
    let spec = network.spec().context("the network must be an emulated link")?.clone();
    let testbed = match enter_testbed([&network]) {
        Ok(testbed) => testbed.context("the network must be an emulated link")?,
        Err(error) => return skip(&format!("emulated links are not available: {error}")),
    };
    if !Tcpdump::is_installed() {
        return skip("tcpdump is missing: install it (apt-get install tcpdump)");
    }
    let scenario = Scenario {
        preset: "selftest".into(),
        links: vec![network],
        rates_hz: vec![120],
        on_links: Sampling { duration_ms: 2_000, ..Sampling::LINK.of(&[10]) },
        afresh: true,
        ..Scenario::default()
    };
    let mut worst: f64 = 0.0;
    for key in scenario.runs() {
        let (run, [received, sent]) = captured(&scenario, &key, &testbed, &spec)?;
        let link = run.link.as_ref().context("the run was on a link")?;
        worst = worst.max(print_counts(&run, link, received, sent));
    }
    println!("largest difference between capture and link: {:.2} %", worst * 100.0);
    ensure!(
        worst <= SHARE_MAX,
        "counts of bytes and packets are not reliable: link and packet capture differ by more than {:.0} %",
        SHARE_MAX * 100.0
    );
    Ok(())
}

/// Skips the self-test, or fails if it is mandatory.
fn skip(why: &str) -> anyhow::Result<()> {
    ensure!(std::env::var_os(REQUIRED).is_none(), "{why}");
    println!("skipped: {why}");
    Ok(())
}

/// Runs once and returns the result with the packets that the capture saw the server receive and
/// send. Repeats the run if the link was late.
fn captured(
    scenario: &Scenario,
    key: &RunKey,
    testbed: &Testbed,
    spec: &LinkSpec,
) -> anyhow::Result<(RunResult, [Count; 2])> {
    let lane = affinity::lanes().first().copied().unwrap_or_default();
    for _ in 0..ATTEMPTS_MAX {
        let link = testbed.link(spec, scenario.seed)?;
        let capture = Capture::start(&link)?;
        match run_once(scenario, key, Place::on_link(link, false)?, lane, None) {
            Ok(run) => {
                let counts = capture.count(run.link.as_ref().context("the run was on a link")?)?;
                return Ok((run, counts));
            }
            Err(error) if error.is::<Invalid>() => {}
            Err(error) => return Err(error),
        }
    }
    bail!("the machine is too busy to emulate the link: {ATTEMPTS_MAX} attempts at {key} were late")
}

/// Prints the counts of a run, and returns the largest share by which the capture differs from the
/// link.
fn print_counts(run: &RunResult, link: &LinkReport, received: Count, sent: Count) -> f64 {
    let kind = run.key.contender.transport;
    let load = &run.load;
    let stacks = |packets: Option<u64>, bytes: Option<u64>| Some(Count { packets: packets?, bytes: bytes? });
    // The capture sees packets at the server, the stacks see packets at the players.
    let directions = [
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
    for (direction, [at_server, at_players], captured, own) in directions {
        let off = shares(captured, at_server);
        worst = off.iter().fold(worst, |worst, share| worst.max(share.abs()));
        let own = own.map_or("without counts".into(), |own| percent(shares(own, at_players)));
        println!(
            "{kind:<14} {direction}  link {} packets, {} B; capture {}; players' stacks {own}",
            at_server.packets,
            at_server.bytes,
            percent(off)
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

/// Returns the differences of packets and bytes from those of the link, as shares.
fn shares(other: Count, link: Count) -> [f64; 2] {
    let share = |other: u64, link: u64| other as f64 / link.max(1) as f64 - 1.0;
    [share(other.packets, link.packets), share(other.bytes, link.bytes)]
}

fn percent([packets, bytes]: [f64; 2]) -> String {
    format!("{:+.2} % packets, {:+.2} % B", packets * 100.0, bytes * 100.0)
}
