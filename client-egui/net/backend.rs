//! The interface's end of the network thread: commands and keys go in, states and moves come out, and nothing here waits.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use netduel_client::{
    cli::ConnectArgs,
    stats::{
        MoveStats,
        live::{Figures, Trace},
    },
};
use netduel_protocol::{
    LeaveReason, Started,
    game::{Heading, Position},
};
use netduel_transport::TransportKind;
use tokio::sync::{mpsc, watch};

use crate::net::session::Session;

/// Commands that wait for the network thread. A person clicks slower than it wakes; what does not fit is not done.
const COMMANDS_MAX: usize = 16;
/// Moves that wait for a frame: four seconds of the fastest rate. An interface that stalls longer loses the oldest of them
/// to nothing, since the next state carries what counts.
const MOTIONS_MAX: usize = 1_024;

/// Where a player wants to play.
#[derive(Clone, Debug)]
pub enum Place {
    /// Against a bot, with a server of our own.
    Bot,
    /// On a server of our own that others can reach.
    Host,
    /// On somebody's server.
    Join(ConnectArgs),
}

/// What a player asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where.
    pub place: Place,
    /// Over which transport.
    pub kind: TransportKind,
    /// Under which name.
    pub name: String,
    /// Meeting only whoever gives the same code.
    pub code: Option<String>,
}

/// What the interface tells the network thread.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Begin, whatever goes on.
    Start(Box<Wish>),
    /// Another match; or another try, if there is no connection.
    Again,
    /// End the match and the connection.
    Leave,
}

/// Keys and settings that the network thread reads when it sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Controls {
    pub(crate) heading: Heading,
    pub(crate) rate_hz: u32,
}

/// What goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// The embedded server starts.
    Opening,
    /// Connecting; the first try is 1.
    Connecting {
        /// Which try.
        attempt: u32,
    },
    /// In the queue since then.
    Waiting {
        /// When the wait began.
        since: Instant,
    },
    /// A match is on.
    Playing,
    /// A match is on, but the connection is lost: the player comes back to it by itself, or the match is lost, too.
    Reconnecting {
        /// How the connection was lost.
        why: String,
        /// When the seat is given up.
        until: Instant,
    },
    /// A match is on, but the opponent's connection is lost.
    OpponentReconnecting {
        /// When the match is over if it does not come back.
        until: Instant,
    },
    /// The match is over: the opponent is gone, the connection stays.
    OpponentLeft {
        /// How it left.
        reason: LeaveReason,
    },
    /// The connection broke; there will be another try.
    Lost {
        /// Why.
        why: String,
        /// Which try comes next.
        attempt: u32,
        /// When.
        retry_at: Instant,
    },
    /// The server cannot be reached, and nothing is tried until the player asks for it.
    Gone {
        /// Why.
        why: String,
    },
    /// The server, or its certificate, or a setting says no; trying again by itself would not help.
    Refused {
        /// Why, and what to do.
        why: String,
    },
}

impl Phase {
    /// Whether a match is on, whoever is connected to it.
    pub fn in_match(&self) -> bool {
        matches!(self, Self::Playing | Self::Reconnecting { .. } | Self::OpponentReconnecting { .. })
    }
}

/// The state of the network thread; the newest replaces the one before.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What goes on.
    pub phase: Phase,
    /// How the match began; the last one's after its end.
    pub started: Option<Arc<Started>>,
    /// What to tell others who want to join: the addresses and the fingerprint of a hosted server.
    pub invitation: Option<Arc<Invitation>>,
    /// This player's link.
    pub figures: Arc<Figures>,
    /// The same over the whole match.
    pub totals: Arc<MoveStats>,
    /// Its last half minute.
    pub trace: Arc<Trace>,
    /// Its last five seconds, closer.
    pub close_trace: Arc<Trace>,
    /// The opponent's link, where that is the bot of this program.
    pub peer_figures: Option<Arc<Figures>>,
    /// The same over the whole match.
    pub peer_totals: Option<Arc<MoveStats>>,
    /// Add this to this host's clock (µs) to get the time since the start of the match.
    pub match_offset_us: i64,
    /// The server goes down within this many seconds.
    pub draining_s: Option<u32>,
}

