//! Checks of the measuring itself: is no difference called one (A/A), is an added delay recovered, is added CPU found?
//! Does what is counted on the wire, and of the CPU, agree with an account that is none of ours?
//! They run the same harness, and are judged by the same rules, as every comparison.

use std::ops::Range;

use anyhow::{Context, ensure};
use clap::Subcommand;
use netduel_transport::TransportKind;

use crate::{
    measure::{enter_lab, measure},
    metrics::Metric,
    render_verdict::in_a_word,
    results::{Provenance, Results},
    scenario::{Network, RunKey, Scenario, Workload},
    selftest_cpu, selftest_wire, statistics,
    verdict::{Contest, Effect, Outcome, Series, Table, judge},
};

/// A/A comparisons that may be called different: at 5 % each, 1 of 20 is to be expected.
const WRONG_MAX: u32 = 1;
/// The links of the delay's self-test, and how much longer a move takes over the second: 1 ms more up, and 1 ms down.
const DELAY_LINKS: [&str; 2] = ["delay=10ms", "delay=11ms"];
const DELAY_ADDED_US: f64 = 2_000.0;
/// How far from that what is measured may lie.
const DELAY_ERROR_MAX_US: f64 = 200.0;

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
        #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(3..=100))]
        repeat: u32,
        /// Which transport
        #[arg(long, default_value_t = TransportKind::ALL[0])]
        transport: TransportKind,
    },
    /// Compare what we read of a server's CPU time with what the kernel accounts for at its end, over each transport; fails
    /// unless they agree within 1 %
    CpuAccount {
        /// How long each plays
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
    },
    /// Compare bytes and packets as the link counts them with a packet capture by tcpdump, over each transport; fails unless
    /// they agree within 1 %
    Wire,
}

/// Carries out a check, and tells what it found.
///
/// # Errors
/// A run that failed; what was not found, or was where there is nothing.
pub fn self_test(test: &SelfTest) -> anyhow::Result<()> {
    match *test {
        SelfTest::Aa { comparisons, repeat, transport } => aa(comparisons, repeat, transport),
        SelfTest::Delay { repeat } => delay(repeat),
        SelfTest::Cpu { repeat, transport } => selftest_cpu::cpu(repeat, transport),
        SelfTest::CpuAccount { seconds } => selftest_cpu::account(seconds),
        SelfTest::Wire => selftest_wire::wire(),
    }
}

/// Short windows that still hold a p99: 20 players × 120 Hz × 0.6 s = 1,440 moves.
pub(crate) fn scenario(transports: Vec<TransportKind>, repeats: u32, controls: u8) -> Scenario {
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

/// The numbers of a comparison in a line.
pub(crate) fn describe(metric: Metric, effect: &Effect, outcome: Outcome) -> String {
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
                key.contender.transport == kind.into()
                    && key.group.link == link.name()
                    && key.repeat == repeat
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
