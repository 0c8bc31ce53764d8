//! The windows of a load, on the clock of all players.

use netduel_protocol::clock;

use crate::plan::WindowPlan;

/// The least warm-up in send periods: each player has been heard before the window opens.
const WARMUP_PERIODS_MIN: u64 = 2;

/// The windows to play, in order.
pub(crate) type Windows = tokio::sync::mpsc::Receiver<anyhow::Result<WindowPlan>>;

/// The times of a window, in µs by this host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The beginning of the warm-up: the players begin to move.
    pub(crate) begin_us: u64,
    pub(crate) open_us: u64,
    pub(crate) close_us: u64,
    /// The end of the drain.
    pub(crate) end_us: u64,
    pub(crate) keep_moves: bool,
}

impl Window {
    /// Returns the window of a plan that begins now, for moves that are sent every `period_us`.
    pub(crate) fn begin_now(plan: &WindowPlan, period_us: u64) -> Self {
        let begin_us = clock::now_us();
        let open_us = begin_us + (plan.warmup_ms * 1_000).max(WARMUP_PERIODS_MIN * period_us);
        let close_us = open_us + plan.duration_ms * 1_000;
        let end_us = close_us + plan.drain_ms * 1_000;
        Self { begin_us, open_us, close_us, end_us, keep_moves: plan.keep_moves }
    }

    /// Whether a move, or a beginning, that is meant for `at_us` counts.
    pub(crate) fn contains(&self, at_us: u64) -> bool {
        (self.open_us..self.close_us).contains(&at_us)
    }
}
