//! A world: it is set up, stepped through while [`Choices`] last, calmed down, and ended. Nothing in it waits for anything
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
    choices::Choices,
    ledger::Ledger,
    path::DELAY_MAX,
    player::Player,
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
pub(crate) fn run(mut choices: Choices<'_>, print: bool) -> Result<Outcome, Violation> {
    let mut runtime = Builder::new_current_thread();
    // A world without sockets needs no reactor, and its clock only jumps.
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Violation(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        BEGAN.set(Some(Instant::now()));
        clock::simulate(simulated_us);
        let mut world = World::new(&mut choices, print);
        while choices.step() && world.ledger.books().violation().is_none() {
            world.step(&mut choices).await;
        }
        world.end(&mut choices).await
    })
}

struct World {
    ledger: Arc<Ledger>,
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
    links: Vec<Arc<Link>>,
    drained: Option<Instant>,
}

impl World {
    fn new(choices: &mut Choices<'_>, print: bool) -> Self {
        let slots = 2 + usize::from(choices.byte() % (SLOTS_MAX - 1));
        let config = Config {
            relay: choices.one_of(&[RelayPolicy::Other, RelayPolicy::Other, RelayPolicy::Both]),
            connections_max: choices.one_of(&[1_000, 1_000, slots - 1]),
            connections_per_address_max: choices.one_of(&[128, 128, 128, 2]),
            // A world's connections come from one address, and within moments. `server/guards.rs` tests this limit.
            connections_per_address_per_s: u32::MAX,
            matches_max: choices.one_of(&[500, 500, slots / 2, 1]),
            messages_per_s_max: choices.one_of(&[4_000, 60]),
            // The ledger knows no seats that outlive a connection yet.
            resume_grace: Duration::ZERO,
            drain_timeout: choices.one_of(&[Duration::from_secs(10), Duration::from_secs(1)]),
            ..Config::default()
        };
        let options = Options::default();
        // A keep-alive on its way when the player is lost, the timeout, and two beats of its clock.
        let silence_max = DELAY_MAX + options.idle_timeout + options.keep_alive / 2 + 4 * TICK;
        let ledger = Arc::new(Ledger::new(config.clone(), silence_max, Trace::new(print)));
        let (network, listener) = network(&options, ledger.clone());
        let server = Server::new(vec![listener], config.clone());
        let (observer, shutdown) = (server.observer(), CancellationToken::new());
        let serving = {
            let (serving, ledger) = (server.run(shutdown.clone()), ledger.clone());
            tokio::spawn(async move {
                let counters = serving.await;
                ledger.books().server_ended();
                counters
            })
        };
        Self {
            ledger,
            network,
            observer,
            shutdown,
            serving,
            payload_max_bytes: config.relay.payload_max_bytes(),
            config,
            options,
            calm: Arc::default(),
            slots: (0..slots).map(|_| None).collect(),
            links: Vec::new(),
            drained: None,
        }
    }

