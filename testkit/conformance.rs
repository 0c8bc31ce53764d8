//! The conformance suite of transports: each case runs over each kind, on real sockets.
//!
//! A crate that implements [`Transport`](netduel_transport::Transport) runs the suite over its kind
//! from a test program without a harness (`harness = false`):
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use netduel_testkit::conformance;
//! use netduel_transport::TransportKind;
//!
//! fn main() -> ExitCode {
//!     conformance::run(TransportKind::ALL)
//! }
//! ```
//!
//! The cases of `lanes`, `closing` and `resources` apply to every kind. Those of `hostile_input`
//! depend on the [`Socket`](netduel_transport::Socket) below the kind, and those of `trust` on its
//! encryption. The cases run one after another, since some of them count what the whole process
//! holds.

mod closing;
mod fixture;
mod hostile_input;
mod lanes;
mod resources;
mod trust;

use std::{future::Future, pin::Pin, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use netduel_transport::{Options, TransportKind};
use tokio::time::timeout;

use fixture::{PATIENCE, set_base_options};

type Case = fn(TransportKind) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($module:ident::$name:ident;)*) => {
        /// Every case by its name.
        const CASES: &[(&str, Case)] = &[$((stringify!($name), |kind| Box::pin($module::$name(kind)))),*];
    };
}

cases! {
    lanes::lanes_carry_both_ways;
    lanes::flush_sends_queued_state;
    lanes::flush_keeps_control_order;
    lanes::control_keeps_order;
    lanes::stalled_reader_gets_newest_state;
    lanes::message_limits_hold;
    lanes::first_message_arrives;
    closing::close_carries_its_reason;
    closing::drop_sends_a_close;
    closing::full_control_lane_closes;
    closing::keep_alives_hold_the_connection;
    closing::idle_timeout_ends_the_connection;
    closing::connect_reports_unreachable;
    hostile_input::rejects_other_kinds;
    hostile_input::unfinished_input_ends_the_connection;
    hostile_input::ignores_forged_datagrams;
    hostile_input::control_survives_a_lossy_path;
    trust::accepts_only_trusted_certificates;
    trust::new_handshakes_get_the_new_certificate;
    trust::resumes_only_on_request;
    trust::sessions_end_with_their_trust;
    resources::connections_leak_nothing;
    resources::shares_addresses_only_on_request;
    resources::path_stats_report_what_is_in_effect;
}

/// Runs every case over each of `kinds` and returns the exit code. The arguments of the program are
/// those of any test.
pub fn run(kinds: impl IntoIterator<Item = TransportKind>) -> ExitCode {
    run_trials(kinds.into_iter().flat_map(trials).collect())
}

/// Runs these trials and returns the exit code. The arguments of the program are those of any test.
pub fn run_trials(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns every case over `kind`.
pub fn trials(kind: TransportKind) -> Vec<Trial> {
    trials_with(kind, kind.name(), &Options::default())
}

/// Returns every case over `kind` with other options than the defaults. `name` tells them apart.
pub fn trials_with(kind: TransportKind, name: &str, options: &Options) -> Vec<Trial> {
    CASES
        .iter()
        .map(|(case_name, case)| trial(kind, &format!("{name}::{case_name}"), options, *case))
        .collect()
}

fn trial(kind: TransportKind, name: &str, options: &Options, case: Case) -> Trial {
    let options = options.clone();
    Trial::test(name, move || {
        set_base_options(options);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime
            .block_on(async { timeout(PATIENCE * 3, case(kind)).await })
            .map_err(|_| Failed::from("the case hangs"))
    })
}
