//! Network paths between players and the server, from a perfect to an intercontinental or a lossy
//! one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use netduel_transport::{
    Lane,
    simulation::{Fate, Fates, Path},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// The kinds of paths: one-way base delay in ms, jitter in ms, and loss of updates in percent.
const KINDS: [(u64, u64, u32); 6] =
    [(0, 0, 0), (1, 2, 1), (20, 5, 5), (60, 40, 20), (150, 150, 2), (400, 400, 50)];
/// The largest one-way delay of a packet.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(800);

/// The longest time without a delivered update. Updates serve as keep-alives. If all updates were
/// lost for an idle timeout, the server would rightly close the connection.
const LOSING_MAX: Duration = Duration::from_secs(5);

/// Creates a path of kind `kind` with random losses and delays from `seed`. Once `calm` is set, no
/// update is lost.
pub(crate) fn path(kind: u8, seed: u64, calm: &Arc<AtomicBool>) -> Path {
    let number = usize::from(kind >> 1) % KINDS.len();
    let fates = |stream: u64| -> Fates {
        let mut luck = ChaCha8Rng::seed_from_u64(seed * 2 + stream);
        let calm = calm.clone();
        let (least_ms, jitter_ms, lost_percent) = KINDS[number];
        let mut through = Instant::now();
        Box::new(move |lane| {
            let delay = Duration::from_millis(least_ms + luck.random_range(0..=jitter_ms));
            let unlucky = luck.random_range(0..100) < lost_percent && !calm.load(Relaxed);
            let lost = unlucky && through.elapsed() < LOSING_MAX;
            if lane == Lane::State && !lost {
                through = Instant::now();
            }
            Fate { delay, lost }
        })
    };
    Path { in_order: kind & 1 == 0, up: fates(0), down: fates(1) }
}
