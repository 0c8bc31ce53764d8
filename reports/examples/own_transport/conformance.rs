//! Runs the conformance suite over the transport of the example, as a separate test program in
//! `reports/Cargo.toml`.

mod transport;

use std::process::ExitCode;

use netduel_testkit::conformance;
use netduel_transport::TransportKind;

fn main() -> ExitCode {
    conformance::run([TransportKind::register(&transport::OWN).expect("its name is free")])
}
