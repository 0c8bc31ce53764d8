//! Self-tests of the CPU time of the server: added CPU time must be found, and the measured time
//! must agree with the account of the kernel at the exit of the process.

use anyhow::{Context, ensure};
use netduel_loadgen::{LoadPlan, Trusted, WindowPlan, Workload, affinity};
use netduel_transport::TransportKind;

use crate::{
    analysis::{
        old_metrics::Metric,
        old_verdict::{Contest, Outcome, Series, judge},
        statistics,
    },
    commands::selftest::shared::{describe, measured, scenario},
    plan::{
        sampling::Sampling,
        scenario::{Contender, Scenario},
    },
    run::{
        place::Place,
        players::play,
        server::{Server, ServerSpec},
    },
};

/// The CPU time to add, as a share of the CPU time of the server.
const ADDED_SHARE: f64 = 0.1;
/// The number of pilot runs, which measure the CPU time of the server. A single run would measure
/// it to within a tenth, which is the size of the increase to find.
const PILOTS: u32 = 5;
/// The largest difference between the measured time and the account of the kernel, as a share.
const ACCOUNT_SHARE_MAX: f64 = 0.01;
/// The difference that is always allowed, in µs: the kernel accounts in ticks of 10 ms, each for
/// user and system time.
const ACCOUNT_GRAIN_US: u64 = 2 * 10_000;
/// The CPU time to burn meanwhile, in µs per second: 1 % of the total then exceeds the always
/// allowed difference.
const ACCOUNT_BURN_US_PER_S: u32 = 500_000;

/// Runs one transport three times in each round: as the reference, as its control, and with added
/// CPU time.
pub(crate) fn cpu(rounds: u32, transport: TransportKind) -> anyhow::Result<()> {
    let plain = scenario(vec![transport], rounds, 2);
    let pilots = measured(Scenario {
        off_links: Sampling { repeats: PILOTS, ..plain.off_links.clone() },
        ..plain.clone()
    })?;
    let used_us: Vec<f64> =
        pilots.runs.iter().filter_map(|run| run.server.cpu_us).map(|us| us as f64).collect();
    let used_us =
        statistics::median(&used_us).context("this system does not account the CPU time of a process")?;
    let used_us_per_s = used_us * 1e3 / plain.off_links.duration_ms as f64;
    let server_burn_us_per_s = (used_us_per_s * ADDED_SHARE).round() as u32;
    println!(
        "the server uses {:.1} ms/s of CPU; the test adds {:.2} ms/s",
        used_us_per_s / 1e3,
        f64::from(server_burn_us_per_s) / 1e3
    );
    let results = measured(Scenario { server_burn_us_per_s, ..plain.clone() })?;
    let mut arms = [Series::new(), Series::new(), Series::new()];
    for run in &results.runs {
        let value = Metric::ServerCpu.measure(run).map(|value| (run.key.repeat, value));
        arms[usize::from(run.key.arm)].extend(value);
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
    let effect = effect.context("too few runs finished")?;
    println!(
        "{}; {:+.1} % with noise of up to {:.1} %",
        describe(Metric::ServerCpu, &effect, outcome),
        (effect.candidate / effect.against - 1.0) * 100.0,
        noise.unwrap_or(0.0) / effect.against * 100.0
    );
    ensure!(
        matches!(outcome, Outcome::Worse(_)),
        "an increase of {:.0} % in CPU was not found: such differences are not reliable on this machine now",
        ADDED_SHARE * 100.0
    );
    Ok(())
}

/// Compares the CPU time read while a server runs with the account of the kernel at its exit
/// (`wait4`, which also feeds the child times of `/proc/self/stat`).
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
            pings_hz: 0,
            seed: 1,
            options: Contender::plain(kind).options(),
        };
        let window = WindowPlan { warmup_ms: 100, duration_ms: seconds * 1_000, ..WindowPlan::default() };
        play(&mut Place::Loopback, &plan, &window, Some(&server), |_| {})?;
        let (ours_us, kernels_us) = server.kill_accounted()?;
        let off_us = ours_us.abs_diff(kernels_us);
        let share = off_us as f64 / kernels_us.max(1) as f64;
        println!(
            "{kind:<14} measured {:.1} ms, accounted {:.1} ms: {:.2} % apart",
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
        "the measured CPU time of the server is not reliable: it differs by {:.1} % from the account of the kernel",
        worst * 100.0
    );
    Ok(())
}
