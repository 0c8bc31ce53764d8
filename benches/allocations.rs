//! A counting allocator: the system's, with two counters that stand still until a process asks for them.
//!
//! Counted only in servers that are started for it, so that no figure of time pays for the counting.

use std::{
    alloc::{GlobalAlloc, Layout, System},
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

/// What a process has taken from its allocator since it began to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Times that memory was asked for, or asked to grow.
    pub allocations: u64,
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
        Self { allocations: ALLOCATIONS.load(Relaxed), live_bytes: LIVE_BYTES.load(Relaxed) }
    }
}

/// Two numbers, as one process tells them another.
impl fmt::Display for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.allocations, self.live_bytes)
    }
}

impl FromStr for Heap {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let (allocations, live_bytes) =
            line.split_once(' ').ok_or_else(|| anyhow::anyhow!("'{line}' are not two numbers"))?;
        Ok(Self { allocations: allocations.parse()?, live_bytes: live_bytes.parse()? })
    }
}

struct Counting;

fn note(allocated: usize, freed: usize, calls: u64) {
    if COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(calls, Relaxed);
        LIVE_BYTES.fetch_add((allocated as u64).wrapping_sub(freed as u64), Relaxed);
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
