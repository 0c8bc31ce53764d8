//! The errors of making and using a link: [`LinkError`].

use std::io;

use thiserror::Error;

use crate::spec::spec_error::SpecError;

/// An error of making or using a link. Each message says what to do.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The system is not Linux. Without a kernel driver, no other system lets packets cross an
    /// emulator.
    #[error(
        "emulated links are not available on {system}: they need Linux. Run in a Linux container or virtual \
         machine that has NET_ADMIN and /dev/net/tun (docs/links.md), or compare on loopback only"
    )]
    Unavailable {
        /// Name of the operating system.
        system: &'static str,
    },
    /// `Testbed::enter` came after a thread was started. A user namespace admits only a single
    /// thread.
    #[error(
        "{threads} threads are running: call Testbed::enter at the start of main(), before any thread or runtime"
    )]
    ThreadsRunning {
        /// Number of running threads, this one included.
        threads: usize,
    },
    /// The system allows neither a network namespace nor a user namespace with one.
    #[error("cannot make a network namespace ({cause}). {advice}")]
    NoNamespace {
        /// The system's error.
        cause: io::Error,
        /// Advice for this system.
        advice: &'static str,
    },
    /// Another user was asked for, and this process may not change to one.
    #[error("only root may run the programs as another user: run with sudo, or leave out --user")]
    NotRoot,
    /// The TUN device cannot be opened.
    #[error("cannot open /dev/net/tun ({cause}). {advice}")]
    NoTun {
        /// The system's error.
        cause: io::Error,
        /// Advice for this error.
        advice: &'static str,
    },
    /// The spec is invalid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The system refused a step that normally succeeds.
    #[error("cannot {step}: {cause}")]
    System {
        /// The step, as a verb phrase.
        step: &'static str,
        /// The system's error.
        cause: io::Error,
    },
    /// A program did not start at its end of the link.
    #[error(
        "cannot start {program:?} behind the link: {cause}. Give a program that is on the PATH and \
         that its user may read, or its full path"
    )]
    Spawn {
        /// Name of the program.
        program: String,
        /// The system's error.
        cause: io::Error,
    },
    /// The emulator process ended or does not answer.
    #[error(
        "the emulator does not answer ({cause}). If it never did, the program lacks netduel_link::init() as \
         the first line of main(); otherwise it was killed, and this run is lost"
    )]
    EmulatorGone {
        /// The system's error.
        cause: io::Error,
    },
    /// The emulator reported an error.
    #[error("the emulator failed: {message}")]
    Emulator {
        /// The emulator's message.
        message: String,
    },
}

impl LinkError {
    /// Returns a function for `map_err` that makes an error of the refused `step`.
    #[cfg(target_os = "linux")]
    pub(crate) fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::System { step, cause: cause.into() }
    }
}
