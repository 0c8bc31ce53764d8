//! The `netduel-link` command: list profiles, probe a link, put a pair of programs behind one, test itself.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use netduel_link::{
    Lab, Limits, LinkSpec, PROFILES, Path, Privilege, ProbePlan, ProbeReport, Rate, SELF_TESTS, init,
};

mod run;

/// Programs on either side of an emulated network path.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A LINK is the name of a profile (netduel-link list), a .toml file, or a spec:
  delay=20ms,jitter=2ms/50ms,loss=1%,rate=10mbit,queue=50kB
  loss=900ms/30ms/50%   bursts: good for 900 ms, bad for 30 ms (on average), losing 50 % while bad
  reorder=1%/5ms  duplicate=0.1%  rate=FILE (a mahimahi trace)  up.rate=1mbit  down.delay=30ms  mtu=1400

Examples:
  netduel-link list
  netduel-link probe --profile wifi
  netduel-link run --profile lte --server 'netduel-server --host 198.18.0.1' -- netduel-bot --server {server}
  netduel-link run --profile delay=50ms,loss=2% --server 'iperf3 -s' -- iperf3 -c {server}
  netduel-link selftest

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 run on a link that was not what it was asked to be (run, probe).
`run` otherwise ends with the code of the client's command.";

#[derive(Subcommand)]
enum Command {
    /// Show the profiles, what they do, and where their figures come from.
    List {
        /// Print this one as TOML, to start one of your own from.
        #[arg(long, value_name = "NAME")]
        toml: Option<String>,
    },
    /// Measure what a link really does, beside what was asked.
    Probe {
        #[command(flatten)]
        link: LinkArgs,
        /// Packets in each direction.
        #[arg(long, default_value_t = ProbePlan::default().packets)]
        packets: u32,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a server and a client with the link between them.
    #[command(after_help = "The client starts once the server listens on a port; {server} in its arguments \
                            becomes the server's address, which both also find in NETDUEL_SERVER_IP. When \
                            the client ends, the server is stopped.")]
    Run(run::RunArgs),
    /// Check that links on this machine are true: delay, loss, rate, reordering, over UDP and TCP.
    Selftest {
        /// Packets of each protocol in each check.
        #[arg(long, default_value_t = 40_000)]
        packets: u32,
        /// Only the checks with this in their name.
        #[arg(long, default_value = "")]
        only: String,
        #[command(flatten)]
        user: UserArg,
    },
}

#[derive(Args)]
struct LinkArgs {
    /// The LINK: a profile's name, a .toml file, or a spec (see netduel-link --help).
    #[arg(long, value_name = "LINK")]
    profile: LinkSpec,
    /// Decides all chance: the same seed gives the same bad periods.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    user: UserArg,
}

#[derive(Args)]
struct UserArg {
    /// Use a user namespace even as root.
    #[arg(long)]
    user_namespace: bool,
}

impl UserArg {
    fn lab(&self) -> Result<Lab> {
        let privilege = if self.user_namespace { Privilege::UserNamespace } else { Privilege::Auto };
        Ok(Lab::enter(privilege)?)
    }
}

/// A link was not what it was asked to be.
const EXIT_INVALID: u8 = 3;

fn main() -> ExitCode {
    init();
    let result = match Cli::parse().command {
        Command::List { toml: None } => list(),
        Command::List { toml: Some(name) } => print_toml(&name),
        Command::Probe { link, packets, json } => probe(&link, packets, json),
        Command::Run(args) => run::run(&args),
        Command::Selftest { packets, only, user } => self_test(&user, packets, &only),
    };
    result.unwrap_or_else(|error| {
        eprintln!("netduel-link: {error:#}");
        ExitCode::FAILURE
    })
}

fn list() -> Result<ExitCode> {
    for profile in PROFILES.iter() {
        println!("{:<14} {}", profile.spec.name, profile.about);
        println!("{:14} up   {}", "", describe(&profile.spec.up));
        println!("{:14} down {}", "", describe(&profile.spec.down));
        println!("{:14} from {}\n", "", profile.source);
    }
    Ok(ExitCode::SUCCESS)
}

/// A path in one line.
fn describe(path: &Path) -> String {
    let mut parts = vec![format!("{} ms", path.delay_ms)];
    if let Some(jitter) = path.jitter {
        parts.push(format!("jitter {} ms", jitter.sd_ms));
    }
    if let Some(share) = path.loss.mean_share().filter(|share| *share > 0.0) {
        parts.push(format!("loss {:.2} %", share * 100.0));
    }
    if let Some(rate) = &path.rate {
        let rate = match rate {
            Rate::MbitPerS(rate) => format!("{rate} Mbit/s"),
            Rate::Trace(file) => file.display().to_string(),
        };
        parts.push(format!("{rate}, queue {} kB", path.queue_bytes / 1_000));
    }
    parts.join(", ")
}

fn print_toml(name: &str) -> Result<ExitCode> {
    print!("{}", toml::to_string(&name.parse::<LinkSpec>()?)?);
    Ok(ExitCode::SUCCESS)
}

fn probe(args: &LinkArgs, packets: u32, json: bool) -> Result<ExitCode> {
    if packets == 0 {
        bail!("--packets is 0: give at least 1");
    }
    let mut link = args.user.lab()?.link(&args.profile, args.seed)?;
    let report = link.probe(&ProbePlan { packets, ..ProbePlan::default() })?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", probe_table(&report));
    }
    let mut exit = ExitCode::SUCCESS;
    for mismatch in report.mismatches() {
        eprintln!("netduel-link: {mismatch}");
        exit = ExitCode::from(EXIT_INVALID);
    }
    if let Err(invalid) = report.link.valid(&Limits::default()) {
        eprintln!("netduel-link: {invalid}");
        exit = ExitCode::from(EXIT_INVALID);
    }
    Ok(exit)
}

fn probe_table(report: &ProbeReport) -> String {
    let ms = |ms: f64| format!("{ms:.2} ms");
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let mbit = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.1} Mbit/s"));
    let row = |name: &str, cells: [String; 6]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>15}")).collect();
        format!("{name:<11}{cells}\n")
    };
    let heads = ["delay p50", "delay p99", "deviation", "loss", "reordered", "rate"];
    let mut table = row("", heads.map(str::to_owned));
    for (name, path) in [("up", &report.up), ("down", &report.down)] {
        let [p50, p99] = [0.5, 0.99].map(|quantile| ms(path.delay.quantile_ms(quantile)));
        let reordered = percent(f64::from(path.reordered) / f64::from(path.sent));
        let deviation = ms(path.delay.sd_ms());
        let measured = [p50, p99, deviation, percent(path.loss_share()), reordered, mbit(path.mbit_per_s)];
        table += &row(name, measured);
        let asked = &path.asked;
        let loss = asked.loss_share.map_or("-".to_owned(), percent);
        let deviation = ms(asked.jitter_sd_ms);
        let asked = [ms(asked.delay_ms), "".into(), deviation, loss, "".into(), mbit(asked.mbit_per_s)];
        table += &row("  asked", asked);
    }
    table
}

fn self_test(user: &UserArg, packets: u32, only: &str) -> Result<ExitCode> {
    let lab = user.lab()?;
    let mut ok = true;
    for test in SELF_TESTS.iter().filter(|test| test.name.contains(only)) {
        for finding in (test.run)(&lab, packets)? {
            let verdict = if finding.ok { "ok" } else { "NOT" };
            println!("{verdict:<4}{:<34}{:<60}asked: {}", finding.what, finding.measured, finding.asked);
            ok &= finding.ok;
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
