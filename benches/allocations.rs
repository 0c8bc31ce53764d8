//! A counting allocator: the system's, with two counters that stand still until a process asks for them.
//!
//! Counted only in servers that are started for it, so that no figure of time pays for the counting. On demand it also
//! says whose code asked, which is slow: [`blame`].

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
/// Wraps below zero while what was there before the counting is freed.
static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);

/// Looks for whose code asks.
static BLAMING: AtomicBool = AtomicBool::new(false);
/// Allocations in whose way there was code of this workspace closer than any library's.
static OURS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Finding out whose an allocation is allocates, too.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Who only hands on what others ask for: the standard library, containers, and this file.
const GO_BETWEENS: [&str; 7] =
    ["std::", "core::", "alloc::", "hashbrown::", "bytes::", "__rust", "netduel_benches::allocations::"];

/// What a process has taken from its allocator since it began to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Times that memory was asked for, or asked to grow.
    pub allocations: u64,
    /// How many of them by this workspace's code and not by a library's, since [`blame`].
    pub ours: u64,
    /// What is in use now, in bytes.
    pub live_bytes: u64,
}

impl Heap {
    /// From now on this process counts.
    pub fn count() {
        COUNTING.store(true, Relaxed);
    }

    /// What was counted.
    pub fn now() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Relaxed),
            ours: OURS.load(Relaxed),
            live_bytes: LIVE_BYTES.load(Relaxed),
        }
    }
}

/// From now on it is found out whose each allocation is, by its stack: a hundred times as slow as to count it.
pub fn blame() {
    BLAMING.store(true, Relaxed);
}

fn look() {
    if LOOKING.replace(true) {
        return;
    }
    let stack = Backtrace::force_capture().to_string();
    // A frame is `  12: <path::Type as other::Trait>::function`, and a line that says where.
    let asked =
        stack.lines().filter_map(|line| line.trim_start().split_once(": ")).find_map(|(number, name)| {
            number.parse::<u32>().ok()?;
            let name = name.trim_start_matches(['<', '&', '*', '[', '(']);
            let is_go_between = GO_BETWEENS.iter().any(|prefix| name.starts_with(prefix));
            (!is_go_between).then(|| name.starts_with("netduel"))
        });
    if asked == Some(true) {
        OURS.fetch_add(1, Relaxed);
    }
    if std::env::var_os("NETDUEL_BLAME").is_some() {
        eprintln!("ours: {asked:?}\n{stack}");
    }
    LOOKING.set(false);
}

/// Three numbers, as one process tells them another.
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
            anyhow::bail!("'{line}' are not three numbers")
        };
        Ok(Self { allocations, ours, live_bytes })
    }
}

struct Counting;

fn note(allocated: usize, freed: usize, calls: u64) {
    if COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(calls, Relaxed);
        LIVE_BYTES.fetch_add((allocated as u64).wrapping_sub(freed as u64), Relaxed);
        if calls > 0 && BLAMING.load(Relaxed) {
            look();
        }
    }
}

// An allocator is unsafe by its nature; each call is handed on as it came.
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
