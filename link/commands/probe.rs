//! `netduel-link probe`: a link measured, beside its spec.

use std::process::ExitCode;

use anyhow::{Result, bail};
use netduel_link::{
    Limits, ProbePlan, ProbeReport,
    cli::{EXIT_INVALID, LinkArgs},
};

/// Measures a link and prints the result beside its spec.
pub(crate) fn probe(args: &LinkArgs, packets: u32, json: bool) -> Result<ExitCode> {
    if packets == 0 {
        bail!("--packets is 0: give at least 1");
    }
    let mut link = args.link()?;
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
    let heads = ["delay p50", "delay p90", "delay p99", "loss", "reordered", "rate"];
    let mut table = row("", heads.map(str::to_owned));
    for (name, probe) in [("up", &report.up), ("down", &report.down)] {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|quantile| ms(probe.delay.quantile_ms(quantile)));
        let reordered = percent(f64::from(probe.reordered) / f64::from(probe.sent));
        table += &row(name, [p50, p90, p99, percent(probe.loss_share()), reordered, mbit(probe.mbit_per_s)]);
        let asked = &probe.asked;
        let [p50, p90, p99] = [asked.delay_ms, asked.delay_p90_ms, asked.delay_p99_ms].map(ms);
        let loss = asked.loss_share.map_or("-".to_owned(), percent);
        table += &row("  asked", [p50, p90, p99, loss, "".into(), mbit(asked.mbit_per_s)]);
    }
    table + "asked: the delay that the schedule gives to these packets; the mean loss and rate of the spec\n"
}
