//! A world: sets up the server and its slots, runs steps while [`Entropy`] lasts, calms the network
//! and ends the server.
//!
//! The world never waits for real time.

use std::{
    cell::Cell,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use netduel_protocol::clock;
use netduel_server::{Census, Config, Observer, RelayPolicy, Server, Snapshot};
use netduel_transport::{
    Lane, Options,
    simulation::{Link, Network, Side, network},
};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    entropy::Entropy,
    oracle::Oracle,
    outcome::{Outcome, Violation},
    path::{DELAY_MAX, path},
    slot::{Greeting, Slot},
    trace::Trace,
};

/// The largest number of concurrent players.
const SLOTS_MAX: u8 = 10;
/// The largest lateness of a tokio timer.
const TICK: Duration = Duration::from_millis(1);
/// Twice the time that the server allows itself for closing connections.
const CLOSING_MAX: Duration = Duration::from_secs(4);
/// The pauses between steps, in ms.
const PAUSES_MS: [u64; 16] = [0, 0, 0, 0, 1, 1, 2, 5, 10, 16, 16, 30, 50, 100, 400, 1_000];
/// A pause longer than any idle timeout. It is rare: a byte of 255 selects it.
const LONG_PAUSE: Duration = Duration::from_secs(12);
/// The number of tasks of an idle server: itself, and those that accept, keep deadlines and watch
/// memory.
const SERVER_TASKS: usize = 4;
/// The number of attempts for a last move. Each correction takes one.
const LAST_MOVES: usize = 3;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Returns the world's time in µs, which starts at one second. It needs the world's runtime.
fn simulated_us() -> u64 {
    BEGAN.get().map_or(0, |began| 1_000_000 + began.elapsed().as_micros() as u64)
}

/// Runs a world to its end.
pub(crate) fn run(mut entropy: Entropy<'_>, print: bool) -> Result<Outcome, Violation> {
    let mut runtime = Builder::new_current_thread();
    // A world without sockets needs no reactor, and its paused clock only jumps.
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Violation(format!("cannot create a runtime: {error}")))?;
    runtime.block_on(async {
        BEGAN.set(Some(Instant::now()));
        clock::simulate(simulated_us);
        let mut world = World::new(&mut entropy, print);
        while entropy.next_step() && world.oracle.state().violation().is_none() {
            world.step(&mut entropy).await;
        }
        world.end(&mut entropy).await
    })
}

struct World {
    oracle: Arc<Oracle>,
    network: Network,
    observer: Observer,
    shutdown: CancellationToken,
    serving: JoinHandle<Snapshot>,
    payload_max_bytes: usize,
    config: Config,
    options: Options,
    /// Whether updates are no longer lost.
    calm: Arc<AtomicBool>,
    slots: Vec<Option<Slot>>,
    /// The newest connection of each slot, if there was one.
    newest: Vec<Option<usize>>,
    /// The connections of each slot that were dropped while silenced. Their held-back messages
    /// arrive when the slot's path heals.
    given_up: Vec<Vec<usize>>,
    links: Vec<Arc<Link>>,
    drained: Option<Instant>,
}

impl World {
    fn new(entropy: &mut Entropy<'_>, print: bool) -> Self {
        let slots = 2 + usize::from(entropy.byte() % (SLOTS_MAX - 1));
        let config = Config {
            relay: entropy.choose(&[RelayPolicy::Other, RelayPolicy::Other, RelayPolicy::Both]),
            connections_max: entropy.choose(&[1_000, 1_000, slots - 1]),
            connections_per_address_max: entropy.choose(&[128, 128, 128, 2]),
            // A world's connections come from one address within moments. `server/admission.rs`
            // tests this limit.
            connections_per_address_per_s: u32::MAX,
            matches_max: entropy.choose(&[500, 500, slots / 2, 1]),
            messages_per_s_max: entropy.choose(&[1_200, 60]),
            bytes_per_s_max: u32::MAX, // `server/admission/quota.rs` tests it.
            drain_timeout: entropy.choose(&[Duration::from_secs(10), Duration::from_secs(1)]),
            resume_grace: Duration::from_secs(entropy.choose(&[15, 4, 1, 0])),
            memory_reading: || None, // The memory of this machine is no part of the world.
            // The players of a world leave and join within moments. `server/lobby/join_limits.rs`
            // tests these limits.
            early_leave: Duration::ZERO,
            code_guesses_per_address_per_s: u32::MAX,
            ..Config::default()
        };
        let options = Options::default();
        // The bound is the sum of a keep-alive in flight at the loss, the idle timeout, and two
        // ticks of the keep-alive clock.
        let silence_max = DELAY_MAX + options.idle_timeout + options.keep_alive / 2 + 4 * TICK;
        let oracle = Arc::new(Oracle::new(config.clone(), silence_max, Trace::new(print)));
        let (network, listener) = network(&options, oracle.clone());
        let server = Server::new(vec![listener], config.clone());
        let (observer, shutdown) = (server.observer(), CancellationToken::new());
        let serving = {
            let (serving, oracle) = (server.run(shutdown.clone()), oracle.clone());
            tokio::spawn(async move {
                let counters = serving.await;
                oracle.state().server_ended();
                counters
            })
        };
        Self {
            oracle,
            network,
            observer,
            shutdown,
            serving,
            payload_max_bytes: config.relay.payload_max_bytes(),
            config,
            options,
            calm: Arc::default(),
            slots: (0..slots).map(|_| None).collect(),
            newest: vec![None; slots],
            given_up: vec![Vec::new(); slots],
            links: Vec::new(),
            drained: None,
        }
    }

