//! Players that do as little as can be: no statistics, no course, one message after another. What differs between our
//! relay and its floor is then the relay's.
//!
//! A bare relay over TCP or TLS passes on any bytes, so the very same player plays over it and over ours. Over QUIC and
//! UDP the floor has a player of its own library, with its default settings.

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

/// Between two moves by their own clock: whatever the rate, they keep to the rules.
const PERIOD_US: u64 = 16_667;
/// From one player to the other, before anything is measured.
const FIRST_MOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub struct Player {
    link: Link,
    /// The newest move that it made.
    last: Move,
}

enum Link {
    /// Our transport to our server, or through a pipe to the other player.
    Ours { connection: Box<Connection>, piped: bool },
    /// The floor's own.
    Bare(netduel_baselines::Player),
}

impl Player {
    /// Connects. Over our server it has said hello and join, and must [`Self::start`].
    ///
    /// # Errors
    /// No connection was made, and why.
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

    /// As [`Self::connect`], to a server of ours in this very process.
    ///
    /// # Errors
    /// No connection was made, and why.
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

    /// Waits for the match to begin, where there is one.
    ///
    /// # Errors
    /// The connection is over, and why.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let Link::Ours { connection, piped: false } = &mut self.link else { return Ok(()) };
        loop {
            let (_, bytes) = connection.receiver.recv().await?;
            if let ServerMessage::Started(started) = decode(&bytes)? {
                self.last.game = started.game;
                self.last.position = game::START[usize::from(started.player)];
                return Ok(());
            }
        }
    }

    /// Makes a move.
    ///
    /// # Errors
    /// The connection is over, and why.
    pub async fn send(&mut self) -> anyhow::Result<()> {
        self.send_many(1).await
    }

    /// Makes so many moves at once. Returns nothing: [`Self::newest`] is the number of the last of them.
    ///
    /// # Errors
    /// The connection is over, and why.
    pub async fn send_many(&mut self, moves: u32) -> anyhow::Result<()> {
        for _ in 0..moves {
            self.last.seq += 1;
            self.last.at_us += PERIOD_US;
            match &mut self.link {
                Link::Ours { connection, .. } => {
                    let mut buffer = [0; MAX_MESSAGE_BYTES];
                    let bytes = encode(&ClientMessage::Move(self.last.into()), &mut buffer)?;
                    let sender = &connection.sender;
                    if moves == 1 {
                        sender.send_state(bytes)?
                    } else {
                        sender.queue_state(bytes)?
                    };
                }
                Link::Bare(player) => {
                    let mut update = [0xA5; MOVE_BYTES];
                    update[..4].copy_from_slice(&self.last.seq.to_le_bytes());
                    player.send(&update).await?;
                }
            }
        }
        if let (Link::Ours { connection, .. }, true) = (&self.link, moves > 1) {
            connection.sender.flush()?;
        }
        Ok(())
    }

    /// The number of the newest move that it made, from 1.
    pub fn newest(&self) -> u32 {
        self.last.seq
    }

    /// The number of the next move of the other player that arrives. Cancel safe.
    ///
    /// # Errors
    /// The connection is over, and why.
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

    /// Leaves.
    pub async fn close(self) {
        match self.link {
            Link::Ours { connection, .. } => connection.receiver.close(Close::new(0x100, "done")).await,
            Link::Bare(player) => player.close().await,
        }
    }
}

fn number(bytes: &[u8], piped: bool) -> anyhow::Result<u32> {
    Ok(if piped {
        let ClientMessage::Move(told) = decode(bytes)? else { bail!("no move came through the pipe") };
        told.update.seq
    } else {
        let ServerMessage::Moved(told) = decode(bytes)? else { bail!("the server told of no move") };
        told.update.seq
    })
}

/// Two players of one match.
pub type Pair = [Player; 2];

/// Connects so many pairs, one after another, and sees to it that each one's moves reach the other.
///
/// # Errors
/// Who could not connect or was not heard, and why.
pub async fn pairs(server: &Server, count: usize) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let mut pair = [Player::connect(server).await?, Player::connect(server).await?];
        introduce(&mut pair).await?;
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Waits for the match, and lets both make a move that the other sees.
///
/// # Errors
/// One was not heard, and why.
pub async fn introduce([first, second]: &mut Pair) -> anyhow::Result<()> {
    let heard = async {
        first.start().await?;
        second.start().await?;
        relay(first, second).await?;
        relay(second, first).await
    };
    tokio::time::timeout(FIRST_MOVE_TIMEOUT, heard).await.context("a first move did not arrive")?
}

/// One move, from one player to the other.
///
/// # Errors
/// A connection is over, and why.
pub async fn relay(mover: &mut Player, watcher: &mut Player) -> anyhow::Result<()> {
    mover.send().await?;
    arrival(mover, watcher, || ()).await
}

/// Waits for the newest move of one player to reach the other, and calls `see` for each that arrives.
///
/// # Errors
/// A connection is over, and why.
pub(crate) async fn arrival(
    mover: &mut Player,
    watcher: &mut Player,
    mut see: impl FnMut(),
) -> anyhow::Result<()> {
    loop {
        // The mover's connection needs its polls, too: that is where it hears of acknowledgements.
        tokio::select! {
            biased;
            number = watcher.next() => {
                let number = number?;
                see();
                if number == mover.newest() {
                    return Ok(());
                }
            }
            late = mover.next() => drop(late?),
        }
    }
}
