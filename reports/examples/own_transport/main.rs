//! Measures a transport from outside the workspace's crates beside the built-in ones. See
//! `docs/own-transport.md`.
//!
//! ```sh
//! cargo run --release -p netduel-reports --example own_transport -- \
//!     run --transport tcp,quic-datagram,own --link loopback --link wifi-busy
//! ```

mod transport;

use std::process::ExitCode;

use netduel_transport::TransportKind;

fn main() -> ExitCode {
    // The comparison starts this program again as server and as players, so each of them registers
    // the transport.
    TransportKind::register(&transport::OWN).expect("its name is free");
    netduel_reports::main()
}
