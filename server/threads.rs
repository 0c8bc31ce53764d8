//! Additional threads for one server, each with a runtime of its own that shares no task with the
//! others.
//!
//! This is no work-stealing pool: a relay mostly wakes up, and stealing adds wake-ups. The system
//! gives each connection to the socket of one thread, which serves it to its end. Matches do not
//! depend on the thread: the task that reads a move writes it to the opponent's socket itself, on
//! whichever thread that socket is served. No message passes between threads.

use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The most threads: more than a relay's machine has processors.
pub const THREADS_MAX: u16 = 256;

/// Threads that run the tasks spawned on them. Dropping this ends the threads.
pub struct Threads {
    runtimes: Vec<Handle>,
    _over: DropGuard,
}

impl Threads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system refuses another thread or another file descriptor.
    pub fn start(count: u16) -> io::Result<Self> {
        let over = CancellationToken::new();
        let start = |number: u16| -> io::Result<Handle> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, over) = (runtime.handle().clone(), over.clone());
            let thread = thread::Builder::new().name(format!("relay-{number}"));
            thread.spawn(move || runtime.block_on(over.cancelled_owned()))?;
            Ok(handle)
        };
        // The caller's own thread is number 1.
        let runtimes = (2..2 + count).map(start).collect::<io::Result<_>>();
        let _over = over.drop_guard();
        Ok(Self { runtimes: runtimes?, _over })
    }

    /// Returns the runtime of each thread.
    pub fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }
}
