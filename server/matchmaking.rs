//! The matchmaking queue. Pure state: no connection, no clock.
//!
//! A new player meets the player that has waited longest with the same match code, or without a
//! code. Two players that fit are matched at once, so at most one player waits for each code, and
//! first come, first served needs no queue behind that. A player whose opponent left it and who
//! joins again is therefore at the front of the queue: it plays the player that waits, or the next
//! one to come. A player that is held back waits outside of the queue, and nobody meets it there.

use std::collections::HashMap;

use crate::player_sender::PlayerId;

/// The waiting players, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Matchmaker {
    waiting: HashMap<Option<String>, PlayerId>,
    players: HashMap<PlayerId, Place>,
}

/// The place of a waiting player, with its code.
#[derive(Debug)]
enum Place {
    Queued(Option<String>),
    Held(Option<String>),
}

/// The outcome of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinOutcome {
    /// No other player fits yet.
    Waiting,
    /// The player that waited, and has left the queue.
    Matched(PlayerId),
    /// The player waits or is held already; nothing has changed.
    AlreadyWaiting,
}

impl Matchmaker {
    /// Queues `player`, or matches it with the player that waits for the same code.
    pub(crate) fn join(&mut self, player: PlayerId, code: Option<String>) -> JoinOutcome {
        if self.players.contains_key(&player) {
            return JoinOutcome::AlreadyWaiting;
        }
        if let Some(partner) = self.waiting.remove(&code) {
            self.players.remove(&partner);
            return JoinOutcome::Matched(partner);
        }
        self.players.insert(player, Place::Queued(code.clone()));
        self.waiting.insert(code, player);
        JoinOutcome::Waiting
    }

    /// Holds `player` back until [`Self::release`].
    pub(crate) fn hold(&mut self, player: PlayerId, code: Option<String>) {
        self.leave(player);
        self.players.insert(player, Place::Held(code));
    }

    /// Takes `player` out of its hold, and returns its code. The caller lets it join.
    pub(crate) fn release(&mut self, player: PlayerId) -> Option<Option<String>> {
        match self.players.remove(&player)? {
            Place::Held(code) => Some(code),
            queued @ Place::Queued(_) => {
                self.players.insert(player, queued);
                None
            }
        }
    }

    /// Whether `player` waits or is held.
    pub(crate) fn has(&self, player: PlayerId) -> bool {
        self.players.contains_key(&player)
    }

    /// Whether a join with this code starts a match.
    pub(crate) fn somebody_waits(&self, code: Option<&str>) -> bool {
        self.waiting.contains_key(&code.map(str::to_owned))
    }

    /// Takes `player` out of the queue or its hold. Returns whether it waited.
    pub(crate) fn leave(&mut self, player: PlayerId) -> bool {
        match self.players.remove(&player) {
            Some(Place::Queued(code)) => self.waiting.remove(&code).is_some(),
            Some(Place::Held(_)) => true,
            None => false,
        }
    }

    /// Returns the number of waiting players, including those that are held.
    pub(crate) fn waiting(&self) -> usize {
        self.players.len()
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
        assert_eq!(matchmaker.waiting(), 1);
    }

    #[test]
    fn held_players_meet_nobody() {
        let mut matchmaker = Matchmaker::default();
        matchmaker.hold(1, None);
        assert_eq!(matchmaker.join(1, None), JoinOutcome::AlreadyWaiting);
        assert_eq!(matchmaker.join(2, None), JoinOutcome::Waiting);
        assert_eq!(matchmaker.release(2), None, "it is not held");
        assert_eq!(matchmaker.release(1), Some(None));
        assert_eq!(matchmaker.join(1, None), JoinOutcome::Matched(2));
        matchmaker.hold(3, Some("a".into()));
        assert!(matchmaker.has(3) && matchmaker.leave(3));
        assert_eq!((matchmaker.release(3), matchmaker.waiting()), (None, 0));
    }

    proptest! {
        /// Compares the matchmaker with the obvious model. Every player waits, is held, plays or is
        /// gone, is matched once, never with itself, and with the player that waited longest for
        /// the same code.
        #[test]
        fn agrees_with_a_plain_queue(steps in prop::collection::vec((0u64..12, 0u8..4, 0u8..6), 0..300)) {
            let mut matchmaker = Matchmaker::default();
            let mut queue: Vec<(PlayerId, Option<String>)> = Vec::new();
            let mut held: HashMap<PlayerId, Option<String>> = HashMap::new();
            let mut playing: HashSet<PlayerId> = HashSet::new();
            for (player, code, what) in steps {
                let queued = queue.iter().any(|(id, _)| *id == player);
                let waits = queued || held.contains_key(&player);
                let code = (code > 0).then(|| code.to_string());
                let joins = match what {
                    0 | 1 => {
                        queue.retain(|(id, _)| *id != player);
                        held.remove(&player);
                        playing.remove(&player);
                        prop_assert_eq!(matchmaker.leave(player), waits);
                        None
                    }
                    2 if !waits && !playing.contains(&player) => {
                        matchmaker.hold(player, code.clone());
                        held.insert(player, code);
                        None
                    }
                    3 => {
                        let code = held.remove(&player);
                        prop_assert_eq!(&matchmaker.release(player), &code);
                        code
                    }
                    _ if playing.contains(&player) => None,
                    _ if waits => {
                        prop_assert_eq!(matchmaker.join(player, code), JoinOutcome::AlreadyWaiting);
                        None
                    }
                    _ => Some(code),
                };
                if let Some(code) = joins {
                    let wanted = match queue.iter().position(|(_, other)| *other == code) {
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
                prop_assert_eq!(matchmaker.waiting(), queue.len() + held.len());
            }
        }

        /// A player that was left joins again while others wait, are held and come: it plays the
        /// one that waits, or else the very next one with its code.
        #[test]
        fn left_player_is_at_the_front(
            others in prop::collection::vec((0u8..3, any::<bool>()), 0..20),
            code in 0u8..3,
            next in prop::collection::vec(0u8..3, 1..10),
        ) {
            const LEFT: PlayerId = 1_000;
            let text = |code: u8| (code > 0).then(|| code.to_string());
            let mut matchmaker = Matchmaker::default();
            for (number, (code, is_held)) in others.into_iter().enumerate() {
                if is_held {
                    matchmaker.hold(number as PlayerId, text(code));
                } else {
                    matchmaker.join(number as PlayerId, text(code));
                }
            }
            let waits = matchmaker.somebody_waits(text(code).as_deref());
            let outcome = matchmaker.join(LEFT, text(code));
            prop_assert_eq!(matches!(outcome, JoinOutcome::Matched(_)), waits);
            if !waits {
                for (number, other) in next.into_iter().enumerate() {
                    let outcome = matchmaker.join(2_000 + number as PlayerId, text(other));
                    prop_assert_eq!(outcome == JoinOutcome::Matched(LEFT), other == code);
                    if other == code {
                        break;
                    }
                }
            }
        }
    }
}