/// How others join a hosted server.
#[derive(Clone, Debug, Default)]
pub struct Invitation {
    /// This machine's address, as far as it can be told.
    pub host: String,
    /// Every transport with its port.
    pub ports: Vec<(TransportKind, u16)>,
    /// The certificate's fingerprint.
    pub pin: String,
}

/// What moved, between two frames.
#[derive(Clone, Copy, Debug)]
pub enum Motion {
    /// A match began here.
    Began {
        /// Own and opponent's places.
        positions: [Position; 2],
    },
    /// The own player is here, by its last move or by the server's word.
    Own {
        /// Where.
        position: Position,
        /// When, by this host's clock in µs.
        at_us: u64,
    },
    /// A fresh move of the opponent.
    Peer {
        /// Where to.
        position: Position,
        /// Its intended sending, in µs since the start of the match.
        sent_us: u64,
    },
}

/// Where the network thread puts what it has to say.
pub(crate) struct Outbox {
    pub(crate) snapshot: watch::Sender<Snapshot>,
    motions: SyncSender<Motion>,
    wake: Box<dyn Fn() + Send>,
}

impl Outbox {
    /// Changes the state, and wakes the interface.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(change);
        (self.wake)();
    }

    /// Hands over a move. The interface is woken once a frame, not for each.
    pub(crate) fn moved(&self, motion: Motion) {
        // Full only while the interface stalls; see [`MOTIONS_MAX`].
        let _ = self.motions.try_send(motion);
    }

    pub(crate) fn wake(&self) {
        (self.wake)();
    }
}

/// The network thread, held by the interface. Dropping it says goodbye to the server.
#[derive(Debug)]
pub struct Network {
    commands: Option<mpsc::Sender<Command>>,
    controls: watch::Sender<Controls>,
    snapshot: watch::Receiver<Snapshot>,
    motions: Receiver<Motion>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// Starts the thread. `wake` is called from it when there is something new to paint.
    ///
    /// # Errors
    /// The system has no thread or no event queue to give.
    pub fn start(rate_hz: u32, wake: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let (controls, keys) = watch::channel(Controls { heading: Heading::default(), rate_hz });
        let (tell, snapshot) = watch::channel(Snapshot::default());
        let (moved, motions) = sync_channel(MOTIONS_MAX);
        let outbox = Outbox { snapshot: tell, motions: moved, wake: Box::new(wake) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("netduel-network".into())
            .spawn(move || runtime.block_on(Session::new(orders, keys, outbox).run()))?;
        Ok(Self { commands: Some(commands), controls, snapshot, motions, thread: Some(thread) })
    }

    /// Begins, whatever goes on.
    pub fn begin(&self, wish: Wish) {
        self.tell(Command::Start(Box::new(wish)));
    }

    /// Another match, or another try.
    pub fn again(&self) {
        self.tell(Command::Again);
    }

    /// Ends the match and the connection.
    pub fn leave(&self) {
        self.tell(Command::Leave);
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.try_send(command);
        }
    }

    /// The keys that are held; tells only what changed.
    pub fn steer(&self, heading: Heading) {
        self.control(|controls| controls.heading = heading);
    }

    /// Moves per second from now on.
    pub fn set_rate(&self, rate_hz: u32) {
        self.control(|controls| controls.rate_hz = rate_hz);
    }

    fn control(&self, change: impl FnOnce(&mut Controls)) {
        self.controls.send_if_modified(|controls| {
            let before = *controls;
            change(controls);
            *controls != before
        });
    }

    /// The newest state.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// What moved since the last call.
    pub fn motions(&self) -> impl Iterator<Item = Motion> {
        self.motions.try_iter()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.commands = None;
        // The session says goodbye within a second; nobody looks at the window any more.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
