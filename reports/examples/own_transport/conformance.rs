//! Runs the conformance suite over the example's transport: a test program of its own in
//! `reports/Cargo.toml`.

mod transport;

use std::process::ExitCode;

use netduel_testkit::conformance;
use netduel_transport::TransportKind;

fn main() -> ExitCode {
    conformance::run([TransportKind::register(&transport::OWN).expect("its name is free")])
}
