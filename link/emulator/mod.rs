//! The treatment of a packet: schedule, impairment, the process that applies both, and its report.

pub(crate) mod bottleneck;
pub(crate) mod codel;
pub(crate) mod histogram;
pub(crate) mod impairment;
pub(crate) mod jitter;
pub(crate) mod report;
pub(crate) mod schedule;

#[cfg(target_os = "linux")]
pub(crate) mod ipc;
#[cfg(target_os = "linux")]
pub(crate) mod process;
