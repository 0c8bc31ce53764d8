//! The signals of the server's process, and the end of its standard input.

use std::{io, thread};

use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the server obeys, from their installation on.
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    hang_up: Signal,
}

/// A signal that arrived.
enum Arrived {
    /// SIGTERM or Ctrl-C.
    End,
    /// SIGHUP.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has it"))]
    HangUp,
}

impl Signals {
    /// Installs the handlers. A signal that arrives before [`Self::obey`] is not lost.
    ///
    /// # Errors
    /// The system refuses a handler.
    #[cfg(unix)]
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Does nothing before [`Self::obey`].
    #[cfg(not(unix))]
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Drains at the first signal to end, and fails at the second. Runs `reload` at each SIGHUP.
    ///
    /// # Errors
    /// A second signal arrived.
    pub(super) async fn obey(
        mut self,
        shutdown: &CancellationToken,
        reload: impl AsyncFn(),
    ) -> anyhow::Result<()> {
        let mut draining = false;
        loop {
            match self.next().await? {
                Arrived::HangUp => reload().await,
                Arrived::End if draining => {
                    anyhow::bail!("a second signal ended the server while matches were in progress")
                }
                Arrived::End => {
                    tracing::info!("draining: matches may finish; a second signal ends the server at once");
                    draining = true;
                    shutdown.cancel();
                }
            }
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) -> io::Result<Arrived> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(Arrived::End),
            _ = self.interrupt.recv() => Ok(Arrived::End),
            _ = self.hang_up.recv() => Ok(Arrived::HangUp),
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> io::Result<Arrived> {
        tokio::signal::ctrl_c().await.map(|()| Arrived::End)
    }
}

/// Cancels `shutdown` when standard input has ended.
///
/// A thread of its own reads it. The runtime would wait at its end for a read of its own, which
/// ends only when the other side closes the pipe.
///
/// # Errors
/// The system refuses another thread.
pub(super) fn drain_at_end_of_input(shutdown: CancellationToken) -> io::Result<()> {
    let read = move || {
        // An error counts as the end of standard input, too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        shutdown.cancel();
    };
    thread::Builder::new().name("input".into()).spawn(read).map(drop)
}
