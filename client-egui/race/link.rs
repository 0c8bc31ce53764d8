//! The monitor of a race's link: checks the link against the validity limits of `cargo compare`.

use std::collections::VecDeque;

use netduel_link::{Limits, LinkReport};

/// The number of samples in a check. They span as long as a run of a comparison, so the check finds
/// the same problems.
const WINDOW_SAMPLES: usize = 5;
/// The number of samples for which a problem stays reported: half a minute, as long as the plot
/// shows it.
const HELD_SAMPLES: usize = 30;

/// A link over the last seconds, at one sample a second.
#[derive(Debug, Default)]
pub(crate) struct LinkMonitor {
    /// The emulator's reports since its start, the newest last; [`WINDOW_SAMPLES`] at most.
    samples: VecDeque<LinkReport>,
    /// The newest problems.
    found: Vec<String>,
    /// The number of further samples for which the problems stay reported.
    held: usize,
}

impl LinkMonitor {
    /// Appends a report of the emulator. Returns every reason to reject the plotted ages, in words.
    pub(crate) fn sample(&mut self, report: LinkReport) -> Vec<String> {
        // The first sample marks the start of the race. Traffic before it does not count.
        let problems = self
            .samples
            .front()
            .map(|oldest| report.since(oldest).problems(&Limits::default()))
            .unwrap_or_default();
        if self.samples.len() == WINDOW_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(report);
        if !problems.is_empty() {
            self.found = problems.iter().map(ToString::to_string).collect();
            self.held = HELD_SAMPLES;
        } else if self.held > 0 {
            self.held -= 1;
            if self.held == 0 {
                self.found.clear();
            }
        }
        self.found.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the report of a link that delivered `punctual` packets in time, and `late` packets 5
    /// ms late.
    fn report(elapsed_s: u64, punctual: u64, late: u64) -> LinkReport {
        let counters = json!({ "offered": 0, "offered_bytes": 0, "delivered": 0, "delivered_bytes": 0,
            "lost": 0, "queue_dropped": 0, "duplicated": 0, "held": 0 });
        let path = json!({ "tcp": counters, "udp": counters, "other": counters, "device_dropped": 0,
            "overflowed": 0, "loss_periods": 0 });
        let spec: netduel_link::LinkSpec = "wifi".parse().expect("a profile");
        serde_json::from_value(json!({ "spec": spec, "seed": 1, "started_monotonic_ns": 0,
            "elapsed_ms": elapsed_s * 1_000, "up": path, "down": path,
            "lateness": [[100, punctual], [5_000, late]], "heartbeat": [[100, punctual]], "steal_share": 0.0,
            "emulator_cpu_ms": 0.0, "priority": "normal", "drops": [], "drops_unlisted": 0 }))
        .expect("a report")
    }

    #[test]
    fn reports_lateness_while_plotted() {
        let mut monitor = LinkMonitor::default();
        // All packets before the race were late.
        assert!(monitor.sample(report(1, 0, 500)).is_empty());
        assert!(monitor.sample(report(2, 1_000, 500)).is_empty());
        let problems = monitor.sample(report(3, 1_900, 600));
        assert!(problems.len() == 1 && problems[0].contains("late"), "{problems:?}");
        let last: Vec<bool> = (4..60).map(|s| monitor.sample(report(s, s * 1_000, 600)).is_empty()).collect();
        let warned = last.iter().filter(|fine| !**fine).count();
        assert!((HELD_SAMPLES..HELD_SAMPLES + WINDOW_SAMPLES).contains(&warned), "{warned} samples");
        assert_eq!((last.first(), last.last()), (Some(&false), Some(&true)), "{last:?}");
    }
}
