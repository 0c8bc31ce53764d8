//! The progress of a load: JSON lines on standard output of the players' process. The process that
//! started it can then read the server's usage exactly while the window is open.

use std::{io::Write, time::Duration};

use anyhow::ensure;
use netduel_protocol::clock;
use serde::{Deserialize, Serialize};

use crate::result::LoadResult;

/// The progress that the players report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadEvent {
    /// All players are paired and connected, and the warm-up begins.
    Paired,
    /// The window is open.
    WindowOpen,
    /// A second of the window has passed.
    Tick,
    /// The window is closed.
    WindowClosed,
    /// The load is over; this is its result.
    Done(Box<LoadResult>),
}

pub(crate) fn tell(event: &LoadEvent) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(event)?)?;
    Ok(stdout.flush()?)
}

/// Reports when the window opens, ticks and closes. The clock decides, not the players.
pub(crate) async fn announce(
    open_us: u64,
    close_us: u64,
    tasks: &mut tokio::task::JoinSet<anyhow::Result<LoadResult>>,
    results: &mut Vec<LoadResult>,
) -> anyhow::Result<()> {
    const TICK_US: u64 = 1_000_000;
    let mut due_us = open_us;
    loop {
        let wait = Duration::from_micros(due_us.saturating_sub(clock::now_us()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Some(ended) = tasks.join_next() => {
                results.push(ended??);
                ensure!(clock::now_us() >= close_us, "a player ended before the window did");
                continue;
            }
        }
        match due_us {
            _ if due_us == close_us => return tell(&LoadEvent::WindowClosed),
            _ if due_us == open_us => tell(&LoadEvent::WindowOpen)?,
            _ => tell(&LoadEvent::Tick)?,
        }
        due_us = (due_us + TICK_US).min(close_us);
    }
}
