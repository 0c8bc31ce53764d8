//! Whether the link of a race was what it was asked to be: judged as `cargo compare` judges a run, and said beside the ages.

use std::collections::VecDeque;

use eframe::egui::{Label, RichText, Ui};
use netduel_link::{Limits, LinkReport};

use crate::theme::palette;

/// Looks that a judgement is of: as long as a run of a comparison, so that what would end one is found here.
const WINDOW_LOOKS: usize = 5;
/// A judgement stands for so many looks: as long as what it is of can be seen on the plot, half a minute.
const HELD_LOOKS: usize = 30;

/// A link over the last seconds, at one look a second.
#[derive(Debug, Default)]
pub(crate) struct LinkWatch {
    /// What the emulator had done since its start, the newest last; [`WINDOW_LOOKS`] at most.
    looks: VecDeque<LinkReport>,
    /// The newest problems, and how many more looks they stand.
    found: Vec<String>,
    held: usize,
}

impl LinkWatch {
    /// Takes in what the emulator did so far. Returns every reason not to believe what is on the plot, in words.
    pub(crate) fn look(&mut self, report: LinkReport) -> Vec<String> {
        // The first look is where the race began: what came before it belongs to nobody.
        let problems = self
            .looks
            .front()
            .map(|oldest| report.since(oldest).problems(&Limits::default()))
            .unwrap_or_default();
        if self.looks.len() == WINDOW_LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(report);
        if !problems.is_empty() {
            self.found = problems.iter().map(ToString::to_string).collect();
            self.held = HELD_LOOKS;
        } else if self.held > 0 {
            self.held -= 1;
            if self.held == 0 {
                self.found.clear();
            }
        }
        self.found.clone()
    }
}

/// Says that the ages are not to be believed, and why. Nothing where they are.
pub(crate) fn warning(ui: &mut Ui, problems: &[String]) {
    if problems.is_empty() {
        return;
    }
    let text = format!(
        "Do not believe these ages: within the last half minute, {}. A comparison throws such a run away. It takes less load on \
         this machine: fewer transports, a lower rate.",
        problems.join("; ")
    );
    ui.add(Label::new(RichText::new(text).strong().color(palette(ui.visuals()).poor)).wrap());
}

#[cfg(test)]
mod tests {
    use egui_kittest::{Harness, kittest::Queryable};
    use serde_json::json;

    use super::*;

    /// A link that had delivered `punctual` packets in time, and `late` ones 5 ms too late.
    fn report(elapsed_s: u64, punctual: u64, late: u64) -> LinkReport {
        let counters = json!({ "offered": 0, "offered_bytes": 0, "delivered": 0, "delivered_bytes": 0, "lost": 0,
            "queue_dropped": 0, "duplicated": 0, "held": 0 });
        let path = json!({ "tcp": counters, "udp": counters, "other": counters, "device_dropped": 0, "overflowed": 0 });
        let spec: netduel_link::LinkSpec = "wifi".parse().expect("a profile");
        serde_json::from_value(json!({ "spec": spec, "seed": 1, "started_monotonic_ns": 0,
            "elapsed_ms": elapsed_s * 1_000, "up": path, "down": path,
            "lateness": [[100, punctual], [5_000, late]], "heartbeat": [[100, punctual]], "steal_share": 0.0,
            "emulator_cpu_ms": 0.0, "priority": "normal", "drops": [], "drops_unlisted": 0 }))
        .expect("a report")
    }

    #[test]
    fn lateness_counts_while_it_is_on_the_plot_and_no_longer() {
        let mut watch = LinkWatch::default();
        // Before the race began everything was late.
        assert!(watch.look(report(1, 0, 500)).is_empty());
        assert!(watch.look(report(2, 1_000, 500)).is_empty());
        let problems = watch.look(report(3, 1_900, 600));
        assert!(problems.len() == 1 && problems[0].contains("late"), "{problems:?}");
        let last: Vec<bool> = (4..60).map(|s| watch.look(report(s, s * 1_000, 600)).is_empty()).collect();
        let warned = last.iter().filter(|fine| !**fine).count();
        assert!((HELD_LOOKS..HELD_LOOKS + WINDOW_LOOKS).contains(&warned), "{warned} looks");
        assert_eq!((last.first(), last.last()), (Some(&false), Some(&true)), "{last:?}");
    }

    #[test]
    fn the_warning_is_words_that_a_screen_reader_finds() {
        let app = Harness::new_ui(|ui| warning(ui, &["packets were up to 5.00 ms late at p99".into()]));
        assert!(app.query_by_label_contains("Do not believe these ages").is_some());
        assert!(app.query_by_label_contains("5.00 ms late").is_some());
        let app = Harness::new_ui(|ui| warning(ui, &[]));
        assert!(app.query_by_label_contains("believe").is_none());
    }
}
