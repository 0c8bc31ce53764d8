//! The deadlines of the lobby: one for each kept seat, each join that is held back, and the summary
//! of the log. One task waits for the earliest of them.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    time::Duration,
};

use netduel_protocol::MatchId;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::player_sender::PlayerId;

/// The time after which a deadline whose work panicked is due again. It is longer than the first
/// back-offs of the task.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An event that is due at a known time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Deadline {
    /// The grace of a kept seat ends: the match, and the number of the seat.
    Seat(MatchId, usize),
    /// The join of a player that was held back takes effect.
    Join(PlayerId),
    /// The summary of the matches that were not logged one by one.
    Summary,
}

/// The deadlines, at most one for each seat and each player.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    times: Mutex<Times>,
    /// Notified when there is a new earliest deadline.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Times {
    due: HashMap<Deadline, Instant>,
    order: BTreeSet<(Instant, Deadline)>,
}

impl Times {
    fn remove(&mut self, deadline: Deadline) {
        if let Some(at) = self.due.remove(&deadline) {
            self.order.remove(&(at, deadline));
        }
    }
}

impl Deadlines {
    /// Sets a deadline. It replaces an earlier time of the same deadline.
    pub(crate) fn set(&self, deadline: Deadline, at: Instant) {
        let mut times = self.times.lock();
        times.remove(deadline);
        times.due.insert(deadline, at);
        times.order.insert((at, deadline));
        if times.order.first() == Some(&(at, deadline)) {
            self.earlier.notify_one();
        }
    }

    /// Removes a deadline, if it is set.
    pub(crate) fn cancel(&self, deadline: Deadline) {
        self.times.lock().remove(deadline);
    }

    /// Does what is due at each deadline, in order of time. One task at a time may do that.
    ///
    /// What panics is due again after [`RETRY_AFTER`], if this is called again.
    pub(crate) async fn keep(&self, mut act: impl FnMut(Deadline)) -> Infallible {
        loop {
            let due = self.next().await;
            let again_at = Instant::now() + RETRY_AFTER;
            self.set(due, again_at);
            act(due);
            let mut times = self.times.lock();
            // The deadline may be set anew, by what was done or by another thread.
            if times.due.get(&due) == Some(&again_at) {
                times.remove(due);
            }
        }
    }

    /// Waits for the earliest deadline, and removes it. Cancel safe.
    async fn next(&self) -> Deadline {
        loop {
            let earliest = {
                let mut times = self.times.lock();
                let earliest = times.order.first().copied();
                if let Some((at, deadline)) = earliest
                    && at <= Instant::now()
                {
                    times.remove(deadline);
                    return deadline;
                }
                earliest
            };
            match earliest {
                None => self.earlier.notified().await,
                Some((at, _)) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.earlier.notified() => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn comes_in_order_of_time() {
        let (deadlines, begin) = (Deadlines::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        deadlines.set(Deadline::Join(1), at(9));
        deadlines.set(Deadline::Seat(1, 0), at(3));
        deadlines.set(Deadline::Seat(1, 1), at(2));
        deadlines.set(Deadline::Join(1), at(1));
        deadlines.cancel(Deadline::Seat(1, 1));
        deadlines.cancel(Deadline::Join(2));
        for (deadline, seconds) in [(Deadline::Join(1), 1), (Deadline::Seat(1, 0), 3)] {
            assert_eq!(deadlines.next().await, deadline);
            assert_eq!(begin.elapsed().as_secs(), seconds);
        }
        assert!(deadlines.times.lock().due.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_deadline_overtakes_the_wait() {
        let (deadlines, begin) = (Deadlines::default(), Instant::now());
        deadlines.set(Deadline::Summary, begin + Duration::from_secs(60));
        let sooner = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            deadlines.set(Deadline::Join(1), begin + Duration::from_secs(2));
        };
        let (first, ()) = tokio::join!(deadlines.next(), sooner);
        assert_eq!((first, begin.elapsed().as_secs()), (Deadline::Join(1), 2));
        assert_eq!(deadlines.next().await, Deadline::Summary);
    }

    #[tokio::test(start_paused = true)]
    async fn panicking_work_is_due_again() {
        let (deadlines, begin) = (Deadlines::default(), Instant::now());
        deadlines.set(Deadline::Seat(1, 0), begin);
        let keep = deadlines.keep(|_| panic!("asked for by a test"));
        assert!(AssertUnwindSafe(keep).catch_unwind().await.is_err());
        let mut done = Vec::new();
        let keep = deadlines.keep(|due| done.push((due, begin.elapsed().as_secs())));
        assert!(tokio::time::timeout(10 * RETRY_AFTER, keep).await.is_err(), "it goes on for ever");
        assert_eq!(done, [(Deadline::Seat(1, 0), 1)]);
        assert!(deadlines.times.lock().order.is_empty());
    }
}
