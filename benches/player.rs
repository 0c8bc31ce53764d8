//! Minimal players: no statistics, no path, one message after another. A difference between Netduel
//! and its bare relay is then the relay's.
//!
//! A bare relay over TCP or TLS passes on any bytes, so that the same player plays over it and over
//! Netduel. Over QUIC and UDP the bare relay has a player of its own library, with its default
//! settings.

use std::time::Duration;

use anyhow::{Context, bail};
use netduel_baselines::MOVE_BYTES;
use netduel_protocol::{
    ClientMessage, MAX_MESSAGE_BYTES, Move, ServerMessage, VERSION, decode, encode, game,
};
use netduel_transport::{Close, Connection, Lane, TransportKind};

use crate::{
    contender::Contender,
    server::{Server, options},
};

/// The time of all moves: as many bytes as that of a real move, and never in the server's future.
/// The players stand still, so that they keep to the rules at any rate.
const AT_US: u64 = 100_000;
/// The longest time of one move from player to player before the measurement.
const FIRST_MOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A minimal player; see the module.
pub struct Player {
    link: Link,
    /// The number of the newest move sent.
    last: Move,
}

enum Link {
    /// A connection of Netduel's, to its server or through a bare pipe to the other player.
    Ours { connection: Box<Connection>, piped: bool },
    /// A player of the bare relay's own library.
    Bare(netduel_baselines::Player),
}

impl Player {
    /// Connects. Over Netduel's server the player has then sent hello and join, and still needs
    /// [`Self::start`].
    ///
    /// # Errors
    /// The reason why no connection was made.
    pub async fn connect(server: &Server) -> anyhow::Result<Self> {
        let kind = match server.contender {
            Contender::Ours(kind) => Ok(kind),
            Contender::Bare(baseline) => Contender::piped(baseline).ok_or(baseline),
        };
        let link = match kind {
            Err(baseline) => Link::Bare(
                netduel_baselines::Player::connect(baseline, server.addr, Some(&server.trust)).await?,
            ),
            Ok(kind) => {
                let connection =
                    kind.connect(server.addr, "localhost", Some(&server.trust), &options()).await?;
                let piped = matches!(server.contender, Contender::Bare(_));
                Link::Ours { connection: Box::new(connection), piped }
            }
        };
        Self::introduce(link)
    }

    /// Connects to a Netduel server in this process.
    ///
    /// # Errors
    /// The reason why no connection was made.
    pub async fn connect_within(kind: TransportKind, addr: std::net::SocketAddr) -> anyhow::Result<Self> {
        let connection = kind.connect(addr, "localhost", None, &options()).await?;
        Self::introduce(Link::Ours { connection: Box::new(connection), piped: false })
    }

    fn introduce(link: Link) -> anyhow::Result<Self> {
        if let Link::Ours { connection, piped: false } = &link {
            let mut buffer = [0; MAX_MESSAGE_BYTES];
            let join = ClientMessage::Join { name: "bench".into(), code: None };
            for message in [ClientMessage::Hello { version: VERSION }, join] {
                connection.sender.send_control(encode(&message, &mut buffer)?)?;
            }
        }
        Ok(Self { link, last: Move::default() })
    }

    /// Waits for the start of the match, where there is one.
    ///
    /// # Errors
    /// The reason why the connection is over.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let Link::Ours { connection, piped: false } = &mut self.link else { return Ok(()) };
        loop {
            let (_, bytes) = connection.receiver.recv().await?;
            if let ServerMessage::Started(started) = decode(&bytes)? {
                self.last.match_id = started.match_id;
                self.last.position = game::START[usize::from(started.player)];
                return Ok(());
            }
        }
    }

    /// Makes a move, which leaves at once.
    ///
    /// # Errors
    /// The reason why the connection is over.
    pub async fn send(&mut self) -> anyhow::Result<()> {
        self.last.seq += 1;
        self.last.at_us = AT_US;
        match &mut self.link {
            Link::Ours { connection, .. } => {
                let mut buffer = [0; MAX_MESSAGE_BYTES];
                let bytes = encode(&ClientMessage::Move(self.last.into()), &mut buffer)?;
                connection.sender.send_state(bytes)?;
            }
            Link::Bare(player) => {
                let mut update = [0xA5; MOVE_BYTES];
                update[..4].copy_from_slice(&self.last.seq.to_le_bytes());
                player.send(&update).await?;
            }
        }
        Ok(())
    }

    /// Returns the number of the newest move sent, from 1.
    pub fn newest(&self) -> u32 {
        self.last.seq
    }

    /// Waits for the next move of the other player and returns its number. Cancel safe.
    ///
    /// # Errors
    /// The reason why the connection is over.
    pub async fn next(&mut self) -> anyhow::Result<u32> {
        match &mut self.link {
            Link::Bare(player) => {
                let update = player.next().await?;
                Ok(update.first_chunk().map_or(0, |number| u32::from_le_bytes(*number)))
            }
            Link::Ours { connection, piped } => loop {
                let (lane, bytes) = connection.receiver.recv().await?;
                if lane == Lane::State {
                    return number(&bytes, *piped);
                }
            },
        }
    }

    /// Leaves the match.
    pub async fn close(self) {
        match self.link {
            Link::Ours { connection, .. } => connection.receiver.close(Close::new(0x100, "done")).await,
            Link::Bare(player) => player.close().await,
        }
    }
}

fn number(bytes: &[u8], piped: bool) -> anyhow::Result<u32> {
    Ok(if piped {
        let ClientMessage::Move(told) = decode(bytes)? else {
            bail!("the message from the pipe is not a move")
        };
        told.update.seq
    } else {
        let ServerMessage::Moved(told) = decode(bytes)? else {
            bail!("the message from the server is not a relayed move")
        };
        told.update.seq
    })
}

/// The two players of a match.
pub type Pair = [Player; 2];

/// Connects pairs, one after another, until each player's moves reach the other.
///
/// # Errors
/// The reason why a player could not connect or was not heard.
pub async fn pairs(server: &Server, count: usize) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let mut pair = [Player::connect(server).await?, Player::connect(server).await?];
        introduce(&mut pair).await?;
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Waits for the match, and lets each player make a move that the other receives.
///
/// # Errors
/// One player was not heard.
pub async fn introduce([first, second]: &mut Pair) -> anyhow::Result<()> {
    let heard = async {
        first.start().await?;
        second.start().await?;
        relay(first, second).await?;
        relay(second, first).await
    };
    tokio::time::timeout(FIRST_MOVE_TIMEOUT, heard).await.context("a first move did not arrive")?
}

/// Sends one move from one player to the other, and waits until it has arrived.
///
/// # Errors
/// The reason why a connection is over.
pub async fn relay(mover: &mut Player, watcher: &mut Player) -> anyhow::Result<()> {
    mover.send().await?;
    loop {
        // The mover's connection must be polled, too: it receives the acknowledgements.
        tokio::select! {
            biased;
            number = watcher.next() => {
                if number? == mover.newest() {
                    return Ok(());
                }
            }
            late = mover.next() => drop(late?),
        }
    }
}
