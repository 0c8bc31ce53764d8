//! Self-tests of the server's CPU time: is what was added found, and does what we read agree with what the kernel accounts
//! for when the process is over?

use anyhow::{Context, ensure};
use netduel_loadgen::{LoadPlan, Trusted, Workload, affinity};
use netduel_transport::TransportKind;

use crate::{
    analysis::{
        metrics::Metric,
        statistics,
        verdict::{Contest, Outcome, Series, judge},
    },
    commands::selftest::shared::{describe, scenario},
    plan::scenario::{Contender, Scenario},
    run::{
        place::Place,
        run_once::{self, play},
        server::{Server, ServerSpec},
    },
};

/// The share of the server's own CPU time that is burned on top of it.
const ADDED_SHARE: f64 = 0.1;
/// Runs before, from which the server's own is known: of a single one it would be known to within a tenth, which is what
/// is to be found.
const PILOTS: usize = 5;
/// How far our account may lie from the kernel's last one.
const ACCOUNT_SHARE_MAX: f64 = 0.01;
/// Nor may less than this matter: that account comes in ticks of 10 ms, user and system time each.
const ACCOUNT_GRAIN_US: u64 = 2 * 10_000;
/// What the server burns meanwhile: enough that a hundredth of it all is more than the grain.
const ACCOUNT_BURN_US_PER_S: u32 = 500_000;

/// The same transport three times in each repeat: as it is, as its control, and with the burden.
pub(crate) fn cpu(repeat: u32, transport: TransportKind) -> anyhow::Result<()> {
    let plain = Scenario { pairs: vec![20], ..scenario(vec![transport], repeat, 2) };
    let runs = plain.runs();
    let first = runs.first().context("there is nothing to run")?;
    let mut pilots = Vec::with_capacity(PILOTS);
    for _ in 0..PILOTS {
        let pilot = run_once::run(&plain, first, Place::Loopback)?;
        let used_us = pilot.server.cpu_us.context("this system does not say how much CPU a process used")?;
        pilots.push(used_us as f64 * 1e3 / plain.duration_ms as f64);
    }
    let used_us_per_s = statistics::mean(&pilots).context("there were pilots")?;
    let server_burn_us_per_s = (used_us_per_s * ADDED_SHARE).round() as u32;
    println!(
        "the server uses {:.1} ms/s; {:.2} ms/s go on top",
        used_us_per_s / 1e3,
        f64::from(server_burn_us_per_s) / 1e3
    );
    let burdened = Scenario { server_burn_us_per_s, ..plain.clone() };

    let mut arms = [Series::new(), Series::new(), Series::new()];
    for key in &runs {
        let run = run_once::run(if key.arm == 2 { &burdened } else { &plain }, key, Place::Loopback)?;
        arms[usize::from(key.arm)].extend(Metric::ServerCpu.measure(&run).map(|value| (key.repeat, value)));
    }
    let [against, control, candidate] = &arms;
    let noise = Contest { candidate: control, against, controls: Vec::new() }.noise(plain.seed);
    let (effect, outcome) = judge(
        Metric::ServerCpu,
        &[Contest { candidate, against, controls: vec![control] }],
        noise,
        plain.seed,
    )
    .remove(0);
    let effect = effect.context("not enough runs came to their end")?;
    println!(
        "{}; {:+.1} %, of which noise can be {:.1} %",
        describe(Metric::ServerCpu, &effect, outcome),
        (effect.candidate / effect.against - 1.0) * 100.0,
        noise.unwrap_or(0.0) / effect.against * 100.0
    );
    ensure!(
        matches!(outcome, Outcome::Worse(_)),
        "{:.0} % more CPU were not found: differences in CPU of that size cannot be told on this machine now",
        ADDED_SHARE * 100.0
    );
    Ok(())
}

/// What we read of a server while it runs, against what the kernel says of it once it is over (`wait4`, from which
/// `/proc/self/stat` has the time of children).
pub(crate) fn account(seconds: u64) -> anyhow::Result<()> {
    let mut worst: f64 = 0.0;
    for kind in TransportKind::ALL {
        let place = Place::Loopback;
        let spec = ServerSpec {
            burn_us_per_s: ACCOUNT_BURN_US_PER_S,
            cpu: affinity::run_cpu(),
            ..ServerSpec::new(&[kind], Contender::plain(kind))
        };
        let server = Server::start(&place, &spec)?;
        let plan = LoadPlan {
            workload: Workload::Moves,
            cpu: affinity::run_cpu(),
            addresses: server.addresses().clone(),
            trusted: Trusted::Pin(server.pin().to_owned()),
            pairs: vec![[kind.into(); 2]; 10],
            rate_hz: 120,
            in_flight: 0,
            payload_bytes: 0,
            warmup_ms: 100,
            duration_ms: seconds * 1_000,
            pings_hz: 0,
            seed: 1,
            options: Contender::plain(kind).options(),
        };
        play(&mut Place::Loopback, &plan, Some(&server), |_| {})?;
        let (ours_us, kernels_us) = server.kill_accounted()?;
        let off_us = ours_us.abs_diff(kernels_us);
        let share = off_us as f64 / kernels_us.max(1) as f64;
        println!(
            "{kind:<14} read {:.1} ms, accounted {:.1} ms: {:.2} %",
            ours_us as f64 / 1e3,
            kernels_us as f64 / 1e3,
            share * 100.0
        );
        if off_us > ACCOUNT_GRAIN_US {
            worst = worst.max(share);
        }
    }
    ensure!(
        worst <= ACCOUNT_SHARE_MAX,
        "the server's CPU time is not to be trusted: it is {:.1} % off what the kernel accounts for",
        worst * 100.0
    );
    Ok(())
}
