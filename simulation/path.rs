//! Paths between players and the server: from none to one across the world, and bad ones.

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

/// One way, in ms: at least, what may come on top, and updates lost in percent.
const KINDS: [(u64, u64, u32); 6] =
    [(0, 0, 0), (1, 2, 1), (20, 5, 5), (60, 40, 20), (150, 150, 2), (400, 400, 50)];
/// No packet is under way for longer.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(800);

/// Some update gets through within this time. Updates say that their sender lives, so it adds nothing to that, and were they
/// all lost for as long as the idle timeout, it would rightly be given up.
const LOSING_MAX: Duration = Duration::from_secs(5);

/// A path of kind `kind`, whose luck `seed` decides. No update is lost any more once it is `calm`.
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
