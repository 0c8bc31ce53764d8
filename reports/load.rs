//! The load: pairs of headless players in a process of their own. Names no transport; what each player does is `duty.rs`.
//!
//! The plan comes as JSON on standard input; what happens goes out as JSON lines, so that the harness can look at the
//! server exactly while the window is open.

use std::{
    collections::HashMap,
    io::{BufRead, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use netduel_client::{
    Event, PlayError, Player, PlayerConfig,
    stats::{MoveStats, Samples},
};
use netduel_protocol::clock;
use netduel_transport::{Options, PathStats, Trust};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    carrier::Carrier,
    connects::{self, Connects},
    cpus,
    duty::{Duty, LoadPlayer},
    scenario::{Remote, Workload},
};

/// How long pairing may take in all. Hundreds of TLS handshakes on two cores take a second.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(30);
/// Pairs that connect at once. A server's UDP socket holds 90 of QUIC's first packets by the system's default, and a loss
/// among them costs a second: 300 at once did not all get through in the five that a handshake may take.
const PAIRS_JOINING_MAX: usize = 32;

/// Which server is believed to be the right one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trusted {
    /// The one with this fingerprint.
    Pin(String),
    /// One with a certificate that these certificates, of a file, speak for.
    Ca(PathBuf),
    /// None is known: enough for transports that do not encrypt.
    Nobody,
}

impl From<&Remote> for Trusted {
    fn from(remote: &Remote) -> Self {
        match (&remote.pin, &remote.ca) {
            (Some(pin), _) => Self::Pin(pin.clone()),
            (None, Some(ca)) => Self::Ca(ca.clone()),
            (None, None) => Self::Nobody,
        }
    }
}

impl Trusted {
    /// What a client needs for that; `None` where nobody is known.
    ///
    /// # Errors
    /// A pin or a file that is none.
    pub fn trust(&self) -> anyhow::Result<Option<Trust>> {
        Ok(match self {
            Self::Pin(pin) => Some(Trust::pin(pin.parse()?)),
            Self::Ca(file) => Some(Trust::from_file(file)?),
            Self::Nobody => None,
        })
    }
}

/// How often a player tries to connect: on a lossy link all first packets of a handshake may meet bad periods.
const CONNECT_ATTEMPTS_MAX: u32 = 3;

/// What the players are to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Play, or come and go.
    pub workload: Workload,
    /// The processor to run on; any without it.
    pub cpu: Option<usize>,
    /// Where the server listens.
    pub addresses: HashMap<Carrier, SocketAddr>,
    /// Which server is the right one.
    pub trusted: Trusted,
    /// What carries the moves of both players of each match.
    pub pairs: Vec<[Carrier; 2]>,
    /// Moves per second and player; or how often a second each pair comes and goes.
    pub rate_hz: u32,
    /// In a closed loop, moves under way in each match; 0 in an open one, at that rate.
    pub in_flight: u32,
    /// Bytes carried with each move on top of the position.
    pub payload_bytes: u32,
    /// Time before the window, in ms.
    pub warmup_ms: u64,
    /// The window, in ms.
    pub duration_ms: u64,
    /// Pings per second and player; each must be answered.
    pub pings_hz: u32,
    /// Which paths the players walk, and when in its period each sends.
    pub seed: u64,
    /// Settings of the connections.
    pub options: Options,
}

/// What the players tell while they play.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadEvent {
    /// Everybody is paired and connected; the warm-up begins.
    Paired,
    /// The window is open.
    WindowOpen,
    /// A second of the window is over.
    Tick,
    /// The window is closed.
    WindowClosed,
    /// The end.
    Done(Box<LoadResult>),
}

/// What the players saw within the window, all of them together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadResult {
    /// Of the moves received.
    pub stats: MoveStats,
    /// Moves sent.
    pub sent: u64,
    /// Moves replaced by a newer one before they left the player.
    pub superseded: u64,
    /// Moves the server put back. The players keep to the rules, so there should be none.
    pub corrected: u64,
    /// How late after its intended time each move was handed to the transport.
    pub lateness: Samples,
    /// How often a closed loop had lost its moves and was begun again.
    pub stalls: u64,
    /// Bytes the players sent, headers included, by the transports' own count; `None` where they do not count.
    pub sent_bytes: Option<u64>,
    /// Bytes the players received.
    pub received_bytes: Option<u64>,
    /// Packets the players sent.
    pub sent_packets: Option<u64>,
    /// Packets the players received.
    pub received_packets: Option<u64>,
    /// Packets that the players' transports sent again or declared lost.
    pub lost_packets: Option<u64>,
    /// Pings sent over the whole run.
    pub pings: u64,
    /// Pings answered, in order.
    pub pongs: u64,
    /// What one player's transport says of itself at the end.
    pub path: PathStats,
    /// Where players came and went.
    pub connects: Option<Connects>,
}

