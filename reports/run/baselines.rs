//! The program of the baselines, `netduel-baselines`: where it is, and which of them can run here.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use netduel_loadgen::Baseline;

use crate::data::results::LeftOut;

const PROGRAM: &str = "netduel-baselines";

/// Beside this program.
fn path() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(own.with_file_name(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX)))
}

/// The baselines' program, as `subcommand`.
pub(crate) fn program(subcommand: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    command.arg(subcommand);
    Ok(command)
}

/// Makes sure that these can run, and takes out those that cannot, with the reason.
///
/// # Errors
/// Their program cannot be had.
pub(crate) fn ready(baselines: &mut Vec<Baseline>) -> anyhow::Result<Vec<LeftOut>> {
    if baselines.is_empty() {
        return Ok(Vec::new());
    }
    prepare()?;
    leave_out(baselines)
}

/// Makes sure that the baselines' program is there: cargo builds it where this one was built.
///
/// # Errors
/// It is not there and cannot be built, and what to do about it.
fn prepare() -> anyhow::Result<()> {
    let path = path()?;
    if path.exists() {
        return Ok(());
    }
    const TO_DO: &str =
        "build it with `cargo build --release -p netduel-baselines`, and put it beside netduel-report";
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a package has a folder")?;
    // Cargo's folders: the target's, and in it the profile's.
    let target = path.parent().and_then(Path::parent).filter(|target| target.join("CACHEDIR.TAG").exists());
    let target = target.filter(|_| checkout.join("baselines/Cargo.toml").exists());
    let target = target.with_context(|| format!("{} is not there: {TO_DO}", path.display()))?;
    eprintln!("building {PROGRAM}, the relays to measure against");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "-p", PROGRAM, "--target-dir"]).arg(target).current_dir(checkout);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.status().with_context(|| format!("cannot run cargo: {TO_DO}"))?;
    ensure!(status.success() && path.exists(), "{PROGRAM} cannot be built: {TO_DO}");
    Ok(())
}

/// Takes out those that cannot run here, and says why.
///
/// # Errors
/// The baselines' program does not answer.
fn leave_out(baselines: &mut Vec<Baseline>) -> anyhow::Result<Vec<LeftOut>> {
    let mut left_out = Vec::new();
    for &baseline in baselines.iter() {
        let output = program("check")?
            .arg(baseline.name())
            .output()
            .with_context(|| format!("cannot run {PROGRAM}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let reason = said.trim().trim_start_matches("error: ").to_owned();
            left_out.push(LeftOut { baseline, reason });
        }
    }
    baselines.retain(|baseline| left_out.iter().all(|it| it.baseline != *baseline));
    Ok(left_out)
}
