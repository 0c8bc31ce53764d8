//! More threads for one server, each with a runtime of its own that shares no task with the others.
//!
//! Not a pool that steals work: a relay mostly wakes up, and stealing adds wake-ups. A connection belongs to the thread
//! whose socket the system gave it to. Who plays with whom does not depend on that, and needs no message between
//! threads: the task that reads a move writes it to the peer's socket itself, whichever thread that lives on.

use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads at most: more than a relay's machine has processors.
pub const THREADS_MAX: u16 = 256;

/// Threads that carry out what is spawned on them, until this is dropped.
pub struct Threads {
    runtimes: Vec<Handle>,
    _over: DropGuard,
}

impl Threads {
    /// Starts `count` of them.
    ///
    /// # Errors
    /// The system's: no more threads, no more descriptors.
    pub fn start(count: u16) -> io::Result<Self> {
        let over = CancellationToken::new();
        let start = |number: u16| -> io::Result<Handle> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, over) = (runtime.handle().clone(), over.clone());
            let thread = thread::Builder::new().name(format!("relay-{number}"));
            thread.spawn(move || runtime.block_on(over.cancelled_owned()))?;
            Ok(handle)
        };
        // The caller's own thread is the first.
        let runtimes = (2..2 + count).map(start).collect::<io::Result<_>>();
        let _over = over.drop_guard();
        Ok(Self { runtimes: runtimes?, _over })
    }

    /// Their runtimes.
    pub fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }
}
