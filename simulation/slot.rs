//! A slot of a world: a place for one player after another.

use std::{net::SocketAddr, sync::Arc};

use netduel_transport::{
    ConnectError, Connection, Receiver,
    simulation::{Link, Network, Path, Side},
};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

use crate::{oracle::Oracle, player::Player, player_model::Playing};

/// A live connection with its player, which the world can disturb.
pub(crate) struct Slot {
    pub(crate) number: usize,
    pub(crate) link: Arc<Link>,
    /// The player, once it is connected.
    player: Arc<Mutex<Option<Player>>>,
    /// Whether the player's task polls the connection. Dropping the sender drops the connection.
    awake: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Whether the world silenced the path from the player to the server.
    pub(crate) up_silent: bool,
    asleep: bool,
    gone: bool,
}

/// The first messages of a player after it connected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Greeting {
    /// No message, ever.
    Mute,
    Hello,
    /// Hello, and a join with this match code.
    Join(u8),
    /// Hello, and a request for the lost seat with this twist.
    Resume(u8),
}

impl Slot {
    /// Connects a player. `lost` is the match of its lost connection, if there is one.
    pub(crate) fn connect(
        network: &Network,
        oracle: &Arc<Oracle>,
        from: SocketAddr,
        path: Path,
        greeting: Greeting,
        lost: Option<Playing>,
        payload_max_bytes: usize,
    ) -> Self {
        let number = oracle.state().open(path.in_order, lost);
        let (link, connecting) = network.connect(number, from, path);
        let (awake, awake_receiver) = watch::channel(true);
        let player = Arc::new(Mutex::new(None));
        let task = tokio::spawn(live(connecting, awake_receiver, {
            let (slot, oracle) = (player.clone(), oracle.clone());
            move |connection: &Connection| {
                let sender = connection.sender.clone();
                let player = Player { number, sender, oracle, payload_max_bytes };
                match greeting {
                    Greeting::Mute => player.offend(),
                    Greeting::Hello => player.hello(),
                    Greeting::Join(code) => {
                        player.hello();
                        player.join(code);
                    }
                    Greeting::Resume(twist) => {
                        player.hello();
                        player.resume(twist);
                    }
                }
                *slot.lock() = Some(player);
            }
        }));
        Self {
            number,
            link: Arc::new(link),
            player,
            awake,
            task,
            up_silent: false,
            asleep: false,
            gone: false,
        }
    }

    /// Returns the player, if it is connected and awake.
    pub(crate) fn player(&self) -> Option<Player> {
        let player = self.player.lock().clone();
        player.filter(|_| !self.asleep)
    }

    /// Whether the connection ended, or was never made.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Silences each direction of the path, or heals it.
    pub(crate) fn silence(&mut self, oracle: &Oracle, up: bool, down: bool) {
        self.link.silence(Side::Client, up);
        self.link.silence(Side::Server, down);
        self.up_silent = up;
        if !up {
            // The held-back messages arrive now, even if the player is gone.
            oracle.state().lost(self.number, false);
        }
        self.note_lost(oracle);
    }

    /// Suspends the player's process, or resumes it.
    pub(crate) fn sleep(&mut self, oracle: &Oracle, asleep: bool) {
        self.awake.send_replace(!asleep);
        self.asleep = asleep;
        self.note_lost(oracle);
    }

    fn note_lost(&self, oracle: &Oracle) {
        let lost = self.up_silent || self.asleep || self.gone || self.is_over();
        oracle.state().lost(self.number, lost);
    }

    /// Kills the player's process. `server_is_told` says whether the host still closes the
    /// connection.
    pub(crate) fn vanish(&mut self, oracle: &Oracle, server_is_told: bool) {
        self.link.vanish(Side::Client, server_is_told);
        self.gone = true;
        self.note_lost(oracle);
    }
}

/// Runs a player's task, which only polls the connection. The oracle observes the received
/// messages.
async fn live(
    connecting: impl Future<Output = Result<Connection, ConnectError>>,
    mut awake: watch::Receiver<bool>,
    greet: impl FnOnce(&Connection),
) {
    let Ok(connection) = connecting.await else { return };
    greet(&connection);
    let Connection { sender: _, mut receiver } = connection;
    while awake.wait_for(|awake| *awake).await.is_ok() {
        let receive_all = async |receiver: &mut Receiver| while receiver.recv().await.is_ok() {};
        tokio::select! {
            biased;
            changed = awake.changed() => if changed.is_err() { return },
            () = receive_all(&mut receiver) => return,
        }
    }
}
