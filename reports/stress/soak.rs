//! The command `soak`: plays many matches on mixed transports. No control message may be lost, and
//! the memory of the server may not grow.

use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;
use netduel_link::Counters;
use netduel_loadgen::{LoadPlan, Subject, Trusted, WindowPlan, Workload};
use netduel_transport::TransportKind;

use crate::{
    plan::{contender::Contender, scenario::Network},
    run::{
        place::Place,
        players::play,
        runner::enter_testbed,
        server::{Server, ServerSpec},
    },
};

/// The time after which buffers and pools have their final size; memory is compared from then on.
const SETTLED: Duration = Duration::from_secs(10);
/// The allowed growth of memory: memory that an allocator returns late.
const GROWTH_MAX_BYTES: u64 = 1 << 20;
/// The allowed growth per connection, where connections are many: buffers of connections that met
/// the worst periods of their link. A leak of one byte per move would be 3 kB per connection in 50
/// s at 60 Hz, and 9 kB in half an hour at 5 Hz.
const GROWTH_MAX_BYTES_PER_CONNECTION: u64 = 2 << 10;

/// The flags of `soak`.
#[derive(Args, Clone, Debug)]
pub struct SoakArgs {
    /// Concurrent matches; they take every combination of two transports in turn
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    matches: u32,

    /// Moves per second and player
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,

    /// Duration of the load
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Duration,

    /// Link between players and server: loopback, an emulated link by name (netduel-link list), or
    /// a .toml file. A link carries about 20,000 packets per second: 500 matches at 5 Hz
    #[arg(long, default_value = "loopback", value_name = "LINK")]
    link: Network,
}

/// The seed, which gives every soak the same bad periods.
const SEED: u64 = 1;

impl SoakArgs {
    /// Returns the place of the soak. Call it before any thread starts.
    fn place(&self) -> anyhow::Result<Place> {
        let testbed = enter_testbed([&self.link])?;
        match (&self.link, testbed) {
            (Network::Loopback, _) => Ok(Place::Loopback),
            (Network::Emulated(spec) | Network::Shared(spec), Some(testbed)) => {
                Place::on_link(testbed.link(spec, SEED)?, matches!(self.link, Network::Shared(_)))
            }
            _ => bail!(
                "a soak reads the memory of its own server: choose a --link other than {}",
                self.link.name()
            ),
        }
    }
}

/// Runs the soak, and prints its findings.
///
/// # Errors
/// A lost control message, growing memory, or another failed check.
pub fn soak(args: &SoakArgs) -> anyhow::Result<()> {
    let mut place = args.place()?;
    // The settings of this contender apply; the pairs name the transports.
    let settings = Contender::plain(TransportKind::ALL[0]);
    let server = Server::start(&place, &ServerSpec::new(&TransportKind::ALL, settings))?;
    let plan = LoadPlan {
        workload: Workload::Moves,
        cpu: None,
        addresses: server.addresses().clone(),
        second_ip: place.second_ip(),
        trusted: Trusted::Pin(server.pin().to_owned()),
        pairs: mixed_pairs(args.matches as usize),
        rate_hz: args.rate,
        in_flight: 0,
        payload_bytes: 0,
        pings_hz: 1,
        seed: SEED,
        phase_us: 0,
        options: settings.options(),
    };
    let (matches, rate, duration, link) = (args.matches, args.rate, args.duration, args.link.name());
    eprintln!("{matches} matches on mixed transports at {rate} Hz for {duration:?} over {link}");
    let window =
        WindowPlan { warmup_ms: 500, duration_ms: duration.as_millis() as u64, ..WindowPlan::default() };
    let mut memory = Vec::new();
    let outcome =
        play(&mut place, &plan, &window, Some(&server), |usage| memory.extend(usage.resident_bytes))?;
    let counters = server.stop()?;
    let load = &outcome.load;
    let report = place.end(outcome.link)?;

    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!("moves       {} sent, {} fresh, {} late", load.sent, load.stats.fresh, load.stats.late);
    println!("missing     {}: overtaken, or dropped by a lossy state lane", load.stats.missing);
    println!("superseded  {} at the players, {} at the relay", load.superseded, counters.updates_superseded);
    if let Some(report) = &report {
        let [up, down] = [&report.up, &report.down].map(|path| {
            let dropped = |counted: &Counters| counted.lost + counted.queue_dropped;
            dropped(&path.tcp) + dropped(&path.udp)
        });
        println!("link        {up} packets dropped on the way up, {down} on the way down");
    }
    println!("control     {} pings, {} answered; {} corrections", load.pings, load.pongs, load.corrected);
    println!(
        "matches     {} started, {} ended, {} players expelled",
        counters.matches_started, counters.matches_ended, counters.expelled
    );
    let settled = memory.get(SETTLED.as_secs() as usize).or(memory.first()).copied();
    let (halfway, last) = (memory.get(memory.len() / 2).copied(), memory.last().copied());
    if let (Some(settled), Some(halfway), Some(last)) = (settled, halfway, last) {
        println!(
            "memory      {:.2} MB once settled, {:.2} MB halfway, {:.2} MB at the end",
            megabytes(settled),
            megabytes(halfway),
            megabytes(last)
        );
        let (growth, connections) = (last.saturating_sub(settled), u64::from(2 * args.matches));
        ensure!(
            growth <= GROWTH_MAX_BYTES.max(connections * GROWTH_MAX_BYTES_PER_CONNECTION),
            "the memory of the server grew by {:.2} MB",
            megabytes(growth)
        );
    }
    if let Some(cpu_us) = outcome.server.cpu_us {
        println!("server CPU  {:.1} µs per fresh move", cpu_us as f64 / load.stats.fresh.max(1) as f64);
    }

    ensure!(load.pongs == load.pings, "{} control messages were lost", load.pings - load.pongs);
    ensure!(load.corrected == 0, "legal moves were corrected");
    ensure!(counters.expelled == 0, "the server expelled well-behaved players");
    ensure!(counters.matches_started == u64::from(args.matches), "not every match started");
    ensure!(load.stats.fresh > 0, "no move arrived");
    Ok(())
}

/// Returns pairs of transports that take every combination in turn.
fn mixed_pairs(matches: usize) -> Vec<[Subject; 2]> {
    let kinds = TransportKind::ALL.map(Subject::from);
    (0..matches)
        .map(|number| [kinds[number % kinds.len()], kinds[number / kinds.len() % kinds.len()]])
        .collect()
}
