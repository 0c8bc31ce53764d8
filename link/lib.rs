//! An emulated network path that real kernel TCP and UDP packets cross.
//!
//! A link consists of two network namespaces, a TUN interface in each, and an emulator process. The
//! emulator carries packets between the interfaces with delay, jitter, loss, reordering,
//! duplication, a rate and a queue. The spec, a seed and the time alone decide what happens to a
//! packet, so every transport meets the same bad periods.
//!
//! ```no_run
//! use netduel_link::{Limits, Privilege, Side, Testbed, profile};
//! use std::process::Command;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     netduel_link::init(); // first: this process may be the emulator
//!     let testbed = Testbed::enter(Privilege::Auto)?; // before any thread
//!     let mut link = testbed.link(&profile("lte")?.spec, 1)?;
//!     let mut server = link.spawn(Side::Server, Command::new("my-server"))?;
//!     let mut client = Command::new("my-client");
//!     client.arg(Side::Server.ip().to_string());
//!     link.spawn(Side::Client, client)?.wait()?;
//!     server.kill()?;
//!     link.finish()?.valid(&Limits::default())?;
//!     Ok(())
//! }
//! ```
//!
//! Read the folders in this order:
//! 1. `spec/`: the request, as plain data.
//! 2. `emulator/`: the treatment of a packet (`schedule.rs` and `impairment.rs` are pure), the
//!    process that applies it, and its report.
//! 3. `kernel/` and `testbed/`: namespaces, devices, and the handle of a link that is up.
//! 4. `measure/`: the probe and the self-test, which compare a link with its spec.

// Other systems have no emulator and leave the code behind it unused.
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]

pub mod cli;

mod emulator;
mod error;
#[cfg(target_os = "linux")]
mod kernel;
mod measure;
mod spec;
mod testbed;
mod types;
mod user;

#[cfg(target_os = "linux")]
pub use kernel::syscalls::tcp_retransmits;
pub use {
    emulator::{
        histogram::Histogram,
        report::{
            Counters, DROPS_MAX, DirectionReport, DroppedPacket, Invalid, Limits, LinkReport, Priority,
            Problem,
        },
        schedule::{BadPeriods, bad_periods},
    },
    error::LinkError,
    measure::{
        SELF_TESTS,
        finding::{Finding, SelfTest},
        probe::{Asked, DirectionProbe, Mismatch, ProbePlan, ProbeReport},
        scheduled::{Pace, scheduled_delay},
    },
    spec::{
        link_spec::{DirectionSpec, Jitter, LinkSpec, QueueDiscipline, Rate, Reorder},
        loss::{Loss, Outage},
        parse::ParseError,
        path_trace::{PathTrace, PathTraceError},
        profiles::{PROFILES, Profile, ProfileError, profile},
        spec_error::SpecError,
        trace::{Trace, TraceError},
    },
    testbed::{Link, Testbed},
    types::{Direction, DropCause, INTERFACE, INTERFACE_SECOND, Player, Privilege, Protocol, Side},
    user::{UnknownUser, User},
};

/// Makes a program of somebody else's run without privileges: as the user behind sudo if this
/// process is root, and without capabilities. Call it before `spawn`, outside of a link; see
/// [`Link::spawn_unprivileged`] for the ends of one.
pub fn without_privileges(command: &mut std::process::Command) {
    #[cfg(target_os = "linux")]
    {
        let user = User::behind_sudo().filter(|_| rustix::process::geteuid().is_root());
        kernel::unprivileged::drop_all(command, user.as_ref());
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Makes a capture of packets run with the right to that and no other, if this process is root;
/// see [`Link::spawn_capture`] for the ends of a link. Another user's capture runs as it is: it may
/// have the right from its file.
pub fn capture_privileges(command: &mut std::process::Command) {
    #[cfg(target_os = "linux")]
    if rustix::process::geteuid().is_root() {
        let user = User::behind_sudo().unwrap_or_else(User::nobody);
        kernel::unprivileged::leave_capture(command, Some(&user));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Runs the emulator if this process was started as one, and otherwise returns at once.
///
/// Call it first in `main()`, before any thread and before reading arguments. A link's emulator is
/// this same program, started again; in it `init` never returns.
pub fn init() {
    #[cfg(target_os = "linux")]
    emulator::process::run_if_asked();
}