    async fn step(&mut self, choices: &mut Choices<'_>) {
        let place = usize::from(choices.byte()) % self.slots.len();
        let (what, how, pause) = (choices.byte(), choices.byte(), choices.byte());
        if self.slots[place].as_ref().is_none_or(Slot::is_over) {
            self.connect(place, what, how);
        } else if let Some(slot) = &mut self.slots[place] {
            let what = what % 64;
            self.ledger
                .books()
                .trace
                .note(clock::now_us(), format_args!("the world: {what} {how} at connection {}", slot.number));
            match what {
                0..52 => {
                    if let Some(player) = slot.player() {
                        act(&player, what, how, self.config.messages_per_s_max);
                    }
                }
                52 => self.slots[place] = None, // The connection is dropped with it.
                53 => slot.vanish(&self.ledger, true),
                54 => slot.vanish(&self.ledger, false),
                55..=57 => slot.silence(&self.ledger, how % 3 != 1, how % 3 != 0),
                58..=60 => slot.silence(&self.ledger, false, false),
                61 | 62 => slot.sleep(&self.ledger, what == 61),
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

    /// Most say hello and join at once, half of them with one of three codes.
    fn connect(&mut self, place: usize, what: u8, how: u8) {
        let greeting = match what {
            0..8 => Greeting::Mute,
            8..16 => Greeting::Hello,
            _ => Greeting::Join((what % 8).saturating_sub(4)),
        };
        let from = SocketAddr::from((Ipv4Addr::new(10, 0, 0, place as u8 % 3), 1_000));
        let seed = self.links.len() as u64 * 256 + u64::from(what);
        let slot = Slot::connect(
            &self.network,
            &self.ledger,
            (how, seed),
            from,
            &self.calm,
            greeting,
            self.payload_max_bytes,
        );
        self.links.push(slot.link.clone());
        self.slots[place] = Some(slot);
    }

    fn drain(&mut self) {
        if self.drained.is_none() {
            self.drained = Some(Instant::now());
            self.ledger.books().draining = true;
            self.shutdown.cancel();
        }
    }

    fn check(&self) {
        self.ledger.books().check(&self.observer.census());
        for slot in self.slots.iter().flatten().filter(|slot| slot.link.is_unflushed(Side::Server)) {
            self.ledger.books().violated(format!("updates to {} wait for nothing", slot.number));
        }
    }

    /// Everything heals, everybody agrees and moves once more, and all are gone.
    async fn end(mut self, choices: &mut Choices<'_>) -> Result<Outcome, Violation> {
        self.calm.store(true, Relaxed);
        for slot in self.slots.iter_mut().flatten() {
            slot.silence(&self.ledger, false, false);
            slot.sleep(&self.ledger, false);
        }
        let settled = 2 * DELAY_MAX + self.options.idle_timeout + self.options.keep_alive;
        sleep(settled).await;
        self.check();
        self.all_hear_of_it().await;
        // Not all go in the same way.
        for place in &mut self.slots {
            let Some(slot) = place else { continue };
            match (choices.byte() % 3, slot.player()) {
                (0, Some(player)) => player.goodbye(),
                (1, _) => slot.vanish(&self.ledger, false),
                _ => *place = None,
            }
        }
        sleep(DELAY_MAX).await;
        self.slots.clear();
        sleep(settled).await;
        self.check();
        let ledger = self.ledger.clone();
        let counters = self.nothing_is_left().await;
        let mut books = ledger.books();
        if let Some(counters) = &counters
            && let Err(what) = books.balance(counters)
        {
            books.violated(what);
        }
        match (books.violation(), counters) {
            (None, Some(counters)) => Ok(Outcome {
                trace_hash: books.trace.hash,
                events: books.trace.events,
                connections: books.seats.len() as u64,
                simulated: Duration::from_micros(clock::now_us()),
                counters,
            }),
            (what, _) => Err(Violation(what.unwrap_or("the server did not end").to_owned())),
        }
    }

    /// Players and server agree on who plays whom, and the last move of each arrives.
    async fn all_hear_of_it(&mut self) {
        let agreed = self.ledger.books().agree_with_players();
        let pairs = match agreed {
            Ok(pairs) => pairs,
            Err(what) => return self.ledger.books().violated(what),
        };
        for slot in self.slots.iter().flatten().filter(|slot| !slot.is_over()) {
            let late = [Side::Client, Side::Server].map(|side| slot.link.flow(side, Lane::State).waiting);
            if late != [0, 0] {
                self.ledger.books().violated(format!("updates from and to {} wait: {late:?}", slot.number));
            }
        }
        for mover in pairs.into_iter().flatten() {
            let player = self.slots.iter().flatten().find(|slot| slot.number == mover);
            let Some(player) = player.and_then(Slot::player) else { continue };
            let mut arrived = false;
            for _ in 0..LAST_MOVES {
                let Some(seq) = player.walk(0) else { break };
                sleep(2 * DELAY_MAX + 4 * TICK).await;
                arrived = self.ledger.books().is_told(mover, seq);
                if arrived {
                    break;
                }
            }
            if !arrived {
                self.ledger.books().violated(format!("the last move of {mover} did not arrive"));
            }
        }
    }

    /// Ends the server. Sessions, seats, tasks and senders must be gone.
    async fn nothing_is_left(self) -> Option<Snapshot> {
        let Self { ledger, network, observer, serving, shutdown, links, .. } = self;
        let violated = |what: String| ledger.books().violated(what);
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

/// What a player does; mostly it plays.
///
/// A resumption of a seat by its token belongs here, beside leaving and joining, once the protocol has it.
fn act(player: &Player, what: u8, how: u8, messages_per_s_max: u32) {
    match what {
        0..29 => {
            player.walk(how);
        }
        29..33 => {
            for step in 0..how % 24 {
                player.walk(how.wrapping_add(step));
            }
        }
        33..36 => player.jump(how),
        36..38 => player.say_again(how),
        38..40 => player.ping(),
        40..42 => player.leave(),
        42..48 => player.join(how % 3),
        48 => player.misbehave(how),
        49 if messages_per_s_max < 1_000 => {
            player.offend();
            // The server deals with most of them at leisure, at twice the limit: more than may be in the time that takes.
            (0..3 * messages_per_s_max).for_each(|_| player.ping());
        }
        50 | 51 if how < 128 => player.goodbye(),
        _ => {}
    }
}
