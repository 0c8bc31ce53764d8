//! The program of the baselines, `netduel-baselines`: finds or builds it, and checks which
//! baselines can run here.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use netduel_loadgen::Baseline;

use crate::data::results::LeftOut;

const PROGRAM: &str = "netduel-baselines";

/// Returns the path of the program, which lies beside this one.
fn path() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(own.with_file_name(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX)))
}

/// Returns the command that runs `subcommand` of the program.
pub(crate) fn program(subcommand: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    command.arg(subcommand);
    Ok(command)
}

/// Whether the relay of a baseline runs in a program that is not ours, so that it gets no
/// privileges.
pub(crate) fn is_foreign(baseline: Baseline) -> bool {
    baseline == Baseline::PodSixNet
}

/// Prepares the baselines, and removes those that cannot run, with the reason.
///
/// # Errors
/// The program of the baselines is missing and cannot be built, or does not run.
pub(crate) fn ready(baselines: &mut Vec<Baseline>) -> anyhow::Result<Vec<LeftOut>> {
    if baselines.is_empty() {
        return Ok(Vec::new());
    }
    prepare()?;
    leave_out(baselines)
}

/// Makes sure that the program of the baselines exists. If it is missing, cargo builds it where
/// this program was built.
///
/// # Errors
/// The program is missing and cannot be built; the error says what to do.
fn prepare() -> anyhow::Result<()> {
    let path = path()?;
    if path.exists() {
        return Ok(());
    }
    const HINT: &str =
        "build it with `cargo build --release -p netduel-baselines`, and put it beside netduel-reports";
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a package has a folder")?;
    // The parent is the folder of the profile, and its parent the target folder of cargo.
    let target = path.parent().and_then(Path::parent).filter(|target| target.join("CACHEDIR.TAG").exists());
    let target = target.filter(|_| checkout.join("baselines/Cargo.toml").exists());
    let target = target.with_context(|| format!("{} is missing: {HINT}", path.display()))?;
    eprintln!("building {PROGRAM}, the other relays to measure against");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "-p", PROGRAM, "--target-dir"]).arg(target).current_dir(checkout);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // The build scripts of many crates are none of root's business.
    netduel_link::without_privileges(&mut cargo);
    let status = cargo.status().with_context(|| format!("cannot run cargo: {HINT}"))?;
    ensure!(status.success() && path.exists(), "{PROGRAM} cannot be built: {HINT}");
    Ok(())
}

/// Removes the baselines that cannot run here, and returns them with the reason.
///
/// # Errors
/// The program of the baselines does not run.
fn leave_out(baselines: &mut Vec<Baseline>) -> anyhow::Result<Vec<LeftOut>> {
    let mut left_out = Vec::new();
    for &baseline in baselines.iter() {
        let mut check = program("check")?;
        check.arg(baseline.name());
        if is_foreign(baseline) {
            netduel_link::without_privileges(&mut check);
        }
        let output = check.output().with_context(|| format!("cannot run {PROGRAM}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let reason = message.trim().trim_start_matches("error: ").to_owned();
            left_out.push(LeftOut { baseline, reason });
        }
    }
    baselines.retain(|baseline| left_out.iter().all(|it| it.baseline != *baseline));
    Ok(left_out)
}
