//! `netduel-simulation`: runs thousands of simulated worlds, or traces one of them.

use std::{
    num::NonZero,
    ops::Range,
    panic::catch_unwind,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use netduel_simulation::{Outcome, Violation, run, run_script};
use parking_lot::Mutex;

/// The interval of worlds that run twice, to check that a seed reproduces its run.
const TWICE_EVERY: u64 = 20;
/// The largest number of printed violations. The first ones suffice to debug.
const SHOWN_MAX: usize = 10;

/// Runs the server and its players in simulated worlds, and checks their invariants. A seed
/// determines each world.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Number of worlds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,

    /// Seed of the first world
    #[arg(long, default_value_t = 0)]
    first: u64,

    /// Number of worlds that run at the same time, one per thread [default: one per processor]
    #[arg(long)]
    jobs: Option<NonZero<usize>>,

    /// Run only the world of this seed
    #[arg(long, conflicts_with_all = ["seeds", "first", "jobs"])]
    seed: Option<u64>,

    /// Run the world of a script file that fuzzing found (fuzz/README.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "first", "jobs", "seed"])]
    script: Option<PathBuf>,

    /// Print every event of the world
    #[arg(long, conflicts_with_all = ["seeds", "first", "jobs"])]
    trace: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match (args.seed, args.script) {
        (Some(seed), _) => one(&format!("seed {seed}"), run(seed, args.trace)),
        (None, Some(file)) => match std::fs::read(&file) {
            Ok(script) => one(&file.display().to_string(), run_script(&script, args.trace)),
            Err(error) => {
                eprintln!("cannot read the script {}: {error}", file.display());
                ExitCode::FAILURE
            }
        },
        (None, None) => {
            let jobs = args.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
            many(args.first..args.first.saturating_add(args.seeds), jobs)
        }
    }
}

/// Prints the result of one world.
fn one(world: &str, result: Result<Outcome, Violation>) -> ExitCode {
    match result {
        Ok(outcome) => {
            println!("{world}: all invariants hold: {outcome:#?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{world}: violation {violation}");
            ExitCode::FAILURE
        }
    }
}

/// The totals of all worlds.
#[derive(Default)]
struct Total {
    worlds: u64,
    events: u64,
    connections: u64,
    matches: u64,
    resumed: u64,
    moves: u64,
    simulated: Duration,
    violated: Vec<(u64, Violation)>,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        self.worlds += 1;
        self.events += outcome.events;
        self.connections += outcome.connections;
        self.matches += outcome.counters.matches_started;
        self.resumed += outcome.counters.seats_resumed;
        self.moves += outcome.counters.moves_received;
        self.simulated += outcome.simulated;
    }
}

/// Runs all worlds of `seeds` on `jobs` threads, and prints the totals.
fn many(seeds: Range<u64>, jobs: usize) -> ExitCode {
    let began = Instant::now();
    let progress = ProgressBar::new(seeds.end - seeds.start).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} worlds, {per_sec}, {eta} left {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let (next, total) = (AtomicU64::new(seeds.start), Mutex::new(Total::default()));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Relaxed)
                    && seed < seeds.end
                {
                    let outcome = checked(seed);
                    let mut total = total.lock();
                    match outcome {
                        Ok(outcome) => total.add(&outcome),
                        Err(violation) => {
                            progress.suspend(|| tell(seed, &violation, total.violated.len()));
                            total.violated.push((seed, violation));
                        }
                    }
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    let total = total.into_inner();
    let took_s = began.elapsed().as_secs_f64();
    let Total { worlds, events, connections, matches, resumed, moves, simulated, violated } = total;
    println!(
        "{worlds} worlds passed, {} failed; {took_s:.1} s, {:.0} worlds/s; {:.0} h simulated, \
         {connections} connections, {matches} matches, {resumed} seats resumed, {moves} moves, {events} events",
        violated.len(),
        (worlds + violated.len() as u64) as f64 / took_s,
        simulated.as_secs_f64() / 3_600.0,
    );
    if violated.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a world, and some worlds twice.
fn checked(seed: u64) -> Result<Outcome, Violation> {
    let again = seed.is_multiple_of(TWICE_EVERY);
    let ran = catch_unwind(|| (run(seed, false), again.then(|| run(seed, false))));
    match ran {
        Ok((first, Some(second))) if first != second => {
            Err(Violation("of determinism: two runs of the seed differ".into()))
        }
        Ok((first, _)) => first,
        Err(_) => Err(Violation("by a panic".into())),
    }
}

fn tell(seed: u64, violation: &Violation, before: usize) {
    if before < SHOWN_MAX {
        eprintln!("seed {seed}: violation {violation}");
        eprintln!("    to see it, run: cargo simulate --seed {seed} --trace");
    }
}
