//! The log on standard error. Writing a line never waits and never fails.
//!
//! Standard error is often a pipe whose reader pauses or ends, or a file on a full disk. The thread
//! that serves the matches must not depend on it. It puts lines into a bounded queue, and another
//! thread writes them. Lines that find no place are lost and counted.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use clap::ValueEnum;
use netduel_transport::GcraBucket;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The most lines that wait for standard error: some seconds' worth, and 4 MB at most.
const LINES_QUEUED_MAX: usize = 1_024;
/// The longest line in bytes; the rest of it is cut off. Names, reasons and addresses are far
/// shorter.
const LINE_MAX_BYTES: usize = 4_096;
/// The lines a second of level info and above, so that no peer can fill the disk: a gigabyte a day.
/// Lines of debug and trace are asked for, and only the queue limits them.
const LINES_PER_S_MAX: u32 = 100;
/// The lines that may come at once: those of a few hundred players who connect together.
const LINES_BURST: u32 = 1_000;
/// The period of notes on left-out lines.
const NOTE_PERIOD: Duration = Duration::from_secs(1);
/// The time for the last lines at the end of the program. A reader that is alive needs a few ms.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(250);
/// The target of the note on left-out lines, which is never left out itself.
const NOTE_TARGET: &str = "netduel_server::log";

/// The log of this process, once [`init`] has set it up.
static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// The format of the log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// Sets up the process's log, and logs panics from then on. The last lines are written when the
/// result is dropped.
pub(super) fn init(format: LogFormat) -> Flush {
    let Ok(log) = Log::start(own_stderr()) else {
        return Flush(None); // Without another thread the server runs without a log.
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(ToLog(log.clone()))
        .with_ansi(io::stderr().is_terminal())
        // It would report to standard error, and panic where that fails.
        .log_internal_errors(false);
    let set_up = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // Fails if the caller has set up logging already, whose settings then apply.
    if set_up.is_err() {
        return Flush(None);
    }
    // The usual hook writes to standard error, and waits for it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
    let _ = LOG.set(log.clone());
    Flush(Some(log))
}

/// Returns how many log lines were lost or left out.
pub(crate) fn lines_lost() -> u64 {
    LOG.get().map_or(0, |log| log.lost.load(Relaxed))
}

/// Writes a program's last words to standard error. Neither waits for a reader that pauses nor
/// fails without a reader.
pub(super) fn say(text: &str) {
    if let Ok(log) = Log::start(own_stderr()) {
        log.put(format!("{text}\n").as_bytes());
        log.flush();
    }
}

/// Writes the last lines of a log when it is dropped.
pub(super) struct Flush(Option<Arc<Log>>);

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some(log) = &self.0 {
            log.flush();
        }
    }
}

/// Returns a handle of standard error of our own. The lock of the standard library's handle would
/// be held while a write waits.
fn own_stderr() -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
    }
    #[cfg(windows)]
    {
        use std::os::windows::io::AsHandle;
        Ok(io::stderr().as_handle().try_clone_to_owned()?.into())
    }
}

enum Entry {
    Line(Vec<u8>),
    /// The first line was left out since the last note.
    LeftOut,
    /// Answered once everything before it was written.
    Flush(SyncSender<()>),
}

/// A bounded queue of lines, and a thread that writes them.
struct Log {
    queue: SyncSender<Entry>,
    bucket: Mutex<GcraBucket>,
    lost: Arc<AtomicU64>,
    /// The lines since the last note that were left out because there were too many a second.
    left_out: Arc<AtomicU64>,
}

impl Log {
    /// Starts the thread. Without `out` each line is lost and counted.
    ///
    /// # Errors
    /// The system refuses another thread.
    fn start(out: io::Result<impl Write + Send + 'static>) -> io::Result<Arc<Self>> {
        let (queue, lines) = sync_channel(LINES_QUEUED_MAX);
        let (lost, left_out) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let writer = Writer { out: out.ok(), lines, lost: lost.clone(), left_out: left_out.clone() };
        thread::Builder::new().name("log".into()).spawn(move || writer.run())?;
        let bucket = Mutex::new(GcraBucket::full(Instant::now()));
        Ok(Arc::new(Self { queue, bucket, lost, left_out }))
    }

