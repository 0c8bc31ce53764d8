//! A counting allocator: the system's allocator with counters that stay off until a process turns
//! them on.
//!
//! Only servers that a bench starts for it count, so that no time figure includes the counting. On
//! demand the allocator also tells which code allocates, which is slow: [`blame`].

use std::{
    alloc::{GlobalAlloc, Layout, System},
    backtrace::Backtrace,
    cell::Cell,
    fmt,
    str::FromStr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes in use. Wraps below zero while memory from before the counting is freed.
static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);

/// Whether each allocation is attributed to code.
static BLAMING: AtomicBool = AtomicBool::new(false);
/// Allocations for which this workspace's code is nearer on the stack than any library's.
static OURS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is attributing an allocation. That allocates, too, and is not counted.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Source paths of code that only passes an allocation on: the standard library, containers, and
/// this file.
const GO_BETWEENS: [&str; 5] = ["/rustc/", "/library/", "/hashbrown-", "/bytes-", "allocations.rs"];
/// Name prefixes of the same code, for frames without a known source.
const GO_BETWEENS_BY_NAME: [&str; 4] = ["std::", "core::", "alloc::", "__r"];
/// The folder in which cargo keeps the sources of libraries.
const LIBRARIES: &str = "/registry/src/";

/// The memory that a process has allocated since it began to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Number of allocations and growths.
    pub allocations: u64,
    /// Number of those by this workspace's code and not by a library's, since [`blame`].
    pub ours: u64,
    /// Memory in use, in bytes.
    pub live_bytes: u64,
}

impl Heap {
    /// Starts the counting in this process.
    pub fn count() {
        COUNTING.store(true, Relaxed);
    }

    /// Returns the counts.
    pub fn now() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Relaxed),
            ours: OURS.load(Relaxed),
            live_bytes: LIVE_BYTES.load(Relaxed),
        }
    }
}

/// Starts to attribute each allocation to code, by its stack: a hundred times as slow as to count
/// it.
pub fn blame() {
    BLAMING.store(true, Relaxed);
}

fn look() {
    // The panic hook holds a lock that reading the stack takes, too.
    if std::thread::panicking() {
        return;
    }
    LOOKING.set(true);
    let stack = Backtrace::force_capture().to_string();
    if asked_by_us(&stack) {
        OURS.fetch_add(1, Relaxed);
    }
    if std::env::var_os("NETDUEL_BLAME").is_some() {
        eprintln!("ours: {}\n{stack}", asked_by_us(&stack));
    }
    LOOKING.set(false);
}

/// Whether the innermost frame that does more than pass an allocation on is this workspace's. A
/// frame is `  12: name`, and where its source is known, `at path:line:column` follows on the next
/// line. The path decides: the names of inlined functions are cut short.
fn asked_by_us(stack: &str) -> bool {
    let mut lines = stack.lines().map(str::trim_start).peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = line.split_once(": ") else { continue };
        let path = lines.next_if(|next| next.starts_with("at "));
        let (is_go_between, is_ours) = match path {
            Some(path) => (GO_BETWEENS.iter().any(|it| path.contains(it)), !path.contains(LIBRARIES)),
            None => {
                let name = name.trim_start_matches(['<', '&', '*', '[', '(']);
                let is_go_between = GO_BETWEENS_BY_NAME.iter().any(|it| name.starts_with(it));
                (is_go_between, name.starts_with("netduel"))
            }
        };
        if !is_go_between {
            return is_ours;
        }
    }
    false
}

/// Three numbers, in the form in which one process sends them to another.
impl fmt::Display for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.allocations, self.ours, self.live_bytes)
    }
}

impl FromStr for Heap {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [allocations, ours, live_bytes] = numbers[..] else {
            anyhow::bail!("expected three numbers, got '{line}'")
        };
        Ok(Self { allocations, ours, live_bytes })
    }
}

struct Counting;

fn note(allocated: usize, freed: usize, calls: u64) {
    if COUNTING.load(Relaxed) && !LOOKING.get() {
        ALLOCATIONS.fetch_add(calls, Relaxed);
        LIVE_BYTES.fetch_add((allocated as u64).wrapping_sub(freed as u64), Relaxed);
        if calls > 0 && BLAMING.load(Relaxed) {
            look();
        }
    }
}

// An allocator is unsafe by its nature; each call passes its arguments on unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0, 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0, 1);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size(), 1);
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(0, layout.size(), 0);
        unsafe { System.dealloc(memory, layout) }
    }
}
