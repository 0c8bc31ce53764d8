//! A world: it is set up, stepped through while [`Entropy`] last, calmed down, and ended. Nothing in it waits for anything
//! real.

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
    Outcome, Violation,
    entropy::Entropy,
    oracle::Oracle,
    path::{DELAY_MAX, path},
    slot::{Greeting, Slot},
    trace::Trace,
};

/// Players at the same time at most.
const SLOTS_MAX: u8 = 10;
/// A timer of tokio's is this much late at most.
const TICK: Duration = Duration::from_millis(1);
/// What the server gives itself for goodbyes, twice.
const CLOSING_MAX: Duration = Duration::from_secs(4);
/// What the world waits for between steps, in ms.
const PAUSES_MS: [u64; 16] = [0, 0, 0, 0, 1, 1, 2, 5, 10, 16, 16, 30, 50, 100, 400, 1_000];
/// Longer than any idle timeout. Rare: a byte of 255.
const LONG_PAUSE: Duration = Duration::from_secs(12);
/// Itself, and one that accepts.
const SERVER_TASKS: usize = 2;
/// Tries that a last move has: each correction takes one.
const LAST_MOVES: usize = 3;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The world's time, from a second after nothing. It needs the world's runtime.
fn simulated_us() -> u64 {
    BEGAN.get().map_or(0, |began| 1_000_000 + began.elapsed().as_micros() as u64)
}

