//! What can go wrong with a link, and what to do about it: [`LinkError`].

use std::io;

use thiserror::Error;

use crate::spec::link_spec::SpecError;

/// Why a link could not be made or used. Each message says what to do.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Not Linux: nothing there lets real packets cross an emulator without a kernel driver.
    #[error(
        "emulated links are not available on {system}: they need Linux. Run in a Linux container or virtual \
         machine that has NET_ADMIN and /dev/net/tun (docs/links.md), or compare on loopback only"
    )]
    Unavailable {
        /// The system's name.
        system: &'static str,
    },
    /// `Testbed::enter` came after a thread was started; a user namespace can then not be entered.
    #[error(
        "{threads} threads are running: call Testbed::enter at the start of main(), before any thread or runtime"
    )]
    ThreadsRunning {
        /// How many, this one included.
        threads: usize,
    },
    /// Neither a network namespace nor a user namespace with one can be made.
    #[error("cannot make a network namespace ({cause}). {advice}")]
    NoNamespace {
        /// What the system said.
        cause: io::Error,
        /// What to do on this system.
        advice: &'static str,
    },
    /// The TUN device cannot be opened.
    #[error("cannot open /dev/net/tun ({cause}). {advice}")]
    NoTun {
        /// What the system said.
        cause: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The spec makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The system refused a step that normally works.
    #[error("cannot {step}: {cause}")]
    System {
        /// What was being done.
        step: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// A command did not start.
    #[error(
        "cannot start {program:?} behind the link: {cause}. Give a program that is on the PATH, or its full path"
    )]
    Spawn {
        /// What was to be started.
        program: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The emulator's process is gone or does not answer.
    #[error(
        "the emulator does not answer ({cause}). If it never did, the program lacks netduel_link::init() as \
         the first line of main(); otherwise it was killed, and this run is lost"
    )]
    EmulatorGone {
        /// What the system said.
        cause: io::Error,
    },
    /// The emulator says that it failed.
    #[error("the emulator failed: {message}")]
    Emulator {
        /// In its words.
        message: String,
    },
}

impl LinkError {
    /// For `map_err`: the system refused `step`.
    #[cfg(target_os = "linux")]
    pub(crate) fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::System { step, cause: cause.into() }
    }
}
