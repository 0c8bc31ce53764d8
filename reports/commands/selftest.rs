//! Checks of the measuring itself: is no difference called one (A/A), is an added delay recovered, is added CPU found?
//! Does what is counted on the wire, and of the CPU, agree with an account that is none of ours?
//! They run the same harness, and are judged by the same rules, as every comparison.

mod aa;
mod cpu;
mod delay;
mod shared;
mod tcpdump;
mod wire;

use clap::Subcommand;
use netduel_transport::TransportKind;

use self::{aa::aa, delay::delay};

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
        SelfTest::Cpu { repeat, transport } => cpu::cpu(repeat, transport),
        SelfTest::CpuAccount { seconds } => cpu::account(seconds),
        SelfTest::Wire => wire::wire(),
    }
}
