//! Checks of the measuring itself: is no difference called one (A/A), is an added delay recovered, is added CPU found?
//! They run the same harness, and are judged by the same rules, as every comparison.

use std::{ops::Range, time::Duration};

use anyhow::{Context, ensure};
use clap::Subcommand;
use netduel_transport::TransportKind;

use crate::{
    harness::{self, Place},
    measure::{enter_lab, measure},
    metrics::Metric,
    render_verdict::in_a_word,
    results::{Provenance, Results},
    scenario::{Network, RunKey, Scenario, Workload},
    statistics,
    verdict::{Contest, Effect, Outcome, Series, Table, judge},
};

/// A/A comparisons that may be called different: at 5 % each, 1 of 20 is to be expected.
const WRONG_MAX: u32 = 1;
/// The links of the delay's self-test, and how much longer a move takes over the second: 1 ms more up, and 1 ms down.
const DELAY_LINKS: [&str; 2] = ["delay=10ms", "delay=11ms"];
const DELAY_ADDED_US: f64 = 2_000.0;
/// How far from that what is measured may lie.
const DELAY_ERROR_MAX_US: f64 = 200.0;
/// The share of the server's own CPU time that is burned on top of it.
const CPU_ADDED_SHARE: f64 = 0.1;
/// The burden of a comparison is spread over this: short against every window, long against a wake-up.
const BURN_PERIOD: Duration = Duration::from_millis(10);

/// Which check.
#[derive(Subcommand, Clone, Debug)]
pub enum SelfTest {
    /// Compare a transport with itself over loopback; fails if more than one comparison finds a difference
    Aa {
        /// How many comparisons
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        comparisons: u32,
        /// Repeats of each comparison
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=20))]
        repeat: u32,
        /// Which transport
        #[arg(long, default_value_t = TransportKind::ALL[0])]
        transport: TransportKind,
    },
    /// Compare two links of which one delays a move by 2 ms more; fails unless that is found to within 0.2 ms
    Delay {
        /// Repeats on each link
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
        repeat: u32,
    },
    /// Burn 10 % more CPU in the server's process; fails unless that is found
    Cpu {
        /// Repeats with and without
        #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(3..=100))]
        repeat: u32,
        /// Which transport
        #[arg(long, default_value_t = TransportKind::ALL[0])]
        transport: TransportKind,
    },
}

/// Carries out a check, and tells what it found.
///
/// # Errors
/// A run that failed; what was not found, or was where there is nothing.
pub fn self_test(test: &SelfTest) -> anyhow::Result<()> {
    match *test {
        SelfTest::Aa { comparisons, repeat, transport } => aa(comparisons, repeat, transport),
        SelfTest::Delay { repeat } => delay(repeat),
        SelfTest::Cpu { repeat, transport } => cpu(repeat, transport),
    }
}

/// Short windows that still hold a p99: 20 players × 120 Hz × 0.6 s = 1,440 moves.
fn scenario(transports: Vec<TransportKind>, repeats: u32, controls: u8) -> Scenario {
    Scenario {
        preset: "selftest".into(),
        transports,
        rates_hz: vec![120],
        repeats,
        controls,
        warmup_ms: 150,
        duration_ms: 600,
        ..Scenario::default()
    }
}

/// Runs it all, and keeps nothing on disk.
fn measured(scenario: Scenario) -> anyhow::Result<Results> {
    let lab = enter_lab(&scenario.links)?;
    let mut results = Results::empty(scenario, Provenance::collect());
    measure(&mut results, lab.as_ref(), None)?;
    for failure in &results.failures {
        eprintln!("warning: {} failed: {}", failure.key, failure.reason);
    }
    Ok(results)
}

/// Every comparison has repeats of its own. In each of these the transport runs three times: as the reference, as its
/// control, and as what would be another transport.
fn aa(comparisons: u32, repeat: u32, transport: TransportKind) -> anyhow::Result<()> {
    let scenario = scenario(vec![transport], comparisons * repeat, 2);
    let results = measured(scenario)?;
    let table = Table::of(&results);
    let mut wrong = 0;
    for comparison in 0..comparisons {
        let repeats = comparison * repeat..(comparison + 1) * repeat;
        let mut called = Vec::new();
        for &metric in Metric::of_workload(Workload::Moves) {
            let (effect, outcome) = against_itself(&results, &table, metric, repeats.clone());
            match (outcome, effect) {
                (Outcome::Better(_) | Outcome::Worse(_), Some(effect)) => {
                    called.push(format!("{} {}", metric.name(), describe(metric, &effect, outcome)));
                }
                (Outcome::NotEnoughData, _) => called.push(format!("{} not enough data", metric.name())),
                _ => {}
            }
        }
        wrong += u32::from(!called.is_empty());
        let said = if called.is_empty() { "no detectable difference".into() } else { called.join("; ") };
        println!("A/A {:>3}: {said}", comparison + 1);
    }
    println!(
        "{wrong} of {comparisons} comparisons of {transport} with itself were called different in a metric"
    );
    ensure!(
        wrong <= WRONG_MAX,
        "more than {WRONG_MAX} A/A comparison was called different: small differences mean nothing on this machine now"
    );
    Ok(())
}

/// Arm 2 against arm 0, with the noise of arm 1, within some repeats.
fn against_itself(
    results: &Results,
    table: &Table,
    metric: Metric,
    repeats: Range<u32>,
) -> (Option<Effect>, Outcome) {
    let arm = |arm: u8| -> Series {
        let of_group = |group| table.series(&group, results.scenario.reference()?, arm, metric);
        let all = results.scenario.groups().into_iter().find_map(of_group);
        all.into_iter()
            .flat_map(|series| series.range(repeats.clone()))
            .map(|(&at, &value)| (at, value))
            .collect()
    };
    let (against, control, subject) = (arm(0), arm(1), arm(2));
    let seed = results.scenario.seed;
    let noise = Contest { subject: &control, against: &against, controls: Vec::new() }.noise(seed);
    let contest = Contest { subject: &subject, against: &against, controls: vec![&control] };
    judge(metric, &[contest], noise, seed).remove(0)
}

