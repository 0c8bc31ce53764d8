//! Counts the instructions of a step by valgrind's callgrind. The counts are the same on a busy
//! machine as on a quiet one, so that a rise fails where time could only hint.
//!
//! The program of the bench runs itself again under callgrind, once for each step, which counts
//! inside `measured` and nowhere else. The limits stand in `instructions.txt`; [`update`] rewrites
//! the file.

use std::{fmt::Write, hint::black_box, process::Command};

use anyhow::{Context, ensure};
use netduel_protocol::{ClientMessage, MAX_MESSAGE_BYTES, Move, WayBudget, decode, encode, game::Position};
use netduel_transport::{Identity, Options, TransportKind, bench::Frames, bench::append_update};
use tokio_util::sync::CancellationToken;

use crate::{
    callgrind::{self, Counts},
    player::{self, Player},
    server::roomy,
};

/// The argument that makes a bench run one step.
const STEP: &str = "netduel-bench-step";
/// The repetitions of a step. Their frame is then below one instruction for each.
const REPEATS: u32 = 1_000;
/// Rises below this share pass: a patch of the compiler, another processor's `memcpy`.
const TOLERANCE: f64 = 0.05;
/// The committed counts.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

type Step = (&'static str, fn());

const STEPS: [Step; 6] = [
    ("encode a move", encode_a_move),
    ("decode a move", decode_a_move),
    ("check a move", check_a_move),
    ("frame a move", frame_a_move),
    ("unframe a move", unframe_a_move),
    ("relay a move in memory", relay_a_move),
];

/// The count of one step.
#[derive(Clone, Debug)]
pub struct Count {
    /// The step's name.
    pub step: &'static str,
    /// Instructions.
    pub instructions: u64,
    /// The limit, in instructions; `None` for a new step.
    pub budget: Option<u64>,
}

impl Count {
    /// Whether the step keeps its limit.
    pub fn holds(&self) -> bool {
        self.budget.is_some_and(|budget| self.instructions as f64 <= budget as f64 * (1.0 + TOLERANCE))
    }
}

/// Counts every step. Returns `None` without valgrind.
///
/// # Errors
/// Valgrind or the step failed.
pub fn count() -> anyhow::Result<Option<Vec<Count>>> {
    if !callgrind::installed() {
        return Ok(None);
    }
    let budgets = std::fs::read_to_string(BUDGET).unwrap_or_default();
    let budget = |step: &str| {
        let line = budgets.lines().find_map(|line| line.strip_suffix(step)?.strip_suffix(' '));
        line.and_then(|count| count.trim().parse().ok())
    };
    let count =
        |&(step, _): &Step| Ok(Count { step, instructions: under_callgrind(step)?, budget: budget(step) });
    STEPS.iter().map(count).collect::<anyhow::Result<_>>().map(Some)
}

/// Makes these counts the limits of the steps.
///
/// # Errors
/// The file cannot be written.
pub fn update(counts: &[Count]) -> anyhow::Result<()> {
    let mut text = String::new();
    for Count { step, instructions, .. } in counts {
        writeln!(text, "{instructions:>6} {step}")?;
    }
    std::fs::write(BUDGET, text).with_context(|| format!("cannot write {BUDGET}"))
}

fn under_callgrind(step: &str) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*instructions*measured*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args([STEP, step])
        .output()?;
    let told = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "'{step}' failed under valgrind: {told}");
    let total = Counts::read(&out)?.of("Ir")?;
    ensure!(total > 0, "callgrind did not find what to count in '{step}': {told}");
    Ok(total.div_ceil(u64::from(REPEATS)))
}

/// Runs a step if this process was started for one, and returns whether it did. Called first in the
/// `main` of a bench.
///
/// # Panics
/// If the step fails.
pub fn stepped() -> bool {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(STEP) {
        return false;
    }
    let wanted = args.next().expect("a step");
    let (_, step) = STEPS.iter().find(|(name, _)| *name == wanted).expect("one that there is");
    step();
    true
}

/// Runs the measured code. callgrind knows this function by its name.
#[inline(never)]
fn measured(step: &mut dyn FnMut()) {
    for _ in 0..REPEATS {
        step();
    }
    black_box(()); // Or it may become a jump, which callgrind does not see return.
}

/// Returns a move from the middle of a match.
pub fn a_move() -> Move {
    Move {
        match_id: 1_000,
        seq: 10_000,
        at_us: 166_000_000,
        position: Position { x: 120.0, y: 305.5 },
        ..Move::default()
    }
}

fn encoded() -> Vec<u8> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    encode(&ClientMessage::Move(a_move().into()), &mut buffer).expect("encodes").to_vec()
}

fn encode_a_move() {
    let (message, mut buffer) = (ClientMessage::Move(a_move().into()), [0; MAX_MESSAGE_BYTES]);
    measured(&mut || {
        black_box(encode(black_box(&message), black_box(&mut buffer)).map(<[u8]>::len)).expect("encodes");
    });
}

fn decode_a_move() {
    let bytes = encoded();
    measured(&mut || {
        black_box(decode::<ClientMessage>(black_box(&bytes))).expect("decodes");
    });
}

fn check_a_move() {
    let last = a_move();
    let next = Move { seq: last.seq + 1, at_us: last.at_us + 16_667, ..last };
    let mut way = WayBudget::default();
    measured(&mut || {
        let told = way.take(black_box(&last), black_box(&next), black_box(next.at_us));
        black_box(told).expect("legal");
    });
}

fn frame_a_move() {
    let (bytes, mut out) = (encoded(), Vec::new());
    append_update(&mut out, &bytes);
    measured(&mut || {
        out.clear();
        append_update(black_box(&mut out), black_box(&bytes));
    });
}

fn unframe_a_move() {
    let (bytes, mut out, mut frames) = (encoded(), Vec::new(), Frames::begin());
    append_update(&mut out, &bytes);
    let mut unframe = || {
        frames.arrive(black_box(&out));
        black_box(frames.next_payload()).expect("a frame").expect("a whole one");
    };
    unframe();
    measured(&mut unframe);
}

/// Relays moves from player to player through Netduel's server, in one thread and without a
/// network: the cost is Netduel's alone.
fn relay_a_move() {
    let (runtime, [mut mover, mut watcher]) = in_memory().expect("a match");
    measured(&mut || runtime.block_on(player::relay(&mut mover, &mut watcher)).expect("relayed"));
}

/// Starts a server and two players of a match in this thread, over the in-process transport.
///
/// # Errors
/// The reason why the players were not paired.
pub fn in_memory() -> anyhow::Result<(tokio::runtime::Runtime, player::Pair)> {
    let runtime = crate::runtime();
    let pair = runtime.block_on(async {
        let kind = TransportKind::Memory;
        let identity = Identity::generate(&["localhost".into()])?;
        let listener = kind.bind(([127, 0, 0, 1], 0).into(), &identity, &Options::default())?;
        let addr = listener.local_addr();
        drop(tokio::spawn(netduel_server::run(vec![listener], roomy(), CancellationToken::new())));
        let mut pair = [Player::connect_within(kind, addr).await?, Player::connect_within(kind, addr).await?];
        player::introduce(&mut pair).await?;
        anyhow::Ok(pair)
    })?;
    Ok((runtime, pair))
}