/// Runs a world to its end.
pub(crate) fn run(mut entropy: Entropy<'_>, print: bool) -> Result<Outcome, Violation> {
    let mut runtime = Builder::new_current_thread();
    // A world without sockets needs no reactor, and its clock only jumps.
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Violation(format!("no runtime: {error}")))?;
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
    /// No update is lost any more.
    calm: Arc<AtomicBool>,
    slots: Vec<Option<Slot>>,
    /// By place: the newest connection of its player, if it had one, and those that it gave up while nothing that it sent
    /// arrived. What they hold back arrives when the place's path heals.
    newest: Vec<Option<usize>>,
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
            // A world's connections come from one address, and within moments. `server/admission.rs` tests this limit.
            connections_per_address_per_s: u32::MAX,
            matches_max: entropy.choose(&[500, 500, slots / 2, 1]),
            messages_per_s_max: entropy.choose(&[1_200, 60]),
            drain_timeout: entropy.choose(&[Duration::from_secs(10), Duration::from_secs(1)]),
            resume_grace: Duration::from_secs(entropy.choose(&[15, 4, 1, 0])),
            ..Config::default()
        };
        let options = Options::default();
        // A keep-alive on its way when the player is lost, the timeout, and two beats of its clock.
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

    async fn step(&mut self, entropy: &mut Entropy<'_>) {
        let place = usize::from(entropy.byte()) % self.slots.len();
        let (what, how, pause) = (entropy.byte(), entropy.byte(), entropy.byte());
        if self.slots[place].as_ref().is_none_or(Slot::is_over) {
            self.connect(place, what, how);
        } else if let Some(slot) = &mut self.slots[place] {
            let what = what % 64;
            self.oracle
                .state()
                .trace
                .note(clock::now_us(), format_args!("the world: {what} {how} at connection {}", slot.number));
            match what {
                0..52 => {
                    if let Some(player) = slot.player() {
                        player.act(what, how, self.config.messages_per_s_max);
                    }
                }
                52 => self.give_up(place),
                53 => slot.vanish(&self.oracle, true),
                54 => slot.vanish(&self.oracle, false),
                55..=57 => slot.silence(&self.oracle, how % 3 != 1, how % 3 != 0),
                58..=60 => self.heal(place),
                61 | 62 => slot.sleep(&self.oracle, what == 61),
                _ if how < 16 => self.drain(),
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

    /// Most say hello and join at once, half of them with one of three codes; or come back, if they lost a match.
    fn connect(&mut self, place: usize, what: u8, how: u8) {
        self.give_up(place);
        // Now and then somebody shows the token of another.
        let thief = what >= 250;
        let loser = if thief { (place + 1) % self.slots.len() } else { place };
        let lost = self.newest[loser].and_then(|number| self.oracle.state().models[number].resume_ticket());
        let greeting = match what {
            0..8 => Greeting::Mute,
            8..16 => Greeting::Hello,
            64.. if lost.is_some() => Greeting::Back(what),
            _ => Greeting::Join((what % 8).saturating_sub(4)),
        };
        let from = SocketAddr::from((Ipv4Addr::new(10, 0, 0, place as u8 % 3), 1_000));
        let seed = self.links.len() as u64 * 256 + u64::from(what);
        let path = path(how, seed, &self.calm);
        let bytes = self.payload_max_bytes;
        let slot = Slot::connect(&self.network, &self.oracle, from, path, greeting, lost, bytes);
        self.links.push(slot.link.clone());
        self.newest[place] = Some(slot.number);
        self.slots[place] = Some(slot);
    }

    /// The connection is dropped with its slot.
    fn give_up(&mut self, place: usize) {
        if let Some(slot) = self.slots[place].take().filter(|slot| slot.up_silent) {
            self.given_up[place].push(slot.number);
        }
    }

    /// What a place's connections send arrives again, that of given up ones, too.
    fn heal(&mut self, place: usize) {
        if let Some(slot) = &mut self.slots[place] {
            slot.silence(&self.oracle, false, false);
        }
        for number in self.given_up[place].drain(..) {
            self.links[number].silence(Side::Client, false);
            let mut state = self.oracle.state();
            // What it held back is heard now, and then nothing more.
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
            self.oracle.state().violated(format!("what {} is told waits for nothing", slot.number));
        }
    }

    /// Everything heals, everybody agrees and moves once more, and all are gone.
    async fn end(mut self, entropy: &mut Entropy<'_>) -> Result<Outcome, Violation> {
        self.calm.store(true, Relaxed);
        for place in 0..self.slots.len() {
            self.heal(place);
        }
        for slot in self.slots.iter_mut().flatten() {
            slot.sleep(&self.oracle, false);
        }
        self.settle().await;
        self.all_hear_of_it().await;
        // Not all go in the same way.
        for place in &mut self.slots {
            let Some(slot) = place else { continue };
            match (entropy.byte() % 3, slot.player()) {
                (0, Some(player)) => player.goodbye(),
                (1, _) => slot.vanish(&self.oracle, false),
                _ => *place = None,
            }
        }
        sleep(DELAY_MAX).await;
        self.slots.clear();
        self.settle().await;
        let oracle = self.oracle.clone();
        let counters = self.nothing_is_left().await;
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

    /// Until everybody who is lost is known to be, nobody's seat is kept any more, and all have heard of it.
    async fn settle(&self) {
        sleep(DELAY_MAX + self.options.idle_timeout + self.options.keep_alive).await;
        if self.observer.census().away > 0 {
            sleep(self.config.resume_grace + TICK).await;
        }
        sleep(DELAY_MAX).await;
        self.check();
    }

    /// Players and server agree on who plays whom, and the last move of each arrives.
    async fn all_hear_of_it(&mut self) {
        let agreed = self.oracle.state().agree_with_players();
        let pairs = match agreed {
            Ok(pairs) => pairs,
            Err(what) => return self.oracle.state().violated(what),
        };
        for slot in self.slots.iter().flatten().filter(|slot| !slot.is_over()) {
            let late = [Side::Client, Side::Server].map(|side| slot.link.flow(side, Lane::State).waiting);
            if late != [0, 0] {
                self.oracle.state().violated(format!("updates from and to {} wait: {late:?}", slot.number));
            }
        }
        for mover in pairs.into_iter().flatten() {
            let player = self.slots.iter().flatten().find(|slot| slot.number == mover);
            let Some(player) = player.and_then(Slot::player) else { continue };
            // A move that it forged may count, and then those that it numbers rightly come too late.
            if self.oracle.state().models[mover].offended {
                continue;
            }
            let mut arrived = false;
            for _ in 0..LAST_MOVES {
                let Some(seq) = player.walk(0) else { break };
                sleep(2 * DELAY_MAX + 4 * TICK).await;
                arrived = self.oracle.state().is_told(mover, seq);
                if arrived {
                    break;
                }
            }
            if !arrived {
                self.oracle.state().violated(format!("the last move of {mover} did not arrive"));
            }
        }
    }

    /// Ends the server. Sessions, seats, tasks and senders must be gone.
    async fn nothing_is_left(self) -> Option<Snapshot> {
        let Self { oracle, network, observer, serving, shutdown, links, .. } = self;
        let violated = |what: String| oracle.state().violated(what);
        let census = observer.census();
        let Census { handshakes, addresses, connections, waiting, matches, .. } = &census;
        if !connections.is_empty() || [*handshakes, *addresses, *waiting, *matches] != [0; 4] {
            violated(format!("something is left over: {census:?}"));
        }
        let held = |sides: &[Side]| links.iter().position(|link| sides.iter().any(|side| link.held(*side)));
        if self.drained.is_none() {
            let tasks = Handle::current().metrics().num_alive_tasks();
            if tasks != SERVER_TASKS {
                violated(format!("{tasks} tasks are left over, of {SERVER_TASKS}"));
            }
            if let Some(number) = held(&[Side::Server]) {
                violated(format!("the server holds on to connection {number}"));
            }
        }
        let since = self.drained.unwrap_or_else(Instant::now);
        shutdown.cancel();
        let at_most = (self.config.drain_timeout + CLOSING_MAX + TICK).saturating_sub(since.elapsed());
        let counters = timeout(at_most, serving).await;
        drop((network, observer));
        if let Some(number) = held(&[Side::Client, Side::Server]) {
            violated(format!("somebody holds on to connection {number}"));
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
