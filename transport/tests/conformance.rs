//! Runs the conformance suite over every built-in kind and the in-process one.

use std::process::ExitCode;

use netduel_testkit::conformance;
use netduel_transport::TransportKind;

fn main() -> ExitCode {
    conformance::run(TransportKind::ALL.into_iter().chain([TransportKind::Memory]))
}