/// Reads a plan from standard input and carries it out with players of ours.
///
/// # Errors
/// Who could not connect, pair or play, and why.
pub fn run() -> anyhow::Result<()> {
    carry_out(async |plan| match plan.workload {
        Workload::Moves => play(plan, pair_all(plan)).await,
        Workload::Connects => connects::play(plan).await,
    })
}

/// The same with other players than ours: `connect` makes those of each match next to each other, in the order of the plan.
///
/// # Errors
/// Who could not connect or play, and why.
pub fn run_with<P: LoadPlayer>(
    connect: impl AsyncFnOnce(&LoadPlan) -> anyhow::Result<Vec<P>>,
) -> anyhow::Result<()> {
    carry_out(async |plan| play(plan, connect(plan)).await)
}

fn carry_out(play: impl AsyncFnOnce(&LoadPlan) -> anyhow::Result<LoadResult>) -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let plan: LoadPlan = serde_json::from_str(&line).context("no plan on standard input")?;
    if let Some(cpu) = plan.cpu {
        cpus::bind(cpu)?;
    }
    netduel_server::cli::prepare_descriptors(2 * plan.pairs.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(play(&plan))?;
    tell(&LoadEvent::Done(Box::new(result)))
}

pub(crate) fn tell(event: &LoadEvent) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(event)?)?;
    Ok(stdout.flush()?)
}

/// Lets players play, and tells of it on standard output.
async fn play<P: LoadPlayer>(
    plan: &LoadPlan,
    connect: impl Future<Output = anyhow::Result<Vec<P>>>,
) -> anyhow::Result<LoadResult> {
    let players = tokio::time::timeout(PAIRING_TIMEOUT, connect)
        .await
        .with_context(|| format!("not everybody was paired within {PAIRING_TIMEOUT:?}"))??;
    tell(&LoadEvent::Paired)?;

    let start_us = clock::now_us();
    let open_us = start_us + plan.warmup_ms * 1_000;
    let close_us = open_us + plan.duration_ms * 1_000;
    let everybody = players.len() as u64;
    let all_done = Arc::new(tokio::sync::Barrier::new(players.len()));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, player) in players.into_iter().enumerate() {
        let duty = Duty::new(plan, start_us, number as u64, everybody, all_done.clone());
        tasks.spawn(duty.carry_out(player));
    }
    let mut results = Vec::new();
    announce(open_us, close_us, &mut tasks, &mut results).await?;
    while let Some(ended) = tasks.join_next().await {
        results.push(ended??);
    }
    results.into_iter().reduce(LoadResult::merge).context("nobody played")
}

