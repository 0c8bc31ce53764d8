//! Measurements of a link with real packets: the probe before a run and the self-test.

pub(crate) mod finding;
pub(crate) mod probe;
pub(crate) mod scheduled;

#[cfg(target_os = "linux")]
mod flow;
#[cfg(target_os = "linux")]
mod selftest;
#[cfg(target_os = "linux")]
mod stream;

#[cfg(target_os = "linux")]
pub use selftest::SELF_TESTS;

/// The checks of the self-test: none, because this system has no link.
#[cfg(not(target_os = "linux"))]
pub const SELF_TESTS: &[finding::SelfTest] = &[];
