//! Stalls of a race: marks of positions where one contender stood still while another received
//! moves. Pure.
//!
//! A mark stays for some seconds, because the stall itself is over before a player has looked.

use std::collections::VecDeque;

use netduel_protocol::game::Position;

use crate::race::protocol::{Frame, position};

/// The lag behind the youngest position that counts as a stall, in µs: six moves at the default
/// rate.
const BEHIND_US: u64 = 100_000;
/// The display time of a mark, in µs: long enough to find and to read it.
const SHOWN_US: u64 = 5_000_000;
/// The largest number of marks. More would hide the players.
const STALLS_MAX: usize = 4;

/// A stall of one contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stall {
    /// The index of the transport in the plan.
    pub(crate) contender: usize,
    /// The position of the stall.
    pub(crate) position: Position,
    /// The largest age of the position, in µs.
    pub(crate) age_us: u64,
    /// The end of the stall; `None` while it lasts.
    ended_us: Option<u64>,
}

/// The stalls of the last seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stalls {
    stalls: VecDeque<Stall>,
}

impl Stalls {
    /// Starts, extends and ends stalls by the newest frame.
    pub(crate) fn update(&mut self, frame: &Frame) {
        let youngest_us = frame.contenders.iter().filter_map(|contender| contender.age_us).min().unwrap_or(0);
        for (contender, seen) in frame.contenders.iter().enumerate() {
            let age_us = seen.age_us.unwrap_or(0);
            let open = self.stalls.iter_mut().find(|it| it.contender == contender && it.ended_us.is_none());
            match (open, age_us > youngest_us + BEHIND_US) {
                (Some(stall), true) => stall.age_us = stall.age_us.max(age_us),
                (Some(stall), false) => stall.ended_us = Some(frame.at_us),
                (None, true) => {
                    if self.stalls.len() == STALLS_MAX {
                        self.stalls.pop_front();
                    }
                    let position = position(seen.position);
                    self.stalls.push_back(Stall { contender, position, age_us, ended_us: None });
                }
                (None, false) => {}
            }
        }
        self.stalls.retain(|it| it.ended_us.is_none_or(|ended_us| frame.at_us < ended_us + SHOWN_US));
    }

    /// Returns the stalls that are over and still shown.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Stall> {
        self.stalls.iter().filter(|stall| stall.ended_us.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::protocol::ContenderFrame;

    fn frame(at_ms: u64, ages_ms: [u64; 2]) -> Frame {
        let contenders = ages_ms
            .map(|age_ms| ContenderFrame { position: (at_ms as f32, 0.0), age_us: Some(age_ms * 1_000) })
            .to_vec();
        Frame { at_us: at_ms * 1_000, truth: (0.0, 0.0), contenders }
    }

    #[test]
    fn marks_only_a_contender_behind_another() {
        let mut stalls = Stalls::default();
        stalls.update(&frame(0, [400, 390]));
        assert_eq!(stalls.stalls.len(), 0, "a slow link is not a stall");
        for (at_ms, age_ms) in [(100, 150), (200, 250), (300, 40)] {
            stalls.update(&frame(at_ms, [age_ms, 20]));
        }
        let shown: Vec<_> = stalls.shown().map(|it| (it.contender, it.position.x, it.age_us)).collect();
        assert_eq!(shown, [(0, 100.0, 250_000)]);
        stalls.update(&frame(5_400, [20, 20]));
        assert_eq!(stalls.shown().count(), 0);
        for at_ms in 6_000..6_100 {
            stalls.update(&frame(at_ms, [if at_ms % 2 == 0 { 300 } else { 20 }, 20]));
        }
        assert!(stalls.stalls.len() <= STALLS_MAX);
    }
}