    /// Runs one step: a random action at a random slot, then a pause.
    async fn step(&mut self, entropy: &mut Entropy<'_>) {
        let place = usize::from(entropy.byte()) % self.slots.len();
        let (action, detail, pause) = (entropy.byte(), entropy.byte(), entropy.byte());
        if self.slots[place].as_ref().is_none_or(Slot::is_over) {
            self.connect(place, action, detail);
        } else if let Some(slot) = &mut self.slots[place] {
            let action = action % 64;
            self.oracle.state().trace.note(
                clock::now_us(),
                format_args!("the world: {action} {detail} at connection {}", slot.number),
            );
            match action {
                0..52 => {
                    if let Some(player) = slot.player() {
                        player.act(action, detail, self.config.messages_per_s_max);
                    }
                }
                52 => self.give_up(place),
                53 => slot.vanish(&self.oracle, true),
                54 => slot.vanish(&self.oracle, false),
                55..=57 => slot.silence(&self.oracle, detail % 3 != 1, detail % 3 != 0),
                58..=60 => self.heal(place),
                61 | 62 => slot.sleep(&self.oracle, action == 61),
                _ if detail < 16 => self.drain(),
                _ => {}
            }
        }
        match pause {
            255 => sleep(LONG_PAUSE).await,
            _ => match PAUSES_MS[usize::from(pause) % PAUSES_MS.len()] {
                0 if pause < 128 => {}
                0 => tokio::task::yield_now().await,
                pause_ms => sleep(Duration::from_millis(pause_ms)).await,
            },
        }
        self.check();
    }

    /// Connects a player to a slot. Most players say hello and join at once, half of them with one
    /// of three match codes. A player with a lost match mostly resumes it.
    fn connect(&mut self, place: usize, action: u8, detail: u8) {
        self.give_up(place);
        // Now and then a player presents the token of another player.
        let thief = action >= 250;
        let loser = if thief { (place + 1) % self.slots.len() } else { place };
        let mut lost = self.newest[loser].and_then(|number| self.oracle.state().models[number].resumable());
        if thief && let Some(lost) = &mut lost {
            lost.cheated = true;
        }
        let greeting = match action {
            0..8 => Greeting::Mute,
            8..16 => Greeting::Hello,
            64.. if lost.is_some() => Greeting::Resume(action),
            _ => Greeting::Join((action % 8).saturating_sub(4)),
        };
        let from = SocketAddr::from((Ipv4Addr::new(10, 0, 0, place as u8 % 3), 1_000));
        let seed = self.links.len() as u64 * 256 + u64::from(action);
        let path = path(detail, seed, &self.calm);
        let bytes = self.payload_max_bytes;
        let slot = Slot::connect(&self.network, &self.oracle, from, path, greeting, lost, bytes);
        self.links.push(slot.link.clone());
        self.newest[place] = Some(slot.number);
        self.slots[place] = Some(slot);
    }

    /// Drops the connection of a slot.
    fn give_up(&mut self, place: usize) {
        if let Some(slot) = self.slots[place].take().filter(|slot| slot.up_silent) {
            self.given_up[place].push(slot.number);
        }
    }

    /// Heals the paths of a slot's connections, including the dropped ones.
    fn heal(&mut self, place: usize) {
        if let Some(slot) = &mut self.slots[place] {
            slot.silence(&self.oracle, false, false);
        }
        for number in self.given_up[place].drain(..) {
            self.links[number].silence(Side::Client, false);
            let mut state = self.oracle.state();
            // The held-back messages arrive now, and nothing after them.
            state.lost(number, false);
            state.lost(number, true);
        }
    }

    fn drain(&mut self) {
        if self.drained.is_none() {
            self.drained = Some(Instant::now());
            self.oracle.state().draining = true;
            self.shutdown.cancel();
        }
    }

    fn check(&self) {
        self.oracle.state().check(&self.observer.census());
        for slot in self.slots.iter().flatten().filter(|slot| slot.link.is_unflushed(Side::Server)) {
            self.oracle
                .state()
                .violated(format!("messages to {} wait although nothing holds them back", slot.number));
        }
    }

