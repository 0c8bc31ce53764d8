//! Runs low-priority work, such as new connections and the backlog of flooding clients, one piece
//! at a time, so that matches are not delayed.
//!
//! A runtime runs ready tasks in the order in which they became ready. After a hundred handshakes
//! at once, or as many flooding players, a move would wait for a hundred pieces of work: tens of
//! ms. This queue makes only one piece of low-priority work ready at a time, behind everything else
//! that is ready and everything that has arrived by then. A match waits for one piece at most, and
//! the processor is never idle while there is work.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
};

/// The queue of low-priority work of one thread, first come, first served.
pub(crate) struct LowPriorityQueue(Semaphore);

/// The right to run one piece of work. No other task has one until it is dropped.
pub(crate) type Slot<'a> = SemaphorePermit<'a>;

impl Default for LowPriorityQueue {
    fn default() -> Self {
        Self(Semaphore::const_new(1))
    }
}

impl LowPriorityQueue {
    /// Waits for a slot. The slot begins after everything else that is ready.
    ///
    /// A piece of work in a slot must not wait for anything, or all low-priority work would wait
    /// for it, too.
    pub(crate) async fn take(&self) -> Option<Slot<'_>> {
        let slot = self.0.acquire().await.ok(); // The semaphore is never closed.
        yield_now().await;
        slot
    }

    /// Runs `work`, each poll of it in a slot of its own. Cancel safe if `work` is.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let slot = self.take().await;
            if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
                return done;
            }
            drop(slot);
            woken().await;
        }
    }
}

/// The pieces of work that a task may do at once: at first, after each pause, and in each slot that
/// it takes when the budget is used up.
pub(crate) struct Budget<'a> {
    queue: &'a LowPriorityQueue,
    slot: Option<Slot<'a>>,
    whole: usize,
    left: usize,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(queue: &'a LowPriorityQueue, whole: usize) -> Self {
        Self { queue, slot: None, whole, left: whole }
    }

    /// Takes one piece from the budget. Returns `false` if the budget is used up.
    pub(crate) fn take_one(&mut self) -> bool {
        let left = self.left > 0;
        self.left -= usize::from(left);
        left
    }

    /// Waits for a slot if the budget is used up, and then fills it again.
    pub(crate) async fn renew(&mut self) {
        if self.left == 0 {
            self.wait_turn().await;
        }
    }

    /// Waits for a slot, behind everything that waits already, and then fills the budget again.
    pub(crate) async fn wait_turn(&mut self) {
        self.slot = None;
        self.slot = self.queue.take().await;
        self.left = self.whole;
    }

    /// Runs `work`. Where `work` has to wait, the task gives back its slot and the budget is full
    /// again.
    pub(crate) async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            if polled.is_pending() {
                (self.slot, self.left) = (None, self.whole);
            }
            polled
        })
        .await
    }
}

/// Waits until the task is woken again, by whatever it polled before.
async fn woken() {
    let mut asked = false;
    poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// Runs eight tasks of three pieces each beside one task that is always ready.
    #[tokio::test]
    async fn ready_tasks_wait_for_one_piece() {
        let (queue, done) = (Arc::new(LowPriorityQueue::default()), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=8 {
            let (queue, done) = (queue.clone(), done.clone());
            tasks.spawn(async move {
                let steps = async {
                    for _ in 0..3 {
                        done.lock().push(number);
                        yield_now().await;
                    }
                };
                queue.run(steps).await;
            });
        }
        let ready = done.clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                ready.lock().push(0);
                yield_now().await;
            }
        });
        tasks.join_all().await;
        let done = done.lock();
        // Each round runs one piece; since the ready task yields as well, the round may end before
        // the piece or after it.
        assert!(done.split(|&number| number == 0).all(|pieces| pieces.len() <= 2), "{done:?}");
        let pieces: Vec<_> = done.iter().copied().filter(|&number| number != 0).collect();
        assert_eq!(
            pieces,
            [[1, 2, 3, 4, 5, 6, 7, 8]; 3].as_flattened(),
            "the queue is first come, first served"
        );
    }

    /// Runs eight tasks that wait for their turn before each piece, beside one that does not.
    #[tokio::test]
    async fn waiting_tasks_take_turns() {
        let (queue, done) = (Arc::new(LowPriorityQueue::default()), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 1..=8 {
            let (queue, done) = (queue.clone(), done.clone());
            tasks.spawn(async move {
                let mut budget = Budget::new(&queue, 100);
                for _ in 0..3 {
                    budget.wait_turn().await;
                    assert!(budget.take_one(), "a full budget");
                    done.lock().push(number);
                }
            });
        }
        let free = done.clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                free.lock().push(0);
                yield_now().await;
            }
        });
        tasks.join_all().await;
        let done = done.lock();
        assert!(done.split(|&number| number == 0).all(|pieces| pieces.len() <= 2), "{done:?}");
        assert_eq!(done.iter().filter(|&&number| number != 0).count(), 24);
    }
}