/// Tells when the window opens, ticks and closes: by the clock, not by the players, who have better things to do.
pub(crate) async fn announce(
    open_us: u64,
    close_us: u64,
    tasks: &mut tokio::task::JoinSet<anyhow::Result<LoadResult>>,
    results: &mut Vec<LoadResult>,
) -> anyhow::Result<()> {
    const TICK_US: u64 = 1_000_000;
    let mut due_us = open_us;
    loop {
        let wait = Duration::from_micros(due_us.saturating_sub(clock::now_us()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Some(ended) = tasks.join_next() => {
                results.push(ended??);
                ensure!(clock::now_us() >= close_us, "a player ended before the window did");
                continue;
            }
        }
        match due_us {
            _ if due_us == close_us => return tell(&LoadEvent::WindowClosed),
            _ if due_us == open_us => tell(&LoadEvent::WindowOpen)?,
            _ => tell(&LoadEvent::Tick)?,
        }
        due_us = (due_us + TICK_US).min(close_us);
    }
}

/// Many connect at once: one after another, the handshakes of a link with a long round trip would take minutes.
async fn pair_all(plan: &LoadPlan) -> anyhow::Result<Vec<Player>> {
    let mut joining = tokio::task::JoinSet::new();
    let room = Arc::new(tokio::sync::Semaphore::new(PAIRS_JOINING_MAX));
    for [first, second] in plan.configs()? {
        let room = room.clone();
        joining.spawn(async move {
            let _place = room.acquire().await?;
            tokio::try_join!(join_match(&first), join_match(&second))
        });
    }
    let mut players = Vec::with_capacity(2 * joining.len());
    while let Some(pair) = joining.join_next().await {
        let (first, second) = pair??;
        players.extend([first, second]);
    }
    // In the order of their matches, not of their luck.
    players
        .sort_by_key(|player| player.current().map(|current| (current.started.game, current.started.player)));
    // Bytes that do not repeat, should anything under way compress.
    let mut payload = vec![0; plan.payload_bytes as usize];
    ChaCha8Rng::seed_from_u64(plan.seed).fill_bytes(&mut payload);
    for player in &mut players {
        player.set_payload(&payload)?;
    }
    Ok(players)
}

impl LoadPlan {
    /// Where the server listens for what a carrier carries.
    ///
    /// # Errors
    /// It does not.
    pub fn address(&self, carrier: Carrier) -> anyhow::Result<SocketAddr> {
        let addr = self.addresses.get(&carrier).copied();
        addr.with_context(|| format!("the server does not listen for {carrier}"))
    }

    /// Both players of each pair; those of one pair have a name in common.
    pub(crate) fn configs(&self) -> anyhow::Result<Vec<[PlayerConfig; 2]>> {
        let trust = self.trusted.trust()?;
        // Other players on the same server have other names.
        let run = std::process::id();
        let config = |number: usize, carrier: Carrier| -> anyhow::Result<PlayerConfig> {
            let addr = self.address(carrier)?;
            let kind = carrier.kind().with_context(|| format!("{carrier} has players of its own"))?;
            Ok(PlayerConfig {
                addr,
                server_name: addr.ip().to_string(),
                kind,
                trust: trust.clone(),
                options: self.options.clone(),
                name: format!("load {run} {number}"),
                period_us: 1_000_000 / u64::from(self.rate_hz.max(1)),
            })
        };
        let both = |(number, kinds): (usize, &[Carrier; 2])| -> anyhow::Result<_> {
            Ok([config(number, kinds[0])?, config(number, kinds[1])?])
        };
        self.pairs.iter().enumerate().map(both).collect()
    }
}

/// Connects, and meets the other player of the same name.
pub(crate) async fn join_match(config: &PlayerConfig) -> anyhow::Result<Player> {
    let mut attempt = 1;
    let mut player = loop {
        match Player::connect(config).await {
            Ok(player) => break player,
            // The server refuses for a reason that another attempt does not change.
            Err(error @ (PlayError::Refused { .. } | PlayError::BadServer(_))) => return Err(error.into()),
            Err(error) if attempt == CONNECT_ATTEMPTS_MAX => return Err(error.into()),
            Err(_) => attempt += 1,
        }
    };
    // A connection that is lost spoils what is measured.
    player.set_reconnect_targets(Vec::new());
    player.join(Some(&config.name))?;
    loop {
        match player.next_event().await? {
            Event::Started(_) => return Ok(player),
            Event::Waiting => {}
            other => bail!("{other:?} before the start"),
        }
    }
}

impl LoadResult {
    /// Of these and of other players.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        let add =
            |sum: &mut Option<u64>, count: Option<u64>| *sum = sum.zip(count).map(|(sum, count)| sum + count);
        self.stats.merge(&other.stats);
        self.lateness.merge(&other.lateness);
        self.sent += other.sent;
        self.superseded += other.superseded;
        self.corrected += other.corrected;
        self.stalls += other.stalls;
        self.pings += other.pings;
        self.pongs += other.pongs;
        add(&mut self.sent_bytes, other.sent_bytes);
        add(&mut self.received_bytes, other.received_bytes);
        add(&mut self.sent_packets, other.sent_packets);
        add(&mut self.received_packets, other.received_packets);
        add(&mut self.lost_packets, other.lost_packets);
        if let (Some(connects), Some(more)) = (&mut self.connects, &other.connects) {
            connects.merge(more);
        }
        self
    }
}
