//! A place in a world that players come and go at, one after the other.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use netduel_transport::{
    ConnectError, Connection, Receiver,
    simulation::{Link, Network, Path, Side},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{oracle::Oracle, player::Player, player_model::Playing};

/// A connection that lives, and what the world can do to it.
pub(crate) struct Slot {
    pub(crate) number: usize,
    pub(crate) link: Arc<Link>,
    /// Once it is connected.
    player: Arc<Mutex<Option<Player>>>,
    /// Whether it polls its connection. Dropped, it drops the connection.
    awake: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// The world silenced what it sends, or it.
    pub(crate) up_silent: bool,
    asleep: bool,
    gone: bool,
}

/// What a player does as soon as it is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Greeting {
    /// Nothing, ever.
    Mute,
    Hello,
    /// Hello, and a join with this code.
    Join(u8),
    /// Hello, and what takes it back to its seat, with this twist.
    Back(u8),
}

impl Slot {
    /// Connects who lost the match `lost`, or none.
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
        let (awake, hears) = watch::channel(true);
        let player = Arc::new(Mutex::new(None));
        let task = tokio::spawn(live(connecting, hears, {
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
                    Greeting::Back(twist) => {
                        player.hello();
                        player.come_back(twist);
                    }
                }
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(player);
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

    /// The player, if it is connected and does not sleep.
    pub(crate) fn player(&self) -> Option<Player> {
        let player = self.player.lock().unwrap_or_else(PoisonError::into_inner).clone();
        player.filter(|_| !self.asleep)
    }

    /// Its connection ended, or was never made.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// The path carries nothing, one way or both; or all again.
    pub(crate) fn silence(&mut self, oracle: &Oracle, up: bool, down: bool) {
        self.link.silence(Side::Client, up);
        self.link.silence(Side::Server, down);
        self.up_silent = up;
        if !up {
            // What was held back arrives now, even if the player is gone.
            oracle.state().lost(self.number, false);
        }
        self.note_lost(oracle);
    }

    /// The player's process stands still, or goes on.
    pub(crate) fn sleep(&mut self, oracle: &Oracle, asleep: bool) {
        self.awake.send_replace(!asleep);
        self.asleep = asleep;
        self.note_lost(oracle);
    }

    fn note_lost(&self, oracle: &Oracle) {
        let lost = self.up_silent || self.asleep || self.gone || self.is_over();
        oracle.state().lost(self.number, lost);
    }

    /// Its process dies.
    pub(crate) fn vanish(&mut self, oracle: &Oracle, server_is_told: bool) {
        self.link.vanish(Side::Client, server_is_told);
        self.gone = true;
        self.note_lost(oracle);
    }
}

/// A player's task: it polls the connection, and no more. The oracle hears what comes.
async fn live(
    connecting: impl Future<Output = Result<Connection, ConnectError>>,
    mut awake: watch::Receiver<bool>,
    greet: impl FnOnce(&Connection),
) {
    let Ok(connection) = connecting.await else { return };
    greet(&connection);
    let Connection { sender: _, mut receiver } = connection;
    while awake.wait_for(|awake| *awake).await.is_ok() {
        let hear = async |receiver: &mut Receiver| while receiver.recv().await.is_ok() {};
        tokio::select! {
            biased;
            changed = awake.changed() => if changed.is_err() { return },
            () = hear(&mut receiver) => return,
        }
    }
}
