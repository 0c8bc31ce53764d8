//! Runs the conformance suite over every built-in kind, the in-process one, and TCP with tuned
//! timers.

use std::process::ExitCode;

use netduel_testkit::conformance::{run_trials, trials, trials_with};
use netduel_transport::{Options, Socket, TransportKind};

fn main() -> ExitCode {
    let kinds = TransportKind::ALL.into_iter().chain([TransportKind::Memory]);
    let tuned = Options { tcp_tuned: true, ..Options::default() };
    let over_tcp = TransportKind::ALL.into_iter().filter(|kind| kind.socket() == Socket::Tcp);
    let of_tuned = over_tcp.flat_map(|kind| trials_with(kind, &format!("{kind}-tuned"), &tuned));
    run_trials(kinds.flat_map(trials).chain(of_tuned).collect())
}
