//! Tasks that start again after a panic, and their health.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle, time::Instant};

/// The back-off after a first panic. It is short, since all players of a socket wait for it.
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
/// The longest back-off. A task that panics at every start then takes next to no time.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// The time after which a task counts as recovered, so that its next back-off is short again.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// A task that starts again after a panic. Dropping this does not end the task.
///
/// ```
/// use netduel_transport::Supervised;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (done, finished) = tokio::sync::oneshot::channel::<()>();
/// let mut done = Some(done);
/// let task = Supervised::spawn("greeter", move || {
///     // What must survive a panic is captured here, and lent to each future.
///     let done = done.take();
///     async move { drop(done) }
/// });
/// assert!(finished.await.is_err(), "the future has ended");
/// assert_eq!((task.health().name, task.health().panics), ("greeter", 0));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Supervised {
    state: Arc<State>,
    task: AbortHandle,
}

/// The health of a task, or of several of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskHealth {
    /// The task's name.
    pub name: &'static str,
    /// The number of panics so far.
    pub panics: u64,
    /// Whether the task panicked and has not started again yet.
    pub down: bool,
}

#[derive(Debug)]
struct State {
    name: &'static str,
    panics: AtomicU64,
    down: AtomicBool,
}

impl Supervised {
    /// Spawns a task on the current runtime. `make` makes its future, once at the start and again
    /// after each panic. A future that returns ends the task.
    pub fn spawn<F>(name: &'static str, make: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::spawn_on(&Handle::current(), name, make)
    }

    /// Spawns a task on `runtime`, as [`Self::spawn`] does.
    pub fn spawn_on<F>(runtime: &Handle, name: &'static str, make: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let state = Arc::new(State { name, panics: AtomicU64::new(0), down: AtomicBool::new(false) });
        let task = runtime.spawn(supervise(state.clone(), make)).abort_handle();
        Self { state, task }
    }

    /// Returns the task's health at this moment.
    pub fn health(&self) -> TaskHealth {
        let State { name, panics, down } = &*self.state;
        TaskHealth { name, panics: panics.load(Relaxed), down: down.load(Relaxed) }
    }

    /// Ends the task.
    pub fn abort(&self) {
        self.task.abort();
    }
}

/// Runs futures until one of them returns.
async fn supervise<F: Future<Output = ()>>(state: Arc<State>, mut make: impl FnMut() -> F) {
    let mut back_off = BACK_OFF_MIN;
    loop {
        let started = Instant::now();
        let Err(said) = run_once(&mut make).await else { return };
        state.panics.fetch_add(1, Relaxed);
        state.down.store(true, Relaxed);
        if started.elapsed() > RECOVERED_AFTER {
            back_off = BACK_OFF_MIN;
        }
        tracing::error!("the task '{}' panicked and starts again in {back_off:?}: {said}", state.name);
        tokio::time::sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
        state.down.store(false, Relaxed);
    }
}

/// Runs one future. Returns the text of its panic.
async fn run_once<F: Future<Output = ()>>(make: impl FnMut() -> F) -> Result<(), String> {
    let mut future: Pin<Box<F>> = Box::pin(contained(make)?);
    let outcome = poll_fn(|cx| match contained(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(said) => Err(said).into(),
    })
    .await;
    // A future that panicked may panic again while it is dropped.
    let dropped = contained(|| drop(future));
    outcome.and(dropped)
}

/// Calls `call`, and returns the text of its panic as an error.
///
/// The caller must not use what the call may have left half changed.
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| said(&*panic).to_owned())
}

/// Returns the text of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn panicking_task_starts_again() {
        let (ready, starts) = (Arc::new(Notify::new()), AtomicU32::new(0));
        let second = ready.clone();
        let task = Supervised::spawn("unlucky", move || {
            let start = starts.fetch_add(1, Relaxed);
            let second = second.clone();
            async move {
                tokio::task::yield_now().await;
                assert_eq!(start, 1, "the first start fails");
                second.notify_one();
                std::future::pending().await
            }
        });
        assert_eq!(task.health(), TaskHealth { name: "unlucky", panics: 0, down: false });
        while task.health().panics == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(task.health(), TaskHealth { name: "unlucky", panics: 1, down: true });
        ready.notified().await;
        assert_eq!(task.health(), TaskHealth { name: "unlucky", panics: 1, down: false });
    }

    #[tokio::test]
    async fn failing_start_is_tried_again() {
        let (done, finished) = tokio::sync::oneshot::channel::<()>();
        let mut done = Some(done);
        let starts = AtomicU32::new(0);
        let task = Supervised::spawn("late", move || {
            assert!(starts.fetch_add(1, Relaxed) > 1, "the first two starts fail");
            let done = done.take();
            async move { drop(done) }
        });
        assert!(finished.await.is_err(), "the third start has ended by itself");
        assert_eq!(task.health(), TaskHealth { name: "late", panics: 2, down: false });
    }

    #[tokio::test]
    async fn aborted_task_drops_its_state() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let held = Arc::new(held);
        let task = Supervised::spawn("long", move || {
            let held = held.clone();
            async move {
                let _held = held;
                std::future::pending().await
            }
        });
        task.abort();
        assert!(dropped.await.is_err());
    }
}
