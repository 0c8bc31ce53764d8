//! Texts for every phase: the current activity, and the player's options.

use std::time::Instant;

use netduel_protocol::LeaveReason;

use crate::net::messages::{Phase, Snapshot};

/// The age of the last move, in µs, from which on the opponent counts as silent. It exceeds any
/// retransmission on a playable link.
const SILENT_US: u64 = 1_500_000;

/// The text of a phase.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhaseText {
    /// The current activity.
    pub(crate) title: String,
    /// The player's options.
    pub(crate) advice: String,
    /// The label of [`crate::net::backend::Backend::again`]; `None` in a phase without that
    /// command.
    pub(crate) again: Option<&'static str>,
}

/// Describes the phase at `now`.
pub(crate) fn describe(snapshot: &Snapshot, now: Instant) -> PhaseText {
    match &snapshot.phase {
        Phase::Idle => text("Not playing", "Choose a way to begin.", None),
        Phase::StartingServer => text("Starting", "The local server starts.", None),
        Phase::Connecting { attempt: 1 } => {
            text("Connecting", "Connecting to the server. Escape cancels.", None)
        }
        Phase::Connecting { attempt } => text(
            &format!("Reconnecting, attempt {attempt}"),
            "Connecting to the server. Escape cancels.",
            None,
        ),
        Phase::Waiting { since } => PhaseText {
            title: "Waiting for an opponent".into(),
            advice: waiting_advice(snapshot, now.saturating_duration_since(*since).as_secs()),
            again: None,
        },
        Phase::Playing => playing(snapshot),
        Phase::Reconnecting { why, until } => {
            let advice = format!(
                "{} Your seat in the match is kept for {} s. Escape cancels.",
                sentence(why),
                seconds_until(*until, now)
            );
            text("Reconnecting to the match", &advice, None)
        }
        Phase::OpponentReconnecting { until } => {
            let advice = format!(
                "The opponent's connection is lost. The opponent has {} s to reconnect. You can keep moving.",
                seconds_until(*until, now)
            );
            text("The opponent is reconnecting", &advice, Some("New match"))
        }
        Phase::OpponentLeft { reason } => {
            let cause = leave_cause(*reason);
            let advice =
                format!("{cause} You are still connected. R queues for the next match, Escape leaves.");
            text("The opponent left", &advice, Some("Next match"))
        }
        Phase::Lost { why, attempt, retry_at } => {
            let advice = format!(
                "{} Attempt {attempt} starts in {} s, then you queue again. R retries now, Escape cancels.",
                sentence(why),
                seconds_until(*retry_at, now)
            );
            text("The connection is lost", &advice, Some("Retry now"))
        }
        Phase::Unreachable { why } => {
            let advice = format!("{} R retries, Escape returns to the start screen.", sentence(why));
            text("The server cannot be reached", &advice, Some("Retry"))
        }
        Phase::Refused { why } => {
            let advice = format!("{} Escape returns to the settings, R retries.", sentence(why));
            text("The match cannot start", &advice, Some("Retry"))
        }
    }
}

/// Describes a running match.
fn playing(snapshot: &Snapshot) -> PhaseText {
    match (snapshot.draining_s, snapshot.figures.age.current_us) {
        (Some(seconds), _) => text(
            "Playing: the server shuts down soon",
            &format!("The server stops within {seconds} s. Join another server for a new match."),
            None,
        ),
        (None, Some(age_us)) if age_us > SILENT_US => text(
            "Playing: the opponent is silent",
            &format!(
                "The opponent's last move is {} s old. The server reports a lost opponent.",
                age_us / 1_000_000
            ),
            Some("New match"),
        ),
        (None, _) => text("Playing", "Arrows or WASD steer.", Some("New match")),
    }
}

fn text(title: &str, advice: &str, again: Option<&'static str>) -> PhaseText {
    PhaseText { title: title.into(), advice: advice.into(), again }
}

/// Returns the cause of the opponent's leaving as a sentence.
fn leave_cause(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Left => "The opponent ended the match.",
        LeaveReason::Disconnected => "The opponent's connection broke.",
        LeaveReason::TimedOut => "The opponent was silent for too long.",
        LeaveReason::Expelled => "The server expelled the opponent for breaking the rules.",
    }
}

fn waiting_advice(snapshot: &Snapshot, seconds: u64) -> String {
    let advice = if snapshot.invitation.is_some() {
        "Give another player the address and the fingerprint above."
    } else {
        "The server matches you with the next player who gives the same match code, or no code if you gave \
         none."
    };
    format!("{advice} You have waited for {seconds} s. Escape leaves the queue.")
}

/// Returns the time from `now` to `then` in whole seconds, rounded up.
fn seconds_until(then: Instant, now: Instant) -> u64 {
    then.saturating_duration_since(now).as_millis().div_ceil(1_000) as u64
}

/// Capitalizes the text, and ends it with a full stop unless it ends with a mark already.
fn sentence(text: &str) -> String {
    let mark = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).chain(mark.chars()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_title_and_advice() {
        let now = Instant::now();
        let phases = [
            Phase::Idle,
            Phase::StartingServer,
            Phase::Connecting { attempt: 1 },
            Phase::Connecting { attempt: 3 },
            Phase::Waiting { since: now },
            Phase::Playing,
            Phase::Reconnecting { why: "the remote went away.".into(), until: now },
            Phase::OpponentReconnecting { until: now },
            Phase::OpponentLeft { reason: LeaveReason::TimedOut },
            Phase::Lost { why: "the remote went away.".into(), attempt: 2, retry_at: now },
            Phase::Unreachable { why: "x".into() },
            Phase::Refused { why: "x".into() },
        ];
        let mut titles = std::collections::HashSet::new();
        for phase in phases {
            let text = describe(&Snapshot { phase, ..Snapshot::default() }, now);
            assert!(!text.advice.is_empty() && !text.advice.contains(".."), "{text:?}");
            assert!(titles.insert(text.title));
        }
    }

    #[test]
    fn sentences_keep_their_mark() {
        assert_eq!(["is it on?", "it broke", ""].map(sentence), ["Is it on?", "It broke.", ""]);
    }
}
