//! Self-tests of the measurement. Some check that no difference is found in A/A comparisons, that
//! an added delay and added CPU time are found, and that runs beside others are like runs alone.
//! Others compare the counts on the wire and of the CPU with an independent account.
//!
//! The self-tests use the same harness and the same rules as every comparison.

mod aa;
mod beside;
mod cpu;
mod delay;
mod packet_count;
mod shared;
mod wire;

use clap::Subcommand;
use netduel_transport::TransportKind;

use self::{aa::aa, beside::beside, delay::delay};

/// The self-tests.
#[derive(Subcommand, Clone, Debug)]
pub enum SelfTest {
    /// Compare transports with themselves in the default form; fails if more than one comparison of
    /// twenty finds a difference
    Aa {
        /// Number of comparisons
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        comparisons: u32,
        /// Transports to test; the first unencrypted one has the control
        #[arg(long, value_delimiter = ',', value_name = "KIND,…", default_value = "tcp,quic-datagram")]
        transport: Vec<TransportKind>,
    },
    /// Compare two links, one with 2 ms more delay; fails unless 2 ms are found
    Delay {
        /// Number of comparisons of each transport
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        comparisons: u32,
    },
    /// Burn 10 % more CPU in the process of the server; fails unless the increase is found
    Cpu {
        /// Number of comparisons
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        comparisons: u32,
        /// Number of rounds of a comparison; with the 20 of the default form, only larger
        /// differences are found
        #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(2..=500))]
        rounds: u32,
        /// Number of matches in each round
        #[arg(long, default_value_t = 42, value_parser = clap::value_parser!(u32).range(1..=200))]
        matches: u32,
        /// Transport to test
        #[arg(long, default_value_t = TransportKind::ALL[0])]
        transport: TransportKind,
    },
    /// Run transports on a link beside others and alone, with the same seeds; fails if they differ
    Beside {
        /// Number of seeds
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
        repeat: u32,
    },
    /// Compare the measured CPU time of a server with the account of the kernel at its exit, over
    /// each transport; fails unless they agree within 1 %
    CpuAccount {
        /// Duration of the load over each transport, in seconds
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
    },
    /// Compare the bytes and packets counted by the link with a tcpdump capture, over each
    /// transport; fails unless they agree within 1 %
    Wire,
}

/// Runs a self-test and prints its findings.
///
/// # Errors
/// A run that failed, an added difference that was not found, or a difference found where there is
/// none.
pub fn self_test(test: &SelfTest) -> anyhow::Result<()> {
    match test.clone() {
        SelfTest::Aa { comparisons, transport } => aa(comparisons, transport),
        SelfTest::Delay { comparisons } => delay(comparisons),
        SelfTest::Cpu { comparisons, rounds, matches, transport } => {
            cpu::cpu(comparisons, rounds, matches, transport)
        }
        SelfTest::Beside { repeat } => beside(repeat),
        SelfTest::CpuAccount { seconds } => cpu::account(seconds),
        SelfTest::Wire => wire::wire(),
    }
}
