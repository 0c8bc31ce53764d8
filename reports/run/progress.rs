//! The progress bar of a comparison: seconds of the planned time, and the time left.

use std::{
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// The messages to the thread that moves the bar: its end alone, and no message.
const STOPS_MAX: usize = 0;
/// The time between two redraws.
const REDRAW: Duration = Duration::from_millis(250);

/// A bar over the planned time of all steps. A step moves the bar while it runs, up to its planned
/// time.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// The planned time of the ended steps.
    ended: Duration,
}

impl Progress {
    /// Shows an empty bar for the planned time of all steps.
    pub(crate) fn new(planned: Duration) -> Self {
        let bar = ProgressBar::new(millis(planned));
        // The template is a constant, and parses.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Self { bar, ended: Duration::ZERO }
    }

    /// Replaces the planned time of the steps to come, which a search or a repeated run changes.
    pub(crate) fn plan(&mut self, left: Duration) {
        self.bar.set_length(millis(self.ended + left));
    }

    /// Runs a step of this planned time, and moves the bar meanwhile.
    pub(crate) fn during<T>(&mut self, what: &str, planned: Duration, step: impl FnOnce() -> T) -> T {
        let mover = Mover::start(self.bar.clone(), what.to_owned(), self.ended, planned);
        let value = step();
        drop(mover);
        self.ended += planned;
        self.bar.set_position(millis(self.ended));
        value
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A thread that moves the bar until the value is dropped.
struct Mover {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    fn start(bar: ProgressBar, what: String, ended: Duration, planned: Duration) -> Self {
        let (stop, stopped) = sync_channel(STOPS_MAX);
        let begun = Instant::now();
        let draw = move || {
            loop {
                let position = ended + begun.elapsed().min(planned);
                let left = Duration::from_millis(bar.length().unwrap_or_default()).saturating_sub(position);
                bar.set_position(millis(position));
                bar.set_message(format!("{} left: {what}", minutes(left)));
                if stopped.recv_timeout(REDRAW) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        Self { stop: Some(stop), thread: Some(std::thread::spawn(draw)) }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread draws a bar and nothing else, so that its end does not matter.
            let _ = thread.join();
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// Writes a time as minutes and seconds: "1:05".
fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
