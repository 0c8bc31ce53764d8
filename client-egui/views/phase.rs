//! Every state in words: what happens, and what can be done about it.

use std::time::Instant;

use netduel_protocol::LeaveReason;

use crate::net::backend::{Phase, Snapshot};

/// An opponent not heard for this long is said to be silent: longer than any retransmission on a line one can play over.
const SILENT_US: u64 = 1_500_000;

/// A state in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Words {
    /// What happens.
    pub(crate) title: String,
    /// What can be done.
    pub(crate) advice: String,
    /// What [`crate::net::backend::Network::again`] does now; `None` where it does nothing.
    pub(crate) again: Option<&'static str>,
}

/// Describes the state at `now`.
pub(crate) fn words(snapshot: &Snapshot, now: Instant) -> Words {
    let say = |title: &str, advice: &str, again| Words { title: title.into(), advice: advice.into(), again };
    match &snapshot.phase {
        Phase::Idle => say("Not playing", "Choose how to begin.", None),
        Phase::Opening => say("Starting", "The server on this machine starts.", None),
        Phase::Connecting { attempt: 1 } => say("Connecting", "To the server. Escape gives up.", None),
        Phase::Connecting { attempt } => {
            say(&format!("Reconnecting, try {attempt}"), "To the server. Escape gives up.", None)
        }
        Phase::Waiting { since } => Words {
            title: "Waiting for an opponent".into(),
            advice: waiting_advice(snapshot, now.saturating_duration_since(*since).as_secs()),
            again: None,
        },
        Phase::Playing => match snapshot.draining_s {
            Some(seconds) => say(
                "Playing: the server is going down",
                &format!("It ends within {seconds} s. A new match needs another server."),
                None,
            ),
            None if snapshot.figures.age.current_us > Some(SILENT_US) => {
                let seconds = snapshot.figures.age.current_us.unwrap_or(0) / 1_000_000;
                say(
                    "Playing: nothing comes from the opponent",
                    &format!("Its last move is {seconds} s old. The server tells when it is gone."),
                    Some("New match"),
                )
            }
            None => say("Playing", "Arrows or WASD steer.", Some("New match")),
        },
        Phase::Reconnecting { why, until } => {
            let advice = format!(
                "{}. You go on where you were if you are back within {} s. Escape gives up.",
                sentence(why),
                seconds_until(*until, now)
            );
            say("You are reconnecting", &advice, None)
        }
        Phase::OpponentReconnecting { until } => {
            let advice = format!(
                "Its connection is lost. It has {} s to come back; you may walk on.",
                seconds_until(*until, now)
            );
            say("The opponent is reconnecting", &advice, Some("New match"))
        }
        Phase::OpponentLeft { reason } => {
            let how = how_it_left(*reason);
            let advice =
                format!("{how} You are still connected: R queues for the next match, Escape leaves.");
            say("The opponent left", &advice, Some("Next match"))
        }
        Phase::Lost { why, attempt, retry_at } => {
            let advice = format!(
                "{}. Try {attempt} in {} s, then you queue again. R tries now, Escape gives up.",
                sentence(why),
                seconds_until(*retry_at, now)
            );
            say("The connection is lost", &advice, Some("Try now"))
        }
        Phase::Gone { why } => {
            let advice = format!("{}. R tries again, Escape goes back.", sentence(why));
            say("The server cannot be reached", &advice, Some("Try again"))
        }
        Phase::Refused { why } => {
            let advice = format!("{}. Escape goes back to change it, R tries again.", sentence(why));
            say("That cannot be played", &advice, Some("Try again"))
        }
    }
}

fn how_it_left(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Left => "It left the match.",
        LeaveReason::Disconnected => "Its connection broke.",
        LeaveReason::TimedOut => "It was not heard for too long.",
        LeaveReason::Expelled => "The server put it out for breaking the rules.",
    }
}

fn waiting_advice(snapshot: &Snapshot, seconds: u64) -> String {
    let how = if snapshot.invitation.is_some() {
        "Tell somebody the address and the fingerprint above."
    } else {
        "The server pairs you with whoever comes next with the same match code, or none."
    };
    format!("{how} {seconds} s so far; Escape leaves the queue.")
}

/// In whole seconds, rounded up.
fn seconds_until(then: Instant, now: Instant) -> u64 {
    then.saturating_duration_since(now).as_millis().div_ceil(1_000) as u64
}

/// Begins with a capital and ends without a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches(['.', '?', '!']);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_happens_and_what_can_be_done() {
        let now = Instant::now();
        let phases = [
            Phase::Idle,
            Phase::Opening,
            Phase::Connecting { attempt: 1 },
            Phase::Connecting { attempt: 3 },
            Phase::Waiting { since: now },
            Phase::Playing,
            Phase::Reconnecting { why: "the peer went away.".into(), until: now },
            Phase::OpponentReconnecting { until: now },
            Phase::OpponentLeft { reason: LeaveReason::TimedOut },
            Phase::Lost { why: "the peer went away.".into(), attempt: 2, retry_at: now },
            Phase::Gone { why: "x".into() },
            Phase::Refused { why: "x".into() },
        ];
        let mut titles = std::collections::HashSet::new();
        for phase in phases {
            let words = words(&Snapshot { phase, ..Snapshot::default() }, now);
            assert!(!words.advice.is_empty() && !words.advice.contains(".."), "{words:?}");
            assert!(titles.insert(words.title));
        }
    }
}
