//! The progress of a load: JSON lines on standard output of the players' process. The process that
//! started it can then read the server's usage exactly while the window is open.

use std::io::Write;

use anyhow::bail;
use netduel_client::ticker::Ticker;
use serde::{Deserialize, Serialize};

use crate::{moves::Moves, result::LoadResult, window::Window};

/// The progress that the players report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadEvent {
    /// All players are paired and connected, and wait for a window.
    Paired,
    /// The window is open.
    WindowOpen {
        /// The planned time of the opening, in µs by this host's clock.
        open_us: u64,
    },
    /// A second of the window has passed.
    Tick,
    /// The window is closed, and its last moves may still arrive.
    WindowClosed,
    /// The window is over.
    Window {
        /// The measurements of all players.
        result: Box<LoadResult>,
        /// A row for each move, if the plan of the window asked for it.
        moves: Option<Moves>,
    },
}

pub(crate) fn tell(event: &LoadEvent) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(event)?)?;
    Ok(stdout.flush()?)
}

/// Reports when the window opens, ticks and closes. The clock decides, not the players.
///
/// # Errors
/// One of the `tasks` ended before the window did.
pub(crate) async fn announce(
    window: &Window,
    tasks: &mut tokio::task::JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    const TICK_US: u64 = 1_000_000;
    let mut ticks = Ticker::new(window.open_us, TICK_US)?;
    let mut close = Ticker::new(window.close_us, 1)?;
    loop {
        tokio::select! {
            biased;
            _ = close.next() => return tell(&LoadEvent::WindowClosed),
            due_us = ticks.next() => {
                let opens = due_us == window.open_us;
                let open_us = window.open_us;
                tell(&if opens { LoadEvent::WindowOpen { open_us } } else { LoadEvent::Tick })?;
            }
            Some(ended) = tasks.join_next() => {
                ended??;
                bail!("a player ended before the window did");
            }
        }
    }
}
