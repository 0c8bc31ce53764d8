//! Where an opponent stood still in a race while another transport brought news: marks that stay for a while, since the
//! moment itself is over before one has looked. Pure.

use std::collections::VecDeque;

use netduel_protocol::game::Position;

use crate::race::protocol::{Frame, position};

/// So much older than the youngest of all is standing still: half a dozen moves at the usual rate.
const BEHIND_US: u64 = 100_000;
/// A mark stays for this long: time to look there and to read it.
const SHOWN_US: u64 = 5_000_000;
/// Marks at once: more would hide what they are about.
const STALLS_MAX: usize = 4;

/// An opponent that stood still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stall {
    /// Over which transport, by its place in the plan.
    pub(crate) lane: usize,
    /// Where.
    pub(crate) position: Position,
    /// The oldest that the position became, in µs.
    pub(crate) age_us: u64,
    /// `None` while it lasts.
    ended_us: Option<u64>,
}

/// The stalls of the last seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stalls {
    stalls: VecDeque<Stall>,
}

impl Stalls {
    /// Takes in where everybody is.
    pub(crate) fn update(&mut self, frame: &Frame) {
        let youngest_us = frame.lanes.iter().filter_map(|lane| lane.age_us).min().unwrap_or(0);
        for (lane, seen) in frame.lanes.iter().enumerate() {
            let age_us = seen.age_us.unwrap_or(0);
            let open = self.stalls.iter_mut().find(|it| it.lane == lane && it.ended_us.is_none());
            match (open, age_us > youngest_us + BEHIND_US) {
                (Some(stall), true) => stall.age_us = stall.age_us.max(age_us),
                (Some(stall), false) => stall.ended_us = Some(frame.at_us),
                (None, true) => {
                    if self.stalls.len() == STALLS_MAX {
                        self.stalls.pop_front();
                    }
                    let position = position(seen.position);
                    self.stalls.push_back(Stall { lane, position, age_us, ended_us: None });
                }
                (None, false) => {}
            }
        }
        self.stalls.retain(|it| it.ended_us.is_none_or(|ended_us| frame.at_us < ended_us + SHOWN_US));
    }

    /// Those that are over and still to be shown.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Stall> {
        self.stalls.iter().filter(|stall| stall.ended_us.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::protocol::LaneFrame;

    fn frame(at_ms: u64, ages_ms: [u64; 2]) -> Frame {
        let lanes = ages_ms
            .map(|age_ms| LaneFrame { position: (at_ms as f32, 0.0), age_us: Some(age_ms * 1_000) })
            .to_vec();
        Frame { at_us: at_ms * 1_000, truth: (0.0, 0.0), lanes }
    }

    #[test]
    fn only_who_is_behind_another_stands_still_and_its_mark_goes_in_time() {
        let mut stalls = Stalls::default();
        stalls.update(&frame(0, [400, 390]));
        assert_eq!(stalls.stalls.len(), 0, "a slow link is not a stall");
        for (at_ms, age_ms) in [(100, 150), (200, 250), (300, 40)] {
            stalls.update(&frame(at_ms, [age_ms, 20]));
        }
        let shown: Vec<_> = stalls.shown().map(|it| (it.lane, it.position.x, it.age_us)).collect();
        assert_eq!(shown, [(0, 100.0, 250_000)]);
        stalls.update(&frame(5_400, [20, 20]));
        assert_eq!(stalls.shown().count(), 0);
        for at_ms in 6_000..6_100 {
            stalls.update(&frame(at_ms, [if at_ms % 2 == 0 { 300 } else { 20 }, 20]));
        }
        assert!(stalls.stalls.len() <= STALLS_MAX);
    }
}
