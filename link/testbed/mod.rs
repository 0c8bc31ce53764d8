//! The testbed: [`Testbed`] makes links, [`Link`] is the handle of one.

#[cfg(target_os = "linux")]
mod entry;
#[cfg(target_os = "linux")]
mod handle;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub use {entry::Testbed, handle::Link};

#[cfg(not(target_os = "linux"))]
pub use unsupported::{Link, Testbed};
