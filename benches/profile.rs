//! What a server's own code goes through for a relayed move, counted by callgrind: instructions, and cache lines that it
//! fetches anew. Other than time, that does not depend on who else is busy, and it says where time goes: every system call
//! leaves the processor's first cache to the kernel, so after each a server fetches its code and data again.

use std::{process::Command, time::Duration};

use anyhow::ensure;

use crate::{
    callgrind::{self, Counts},
    contender::Contender,
    load::{self, WARM_UP},
    player, runtime,
    server::Server,
};

/// A cache of 8 KiB stands for one that system calls empty: what a move touches once counts once.
const SMALL_CACHE: &str = "8192,8,64";
/// The one behind it is never emptied; as large as that of the machine at hand does not matter.
const LARGE_CACHE: &str = "2097152,16,64";

/// A tenth of what else is measured: under callgrind a server takes fifty times as long.
const PAIRS: usize = 5;
const RATE_HZ: f64 = 60.0;
const WINDOW: Duration = Duration::from_secs(3);

/// Of a relayed move.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Instructions, without the kernel's.
    pub instructions: f64,
    /// Cache lines of code that had to be fetched.
    pub code_lines: f64,
    /// The same of data, to be read or written.
    pub data_lines: f64,
}

/// Whether there is valgrind.
pub fn possible() -> bool {
    callgrind::installed()
}

/// Counts while five pairs play at 60 Hz.
///
/// # Errors
/// The server does not start, or valgrind is not what it was.
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
    // Callgrind counted before the window opened, too.
    let moves = spent.updates * (WARM_UP + WINDOW).as_secs_f64() / spent.seconds;
    let counts = Counts::read(&out.with_extension("1"))?;
    let of = |event: &str| anyhow::Ok(counts.of(event)? as f64 / moves);
    Ok(Profile { instructions: of("Ir")?, code_lines: of("I1mr")?, data_lines: of("D1mr")? + of("D1mw")? })
}

/// Tells the callgrind that a server runs under.
fn control(server: &Server, args: &[&str]) -> anyhow::Result<()> {
    let told = Command::new("callgrind_control").args(args).arg(server.process_id().to_string()).output()?;
    let said = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "callgrind_control failed: {said}");
    Ok(())
}