    /// Ends the world: all paths heal, all players move once more, and all players leave.
    async fn end(mut self, entropy: &mut Entropy<'_>) -> Result<Outcome, Violation> {
        self.calm.store(true, Relaxed);
        for place in 0..self.slots.len() {
            self.heal(place);
        }
        for slot in self.slots.iter_mut().flatten() {
            slot.sleep(&self.oracle, false);
        }
        self.settle().await;
        self.check_agreement().await;
        // The players leave in different ways.
        for place in &mut self.slots {
            let Some(slot) = place else { continue };
            match (entropy.byte() % 3, slot.player()) {
                (0, Some(player)) => player.close(),
                (1, _) => slot.vanish(&self.oracle, false),
                _ => *place = None,
            }
        }
        sleep(DELAY_MAX).await;
        self.slots.clear();
        self.settle().await;
        let oracle = self.oracle.clone();
        let counters = self.end_server().await;
        let mut state = oracle.state();
        if let Some(counters) = &counters
            && let Err(what) = state.balance(counters)
        {
            state.violated(what);
        }
        match (state.violation(), counters) {
            (None, Some(counters)) => Ok(Outcome {
                trace_hash: state.trace.hash,
                events: state.trace.events,
                connections: state.models.len() as u64,
                simulated: Duration::from_micros(clock::now_us()),
                counters,
            }),
            (what, _) => Err(Violation(what.unwrap_or("the server did not end").to_owned())),
        }
    }

    /// Waits until the server detected all lost players, all kept seats expired, and all players
    /// were notified.
    async fn settle(&self) {
        sleep(DELAY_MAX + self.options.idle_timeout + self.options.keep_alive).await;
        if self.observer.census().away > 0 {
            sleep(self.config.resume_grace + TICK).await;
        }
        sleep(DELAY_MAX).await;
        self.check();
    }

    /// Checks that players and server agree on the running matches, and that the last move of each
    /// player arrives.
    async fn check_agreement(&mut self) {
        let agreed = self.oracle.state().agree_with_players();
        let pairs = match agreed {
            Ok(pairs) => pairs,
            Err(what) => return self.oracle.state().violated(what),
        };
        for slot in self.slots.iter().flatten().filter(|slot| !slot.is_over()) {
            let late = [Side::Client, Side::Server].map(|side| slot.link.flow(side, Lane::State).waiting);
            if late != [0, 0] {
                self.oracle
                    .state()
                    .violated(format!("updates from and to {} still wait: {late:?}", slot.number));
            }
        }
        for mover in pairs.into_iter().flatten() {
            let player = self.slots.iter().flatten().find(|slot| slot.number == mover);
            let Some(player) = player.and_then(Slot::player) else { continue };
            // A forged move may count. Moves with the right number then arrive too late.
            if self.oracle.state().models[mover].offended {
                continue;
            }
            let mut arrived = false;
            for _ in 0..LAST_MOVES {
                let Some(seq) = player.walk(0) else { break };
                sleep(2 * DELAY_MAX + 4 * TICK).await;
                arrived = self.oracle.state().has_received(mover, seq);
                if arrived {
                    break;
                }
            }
            if !arrived {
                self.oracle.state().violated(format!("the last move of {mover} did not arrive"));
            }
        }
    }

    /// Ends the server, and checks that no session, seat, task or sender is left.
    async fn end_server(self) -> Option<Snapshot> {
        let Self { oracle, network, observer, serving, shutdown, links, .. } = self;
        let violated = |what: String| oracle.state().violated(what);
        let census = observer.census();
        let Census { handshakes, addresses, connections, waiting, matches, .. } = &census;
        if !connections.is_empty() || [*handshakes, *addresses, *waiting, *matches] != [0; 4] {
            violated(format!("resources are left over: {census:?}"));
        }
        let held = |sides: &[Side]| links.iter().position(|link| sides.iter().any(|side| link.held(*side)));
        if self.drained.is_none() {
            let tasks = Handle::current().metrics().num_alive_tasks();
            if tasks != SERVER_TASKS {
                violated(format!("{tasks} tasks run, expected {SERVER_TASKS}"));
            }
            if let Some(number) = held(&[Side::Server]) {
                violated(format!("the server still holds connection {number}"));
            }
        }
        let since = self.drained.unwrap_or_else(Instant::now);
        shutdown.cancel();
        let at_most = (self.config.drain_timeout + CLOSING_MAX + TICK).saturating_sub(since.elapsed());
        let counters = timeout(at_most, serving).await;
        drop((network, observer));
        if let Some(number) = held(&[Side::Client, Side::Server]) {
            violated(format!("a task still holds connection {number}"));
        }
        for (number, link) in links.iter().enumerate() {
            for side in [Side::Client, Side::Server] {
                for flow in [Lane::Control, Lane::State].map(|lane| link.flow(side, lane)) {
                    if flow.sent != flow.delivered + flow.superseded + flow.lost + flow.waiting {
                        violated(format!("connection {number} from the {side:?}: {flow:?}"));
                    }
                }
            }
        }
        match counters {
            Ok(Ok(counters)) => return Some(counters),
            Ok(Err(panic)) => violated(format!("the server panicked: {panic}")),
            Err(_) => violated("the server did not end in time".into()),
        }
        None
    }
}
