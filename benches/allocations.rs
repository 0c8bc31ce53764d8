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
    /// Finding out whose an allocation is allocates, too, and that is not counted.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// Who only hands on what others ask for, by where its source lies: the standard library, containers, and this file.
const GO_BETWEENS: [&str; 5] = ["/rustc/", "/library/", "/hashbrown-", "/bytes-", "allocations.rs"];
/// The same by name, for frames of which no source is known.
const GO_BETWEENS_BY_NAME: [&str; 4] = ["std::", "core::", "alloc::", "__r"];
/// Where cargo keeps what is not ours.
const LIBRARIES: &str = "/registry/src/";

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
    // The panic hook holds a lock that a look at the stack takes, too.
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

/// Whether the innermost frame that is no go-between's is this workspace's. A frame is `  12: name`, and where its source
/// is known `at path:line:column` on the next line. The path decides: of what was inlined, the name is cut short.
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
    if COUNTING.load(Relaxed) && !LOOKING.get() {
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
