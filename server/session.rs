//! One connection, from the handshake to the goodbye: what the player says, and what that leads to.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use netduel_protocol::{ClientMessage, CodecError, Ending, LeaveReason, Pong, ServerMessage, VERSION, clock};
use netduel_transport::{Accepting, CloseReason, Goodbye, Lane, Receiver};

use crate::lobby::{Lobby, Player};

/// Why a session is over.
enum Over {
    /// The connection ended.
    Closed(CloseReason),
    /// We end it, for what the player said or did not say.
    Expelled(Goodbye),
}

impl From<CloseReason> for Over {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

impl From<Goodbye> for Over {
    fn from(goodbye: Goodbye) -> Self {
        Self::Expelled(goodbye)
    }
}

impl From<CodecError> for Over {
    fn from(error: CodecError) -> Self {
        Self::Expelled(Goodbye::new(Ending::Malformed.code(), error.to_string()))
    }
}

/// Runs a session to its end.
pub(crate) async fn run(accepting: Accepting, lobby: Arc<Lobby>) {
    lobby.counters.accepted.increment();
    let remote = accepting.remote_addr();
    let connection = match accepting.finish().await {
        Ok(connection) => connection,
        Err(error) => {
            lobby.counters.handshakes_failed.increment();
            tracing::debug!(%remote, "no connection: {error}");
            return;
        }
    };
    let (sender, mut receiver) = (connection.sender, connection.receiver);
    let goodbye = match lobby.enter(sender) {
        Err(refusal) => refusal,
        Ok(player) => {
            let over = play(&lobby, &player, &mut receiver).await;
            lobby.remove(&player, leave_reason(&over));
            match over {
                Over::Expelled(goodbye) => {
                    lobby.counters.expelled.increment();
                    tracing::info!(%remote, "expelled: {goodbye}");
                    goodbye
                }
                Over::Closed(reason) => {
                    tracing::debug!(%remote, "{reason}");
                    Goodbye::new(Ending::Done.code(), "goodbye")
                }
            }
        }
    };
    receiver.close(goodbye).await;
}

async fn play(lobby: &Lobby, player: &Arc<Player>, receiver: &mut Receiver) -> Over {
    let limit = lobby.config.join_timeout;
    let begun = match tokio::time::timeout(limit, begin(lobby, player, receiver)).await {
        Ok(begun) => begun,
        Err(_) => Err(join_timeout(limit).into()),
    };
    if let Err(over) = begun {
        return over;
    }
    loop {
        let step = match receiver.recv().await {
            Ok((lane, bytes)) => on_message(lobby, player, lane, &bytes),
            Err(reason) => Err(reason.into()),
        };
        if let Err(over) = step {
            return over;
        }
    }
}

fn join_timeout(limit: Duration) -> Goodbye {
    Goodbye::new(Ending::JoinTimeout.code(), format!("no hello and join within {limit:?}"))
}

/// Hello, welcome, and the first join.
async fn begin(lobby: &Lobby, player: &Arc<Player>, receiver: &mut Receiver) -> Result<(), Over> {
    let (_, bytes) = receiver.recv().await?;
    match netduel_protocol::decode::<ClientMessage>(&bytes)? {
        ClientMessage::Hello { version: VERSION } => {
            player.say(&ServerMessage::Welcome { version: VERSION, clock: clock::id() });
        }
        ClientMessage::Hello { version } => {
            let reason = format!(
                "the server speaks version {VERSION} of the protocol, the client version {version}: update the older one"
            );
            return Err(Goodbye::new(Ending::VersionMismatch.code(), reason).into());
        }
        _ => return Err(unexpected("the first message must be a hello").into()),
    }
    let (_, bytes) = receiver.recv().await?;
    match netduel_protocol::decode::<ClientMessage>(&bytes)? {
        ClientMessage::Join { name, code } => Ok(lobby.join(player, name, code)?),
        _ => Err(unexpected("join comes after hello: a move before pairing means nothing").into()),
    }
}

fn on_message(lobby: &Lobby, player: &Arc<Player>, lane: Lane, bytes: &Bytes) -> Result<(), Over> {
    match (netduel_protocol::decode::<ClientMessage>(bytes)?, lane) {
        (ClientMessage::Move(update), Lane::State) => player.on_move(update, &lobby.counters)?,
        (ClientMessage::Ping { sent_us }, Lane::Control) => {
            let received_us = clock::now_us();
            let pong = Pong { ping_sent_us: sent_us, received_us, sent_us: clock::now_us() };
            player.say(&ServerMessage::Pong(pong));
        }
        (ClientMessage::Join { name, code }, Lane::Control) => lobby.join(player, name, code)?,
        (ClientMessage::Leave, Lane::Control) => lobby.leave(player, LeaveReason::Left),
        (ClientMessage::Hello { .. }, _) => return Err(unexpected("a second hello").into()),
        (_, lane) => return Err(unexpected(&format!("that message does not go on the {lane:?} lane")).into()),
    }
    Ok(())
}

fn unexpected(what: &str) -> Goodbye {
    Goodbye::new(Ending::Unexpected.code(), what)
}

/// What the opponent is told.
fn leave_reason(over: &Over) -> LeaveReason {
    match over {
        Over::Closed(CloseReason::Peer(goodbye)) if goodbye.code == Ending::Done.code() => LeaveReason::Left,
        Over::Closed(CloseReason::IdleTimeout(_)) => LeaveReason::TimedOut,
        Over::Closed(CloseReason::Peer(_) | CloseReason::Vanished | CloseReason::Transport(_)) => {
            LeaveReason::Disconnected
        }
        Over::Closed(_) | Over::Expelled(_) => LeaveReason::Expelled,
    }
}
