//! The matchmaking queue. Pure state: no connection, no clock.
//!
//! A new player meets the player that has waited longest with the same match code, or without a
//! code. Two players that fit are matched at once, so at most one player waits for each code, and
//! first come, first served needs no queue behind that.

use std::collections::HashMap;

use crate::player_sender::PlayerId;

/// The waiting players, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Matchmaker {
    waiting: HashMap<Option<String>, PlayerId>,
    codes: HashMap<PlayerId, Option<String>>,
}

/// The outcome of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinOutcome {
    /// No other player fits yet.
    Waiting,
    /// The player that waited, and has left the queue.
    Matched(PlayerId),
    /// The player waits already; nothing has changed.
    AlreadyWaiting,
}

impl Matchmaker {
    /// Queues `player`, or matches it with the player that waits for the same code.
    pub(crate) fn join(&mut self, player: PlayerId, code: Option<String>) -> JoinOutcome {
        if self.codes.contains_key(&player) {
            return JoinOutcome::AlreadyWaiting;
        }
        if let Some(partner) = self.waiting.remove(&code) {
            self.codes.remove(&partner);
            return JoinOutcome::Matched(partner);
        }
        self.codes.insert(player, code.clone());
        self.waiting.insert(code, player);
        JoinOutcome::Waiting
    }

    /// Whether a join with this code starts a match.
    pub(crate) fn somebody_waits(&self, code: Option<&str>) -> bool {
        self.waiting.contains_key(&code.map(str::to_owned))
    }

    /// Takes `player` out of the queue. Returns whether it waited.
    pub(crate) fn leave(&mut self, player: PlayerId) -> bool {
        self.codes.remove(&player).is_some_and(|code| self.waiting.remove(&code).is_some())
    }

    /// Returns the number of waiting players.
    pub(crate) fn waiting(&self) -> usize {
        self.codes.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches_players_with_the_same_code() {
        let mut matchmaker = Matchmaker::default();
        let code = |text: &str| Some(text.to_owned());
        assert_eq!(matchmaker.join(1, None), JoinOutcome::Waiting);
        assert_eq!(matchmaker.join(2, code("a")), JoinOutcome::Waiting);
        assert_eq!(matchmaker.join(1, code("a")), JoinOutcome::AlreadyWaiting);
        assert_eq!(matchmaker.join(3, code("b")), JoinOutcome::Waiting);
        assert!(matchmaker.somebody_waits(Some("a")) && !matchmaker.somebody_waits(Some("c")));
        assert_eq!(matchmaker.join(4, code("a")), JoinOutcome::Matched(2));
        assert!(!matchmaker.somebody_waits(Some("a")) && matchmaker.somebody_waits(None));
        assert!(matchmaker.leave(1));
        assert!(!matchmaker.leave(1));
        assert_eq!(matchmaker.join(5, None), JoinOutcome::Waiting, "a player that left is not matched");
        assert_eq!(matchmaker.join(6, None), JoinOutcome::Matched(5));
        assert_eq!(matchmaker.codes.len(), 1);
    }

    proptest! {
        /// Compares the matchmaker with the obvious model. Every player waits, plays or is gone, is
        /// matched once, never with itself, and with the player that waited longest for the same
        /// code.
        #[test]
        fn agrees_with_a_plain_queue(steps in prop::collection::vec((0u64..12, 0u8..4, any::<bool>()), 0..300)) {
            let mut matchmaker = Matchmaker::default();
            let mut queue: Vec<(PlayerId, Option<String>)> = Vec::new();
            let mut playing: HashSet<PlayerId> = HashSet::new();
            for (player, code, joins) in steps {
                let waits = queue.iter().any(|(id, _)| *id == player);
                if !joins {
                    queue.retain(|(id, _)| *id != player);
                    playing.remove(&player);
                    prop_assert_eq!(matchmaker.leave(player), waits);
                } else if !playing.contains(&player) {
                    let code = (code > 0).then(|| code.to_string());
                    let fits = queue.iter().position(|(_, other)| *other == code);
                    let wanted = match fits {
                        _ if waits => JoinOutcome::AlreadyWaiting,
                        Some(index) => JoinOutcome::Matched(queue.remove(index).0),
                        None => {
                            queue.push((player, code.clone()));
                            JoinOutcome::Waiting
                        }
                    };
                    prop_assert_eq!(matchmaker.join(player, code), wanted);
                    if let JoinOutcome::Matched(partner) = wanted {
                        prop_assert_ne!(partner, player);
                        prop_assert!(playing.insert(player) && playing.insert(partner));
                    }
                }
                prop_assert_eq!(matchmaker.codes.len(), queue.len());
            }
        }
    }
}
