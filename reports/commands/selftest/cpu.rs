//! Self-tests of the CPU time of the server: added CPU time must be found, and the measured time
//! must agree with the account of the kernel at the exit of the process.

use anyhow::{Context, ensure};
use netduel_loadgen::{LoadPlan, Quantiles, Trusted, WindowPlan, Workload, affinity};
use netduel_transport::TransportKind;

use crate::{
    analysis::{metrics::Metric, verdict::comparison::Effect},
    commands::selftest::shared::{
        conclude, describe, effect, measured, nineteen_of_twenty, of_repeats, runs_of, scenario,
    },
    plan::{contender::Contender, scenario::Scenario},
    run::{
        place::Place,
        players::play,
        server::{Server, ServerSpec},
    },
};

/// The CPU time to add, as a share of the CPU time of the server.
const ADDED_SHARE: f64 = 0.1;
/// The number of pilot rounds, which measure the CPU time of the server. A single one would measure
/// it to within a tenth, which is the size of the increase to find.
const PILOTS: u32 = 10;
/// The largest difference between the measured time and the account of the kernel, as a share.
const ACCOUNT_SHARE_MAX: f64 = 0.01;
/// The difference that is always allowed, in µs: the kernel accounts in ticks of 10 ms, each for
/// user and system time.
const ACCOUNT_GRAIN_US: u64 = 2 * 10_000;
/// The CPU time to burn meanwhile, in µs per second: 1 % of the total then exceeds the always
/// allowed difference.
const ACCOUNT_BURN_US_PER_S: u32 = 500_000;

/// Carries out many comparisons of three arms: a reference, its control, and one whose server burns
/// more CPU time.
pub(crate) fn cpu(
    comparisons: u32,
    rounds: u32,
    matches: u32,
    transport: TransportKind,
) -> anyhow::Result<()> {
    let of_matches = |rounds, controls| {
        let plan = scenario(vec![transport], rounds, controls);
        Scenario { off_links: plan.off_links.clone().of(&[matches]), ..plan }
    };
    let pilots = measured(of_matches(PILOTS, 0))?;
    let used_us: Vec<f64> =
        pilots.runs.iter().filter_map(|run| run.server.cpu_us).map(|us| us as f64).collect();
    let used_us = used_us.into_iter().collect::<Quantiles>();
    ensure!(used_us.count() > 0, "this system does not account the CPU time of a process");
    let used_us_per_s = used_us.median() * 1e3 / pilots.scenario.off_links.duration_ms as f64;
    let server_burn_us_per_s = (used_us_per_s * ADDED_SHARE).round() as u32;
    println!(
        "the server uses {:.1} ms/s of CPU; the test adds {:.2} ms/s",
        used_us_per_s / 1e3,
        f64::from(server_burn_us_per_s) / 1e3
    );
    let burdened = Scenario { server_burn_us_per_s, ..of_matches(comparisons * rounds, 2) };
    let (contender, seed) = (Contender::plain(transport), burdened.seed);
    let results = measured(burdened)?;
    let metric = Metric::ServerCpu;
    let (mut found, mut wrong) = (0, 0);
    for comparison in 0..comparisons {
        let runs = of_repeats(&results.runs, comparison * rounds..(comparison + 1) * rounds);
        let [reference, control, candidate] = [0, 1, 2].map(|arm| runs_of(&runs, "loopback", contender, arm));
        let added = effect(metric, candidate, reference.clone(), seed).context("too few runs finished")?;
        let nothing = effect(metric, control, reference, seed).context("too few runs finished")?;
        // The added share lies near the floor below which a difference does not matter.
        let is_more = |effect: &Effect| effect.alone.low > 0.0;
        found += u32::from(is_more(&added));
        wrong += u32::from(is_more(&nothing));
        println!(
            "{:>3}: {:+.1} %: {}",
            comparison + 1,
            (added.ratio() - 1.0) * 100.0,
            describe(metric, &added)
        );
    }
    println!("the control, to which nothing was added, used more in {wrong} of {comparisons}");
    conclude("added CPU time of 10 % was found", found, comparisons, nineteen_of_twenty(comparisons))
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
            second_ip: None,
            trusted: Trusted::Pin(server.pin().to_owned()),
            pairs: vec![[kind.into(); 2]; 10],
            rate_hz: 120,
            in_flight: 0,
            payload_bytes: 0,
            pings_hz: 0,
            seed: 1,
            phase_us: 0,
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
