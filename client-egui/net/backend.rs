//! The interface's handle of the network thread. No call on it blocks.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::JoinHandle,
};

use netduel_protocol::game::Heading;
use tokio::sync::{mpsc, watch};

use crate::net::{
    messages::{Channels, Command, Controls, MatchRequest, Outbox, PositionUpdate, Snapshot},
    session::Session,
};

/// Capacity of the command queue. A person clicks slower than the network thread wakes; a command
/// beyond it is dropped.
const COMMANDS_MAX: usize = 16;
/// Capacity of the queue of position updates: four seconds at the highest rate. An interface that
/// stalls longer loses updates without harm, because the next snapshot carries the newest state.
const POSITIONS_MAX: usize = 1_024;

/// The network thread, owned by the interface. Dropping it closes the connection to the server.
#[derive(Debug)]
pub struct Backend {
    commands: Option<mpsc::Sender<Command>>,
    controls: watch::Sender<Controls>,
    snapshot: watch::Receiver<Snapshot>,
    positions: Receiver<PositionUpdate>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts the network thread, which calls `wake` when there is something new to paint.
    ///
    /// # Errors
    /// The system refuses a thread or an event queue.
    pub fn start(rate_hz: u32, wake: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (control_sender, controls) = watch::channel(Controls { heading: Heading::default(), rate_hz });
        let (snapshot_sender, snapshot) = watch::channel(Snapshot::default());
        let (position_sender, positions) = sync_channel(POSITIONS_MAX);
        let outbox = Outbox { snapshot: snapshot_sender, positions: position_sender, wake: Box::new(wake) };
        let channels = Channels { commands, controls, outbox };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("netduel-network".into())
            .spawn(move || runtime.block_on(Session::new(channels).run()))?;
        Ok(Self {
            commands: Some(command_sender),
            controls: control_sender,
            snapshot,
            positions,
            thread: Some(thread),
        })
    }

    /// Ends the current activity and starts a new match request.
    pub fn begin(&self, request: MatchRequest) {
        self.send(Command::Start(Box::new(request)));
    }

    /// Queues for another match, or retries the connection.
    pub fn again(&self) {
        self.send(Command::Again);
    }

    /// Ends the match and the connection.
    pub fn leave(&self) {
        self.send(Command::Leave);
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.try_send(command);
        }
    }

    /// Sets the heading of the held keys. An unchanged heading is not sent.
    pub fn steer(&self, heading: Heading) {
        self.control(|controls| controls.heading = heading);
    }

    /// Sets the number of moves per second.
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

    /// Returns the newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// Returns the position updates since the last call.
    pub fn positions(&self) -> impl Iterator<Item = PositionUpdate> {
        self.positions.try_iter()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.commands = None;
        // The session closes its connection within a second. The window is already closed, so
        // no task waits.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
