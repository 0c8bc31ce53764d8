//! Work that may wait, so that a match does not: newcomers, and what is left over of somebody's many messages.
//!
//! A runtime runs what is ready in the order in which it became so. A hundred handshakes at once, or as many players who
//! flood, are then a hundred pieces of work before a move's turn comes: tens of ms. Here only one piece of them at a time is
//! ready, and it comes last: everything else that is ready goes first, and what has arrived by then. A match waits for one
//! piece at most, and the processor is never idle for that while there is something to do.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
};

/// For the tasks of one thread. First come, first served.
pub(crate) struct LowPriorityQueue(Semaphore);

/// Until it is dropped, nobody else has one.
pub(crate) type Slot<'a> = SemaphorePermit<'a>;

impl Default for LowPriorityQueue {
    fn default() -> Self {
        Self(Semaphore::const_new(1))
    }
}

impl LowPriorityQueue {
    /// Waits for a turn. It begins after everything else that is ready.
    ///
    /// For one piece of work that ends without waiting for anything, or everybody else would wait for it, too.
    pub(crate) async fn take(&self) -> Option<Slot<'_>> {
        let turn = self.0.acquire().await.ok(); // Never closed.
        yield_now().await;
        turn
    }

    /// Runs `work`, each step of it at a turn of its own. Cancel safe if `work` is.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let turn = self.take().await;
            if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
                return done;
            }
            drop(turn);
            woken().await;
        }
    }
}

/// What a task may do of its work at once, in pieces: at first, after each pause, and at each turn that it then has to take.
pub(crate) struct Budget<'a> {
    turns: &'a LowPriorityQueue,
    turn: Option<Slot<'a>>,
    whole: usize,
    left: usize,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(turns: &'a LowPriorityQueue, whole: usize) -> Self {
        Self { turns, turn: None, whole, left: whole }
    }

    /// `false` if it is used up.
    pub(crate) fn take_one(&mut self) -> bool {
        let left = self.left > 0;
        self.left -= usize::from(left);
        left
    }

    /// Waits for a turn if it is used up.
    pub(crate) async fn renew(&mut self) {
        if self.left == 0 {
            self.turn = None;
            self.turn = self.turns.take().await;
            self.left = self.whole;
        }
    }

    /// Runs `work`, which is a pause where it has to wait: nobody does that in a turn.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_pending() {
                (self.turn, self.left) = (None, self.whole);
            }
            polled
        })
        .await
    }
}

/// Ready once the task is woken again, by whatever it polled before.
async fn woken() {
    let mut asked = false;
    poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::mutex::lock;

    /// Eight who have three steps to do, and beside them one who is always ready.
    #[tokio::test]
    async fn who_is_ready_waits_for_one_piece_of_all_that_may_wait() {
        let (turns, done) = (Arc::new(LowPriorityQueue::default()), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=8 {
            let (turns, done) = (turns.clone(), done.clone());
            tasks.spawn(async move {
                let steps = async {
                    for _ in 0..3 {
                        lock(&done).push(number);
                        yield_now().await;
                    }
                };
                turns.run(steps).await;
            });
        }
        let ready = done.clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                lock(&ready).push(0);
                yield_now().await;
            }
        });
        tasks.join_all().await;
        let done = lock(&done);
        // One in each round, and where who is ready yields as well, the round may end before it or after.
        assert!(done.split(|&number| number == 0).all(|pieces| pieces.len() <= 2), "{done:?}");
        let pieces: Vec<_> = done.iter().copied().filter(|&number| number != 0).collect();
        assert_eq!(pieces, [[1, 2, 3, 4, 5, 6, 7, 8]; 3].as_flattened(), "first come, first served");
    }
}
