//! Profiles a server for a relayed move by callgrind: instructions, and cache lines that it fetches
//! anew.
//!
//! Unlike time, these counts do not depend on other programs, and they show where time goes. Every
//! system call leaves the processor's first cache to the kernel, so that the server fetches its
//! code and data again after each.

use std::{process::Command, time::Duration};

use anyhow::ensure;

use crate::{
    callgrind::{self, Counts},
    contender::Contender,
    load::{self, WARM_UP},
    player, runtime,
    server::Server,
};

/// The simulated first cache. Its 8 KiB stand for a cache that system calls empty: what a move
/// touches once counts once.
const SMALL_CACHE: &str = "8192,8,64";
/// The simulated last cache. It is never emptied, so that its exact size does not matter.
const LARGE_CACHE: &str = "2097152,16,64";

/// A tenth of the other measurements: under callgrind a server takes fifty times as long.
const PAIRS: usize = 5;
const RATE_HZ: f64 = 60.0;
const WINDOW: Duration = Duration::from_secs(3);

/// The counts for a relayed move.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Instructions in user space.
    pub instructions: f64,
    /// Cache lines of code that had to be fetched.
    pub code_lines: f64,
    /// Cache lines of data that had to be fetched, for reading or writing.
    pub data_lines: f64,
}

/// Whether valgrind is installed.
pub fn possible() -> bool {
    callgrind::installed()
}

/// Counts while five pairs play at 60 Hz.
///
/// # Errors
/// The server does not start, or valgrind fails.
pub fn profile(contender: Contender) -> anyhow::Result<Profile> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--log-file=/dev/null", "--instr-atstart=no", "--cache-sim=yes"])
        .args([format!("--I1={SMALL_CACHE}"), format!("--D1={SMALL_CACHE}"), format!("--LL={LARGE_CACHE}")])
        .arg(format!("--callgrind-out-file={}", out.display()));
    let server = Server::start_under(valgrind, contender)?;
    let spent = runtime().block_on(async {
        let pairs = player::pairs(&server, PAIRS).await?;
        control(&server, &["-i", "on"])?;
        let (spent, _) = load::paced(&server, pairs, RATE_HZ, WINDOW).await?;
        control(&server, &["-d"])?;
        anyhow::Ok(spent)
    })?;
    // callgrind counted before the window opened, too.
    let moves = spent.updates * (WARM_UP + WINDOW).as_secs_f64() / spent.seconds;
    let counts = Counts::read(&out.with_extension("1"))?;
    let of = |event: &str| anyhow::Ok(counts.of(event)? as f64 / moves);
    Ok(Profile { instructions: of("Ir")?, code_lines: of("I1mr")?, data_lines: of("D1mr")? + of("D1mw")? })
}

/// Sends a command to the callgrind that a server runs under.
fn control(server: &Server, args: &[&str]) -> anyhow::Result<()> {
    let told = Command::new("callgrind_control").args(args).arg(server.process_id().to_string()).output()?;
    let said = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "callgrind_control failed: {said}");
    Ok(())
}