fn describe(metric: Metric, effect: &Effect, outcome: Outcome) -> String {
    format!(
        "{} against {} {} ({} to {}, floor {}, p = {:.3}): {}",
        metric.number(effect.subject),
        metric.number(effect.against),
        metric.unit(),
        metric.signed(effect.interval.low),
        metric.signed(effect.interval.high),
        metric.number(effect.floor),
        effect.p,
        in_a_word(outcome),
    )
}

/// One transport at a time, repeat by repeat: the mean delay over the slower link less that over the other.
fn delay(repeat: u32) -> anyhow::Result<()> {
    let links = DELAY_LINKS.map(str::parse).into_iter().collect::<Result<Vec<Network>, _>>()?;
    let scenario = Scenario { links, ..scenario(TransportKind::ALL.to_vec(), repeat, 0) };
    let results = measured(scenario)?;
    let mut worst_us: f64 = 0.0;
    for kind in TransportKind::ALL {
        let mean_us = |link: &Network, repeat: u32| {
            let of = |key: &RunKey| {
                key.contender.transport == kind && key.group.link == link.name() && key.repeat == repeat
            };
            results.runs.iter().find(|run| of(&run.key))?.load.stats.one_way.mean_us()
        };
        let [near, far] = &results.scenario.links[..] else { anyhow::bail!("two links were asked for") };
        let added_us: Vec<f64> =
            (0..repeat).filter_map(|it| Some(mean_us(far, it)? - mean_us(near, it)?)).collect();
        let found_us = statistics::mean(&added_us).with_context(|| format!("no two runs of {kind}"))?;
        let spread = statistics::mean_interval(&added_us, results.scenario.seed)
            .map_or(String::new(), |it| format!(" ({:.3} to {:.3})", it.low / 1_000.0, it.high / 1_000.0));
        println!(
            "{kind}: {:.3} ms{spread} of an added {:.3} ms",
            found_us / 1_000.0,
            DELAY_ADDED_US / 1_000.0
        );
        worst_us = worst_us.max((found_us - DELAY_ADDED_US).abs());
    }
    println!("at most {:.3} ms off", worst_us / 1_000.0);
    ensure!(
        worst_us <= DELAY_ERROR_MAX_US,
        "an added delay was not recovered: delays mean nothing on this machine now"
    );
    Ok(())
}

/// The same transport three times in each repeat: as it is, as its control, and with the burden.
fn cpu(repeat: u32, transport: TransportKind) -> anyhow::Result<()> {
    let plain = Scenario { pairs: vec![20], duration_ms: 1_000, ..scenario(vec![transport], repeat, 2) };
    let runs = plain.runs();
    let first = runs.first().context("there is nothing to run")?;
    let pilot = harness::run(&plain, first, Place::Loopback)?;
    let used_us = pilot.server.cpu_us.context("this system does not say how much CPU a process used")?;
    let used_us_per_s = used_us as f64 * 1_000.0 / plain.duration_ms as f64;
    let server_burn_us_per_s = (used_us_per_s * CPU_ADDED_SHARE).round() as u32;
    println!(
        "the server uses {:.1} ms/s; {:.2} ms/s go on top",
        used_us_per_s / 1e3,
        f64::from(server_burn_us_per_s) / 1e3
    );
    let burdened = Scenario { server_burn_us_per_s, ..plain.clone() };

    let mut arms = [Series::new(), Series::new(), Series::new()];
    for key in &runs {
        let run = harness::run(if key.arm == 2 { &burdened } else { &plain }, key, Place::Loopback)?;
        arms[usize::from(key.arm)].extend(Metric::ServerCpu.of(&run).map(|value| (key.repeat, value)));
    }
    let [against, control, subject] = &arms;
    let noise = Contest { subject: control, against, controls: Vec::new() }.noise(plain.seed);
    let (effect, outcome) =
        judge(Metric::ServerCpu, &[Contest { subject, against, controls: vec![control] }], noise, plain.seed)
            .remove(0);
    let effect = effect.context("not enough runs came to their end")?;
    println!(
        "{}; {:+.1} %",
        describe(Metric::ServerCpu, &effect, outcome),
        (effect.subject / effect.against - 1.0) * 100.0
    );
    ensure!(
        matches!(outcome, Outcome::Worse(_)),
        "{:.0} % more CPU were not found: differences in CPU of that size cannot be told on this machine now",
        CPU_ADDED_SHARE * 100.0
    );
    Ok(())
}

/// Burns CPU time in this process, on a thread of its own and away from the path of a move, until it ends. By the
/// thread's own CPU clock, so that waking up counts and being put off does not.
pub fn burn_beside(us_per_s: u32) {
    if us_per_s == 0 {
        return;
    }
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        loop {
            let due_ns = start.elapsed().as_secs_f64() * f64::from(us_per_s) * 1e3;
            while (thread_cpu_ns() as f64) < due_ns {
                std::hint::spin_loop();
            }
            std::thread::sleep(BURN_PERIOD);
        }
    });
}

#[cfg(target_os = "linux")]
fn thread_cpu_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Elsewhere the CPU of a server is not measured either, so nothing needs to be burned.
#[cfg(not(target_os = "linux"))]
fn thread_cpu_ns() -> i64 {
    i64::MAX
}