    /// Puts a line into the queue, or loses and counts it.
    fn put(&self, line: &[u8]) {
        let line = match line {
            [start @ .., b'\n'] if start.len() >= LINE_MAX_BYTES => {
                [&start[..LINE_MAX_BYTES], b"\n"].concat()
            }
            whole => whole.to_vec(),
        };
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Puts a line into the queue unless there were too many in the last seconds.
    fn put_limited(&self, line: &[u8]) {
        if admits(&mut self.bucket.lock(), Instant::now()) {
            return self.put(line);
        }
        self.lost.fetch_add(1, Relaxed);
        if self.left_out.fetch_add(1, Relaxed) == 0 {
            let _ = self.queue.try_send(Entry::LeftOut); // A line wakes the thread if the queue is full.
        }
    }

    /// Waits until the queued lines are written, for [`FLUSH_TIMEOUT`] at most.
    fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.queue.try_send(Entry::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Takes one line from the bucket of the lines a second.
fn admits(bucket: &mut GcraBucket, now: Instant) -> bool {
    let cost = Duration::from_secs(1) / LINES_PER_S_MAX;
    bucket.take(cost, cost * LINES_BURST, now)
}

/// The thread's side of a [`Log`].
struct Writer<W> {
    out: Option<W>,
    lines: Receiver<Entry>,
    lost: Arc<AtomicU64>,
    left_out: Arc<AtomicU64>,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        let mut noted = Instant::now();
        loop {
            let noting = self.left_out.load(Relaxed) > 0;
            let entry = match noting {
                true => self.lines.recv_timeout(NOTE_PERIOD),
                false => self.lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match entry {
                Ok(Entry::Line(line)) => self.write(&line),
                Ok(Entry::Flush(written)) => drop(written.try_send(())),
                Ok(Entry::LeftOut) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if noting && noted.elapsed() >= NOTE_PERIOD {
                noted = Instant::now();
                let left_out = self.left_out.swap(0, Relaxed);
                // The note takes its turn in the queue, in the format of the log.
                tracing::warn!(
                    target: NOTE_TARGET,
                    "left out {left_out} log lines: more than {LINES_PER_S_MAX} a second"
                );
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        if self.out.as_mut().is_none_or(|out| out.write_all(line).is_err()) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Makes the writers of `tracing`, which give each line to the log as a whole.
struct ToLog(Arc<Log>);

struct LineOf<'a> {
    log: &'a Log,
    limited: bool,
}

impl<'a> MakeWriter<'a> for ToLog {
    type Writer = LineOf<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineOf { log: &self.0, limited: true }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Self::Writer {
        LineOf { log: &self.0, limited: *of.level() <= Level::INFO && of.target() != NOTE_TARGET }
    }
}

impl Write for LineOf<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.limited {
            self.log.put_limited(line)
        } else {
            self.log.put(line)
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer whose reader takes one line for each permit.
    struct Paused(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Paused {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn paused_reader_loses_lines_only() {
        const MORE: usize = 10;
        let (permits, permitted) = sync_channel(LINES_QUEUED_MAX + 2);
        let (read, reader) = sync_channel(LINES_QUEUED_MAX + 2);
        let log = Log::start(Ok(Paused(permitted, read))).expect("started");
        // One line is in the writer's hands, once it has taken it.
        log.put(b"first\n");
        permits.send(()).expect("it writes");
        assert_eq!(reader.recv().expect("written"), b"first\n");
        for _ in 0..LINES_QUEUED_MAX + 1 + MORE {
            log.put(b"line\n");
        }
        let lost = log.lost.load(Relaxed);
        assert!((MORE as u64..=MORE as u64 + 1).contains(&lost), "{lost}");
        for _ in 0..LINES_QUEUED_MAX {
            permits.send(()).expect("it writes");
            assert_eq!(reader.recv().expect("written"), b"line\n");
        }
    }

    #[test]
    fn failing_output_is_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for out in [Ok(Full), Err(io::ErrorKind::NotFound.into())] {
            let log = Log::start(out).expect("started");
            (0..3).for_each(|_| log.put(b"line\n"));
            log.flush();
            assert_eq!(log.lost.load(Relaxed), 3);
        }
    }

    #[test]
    fn leaves_out_lines_above_the_rate() {
        let begin = Instant::now();
        let mut bucket = GcraBucket::full(begin);
        let mut admitted = |seconds: u64| {
            let now = begin + Duration::from_secs(seconds);
            (0..2 * LINES_BURST).filter(|_| admits(&mut bucket, now)).count() as u32
        };
        let each_s = LINES_PER_S_MAX;
        assert_eq!([admitted(0), admitted(1), admitted(3)], [LINES_BURST, each_s, 2 * each_s]);

        let log = Log::start(Ok(io::sink())).expect("started");
        log.bucket.lock().charge(Duration::from_secs(3_600), Duration::from_secs(3_600), Instant::now());
        log.put_limited(b"line\n");
        assert_eq!(log.lost.load(Relaxed), 1, "a line that is left out is counted");
    }

    #[test]
    fn long_lines_are_cut() {
        let (permits, permitted) = sync_channel(1);
        let (read, reader) = sync_channel(1);
        let log = Log::start(Ok(Paused(permitted, read))).expect("started");
        log.put(&[&[b'x'; 2 * LINE_MAX_BYTES][..], b"\n"].concat());
        permits.send(()).expect("it writes");
        let line = reader.recv().expect("written");
        assert_eq!((line.len(), line.last()), (LINE_MAX_BYTES + 1, Some(&b'\n')));
    }
}
