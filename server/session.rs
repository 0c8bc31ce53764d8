//! A session: one connection from the handshake to the close, and the handling of the player's
//! messages.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use netduel_protocol::{
    ClientMessage, CloseCode, CodecError, LeaveReason, Pong, ServerMessage, VERSION, clock,
};
use netduel_transport::{Close, CloseReason, FrameError, Incoming, Lane, RateLimit, Receiver};

use crate::{
    admission::{AdmissionPermit, Quota, customer},
    config::Config,
    lobby::Lobby,
    low_priority::{Budget, LowPriorityQueue},
    player::Player,
    seat::Proof,
};

/// The messages of one player that are handled at once: 10 µs, or 60 µs over ENet, which answers
/// each in a datagram. A read may bring hundreds of messages, and more may follow without a pause;
/// where many players flood, a match would wait for all of theirs. Further messages wait in the
/// low-priority queue.
const BUDGET_MESSAGES: usize = 8;
/// The units of a player's allowance that a join costs beside the one of every message. It starts a
/// match: two random tokens, and several messages to two players.
const JOIN_COST: u32 = 19;

/// The cause of a session's end.
enum SessionEnd {
    /// The connection ended by itself.
    Closed(CloseReason),
    /// The server expels the player for what it sent or failed to send.
    Expelled(Close),
}

impl SessionEnd {
    fn is_for_flooding(&self) -> bool {
        match self {
            Self::Closed(CloseReason::BadFrame(error)) => {
                matches!(error, FrameError::TooMany { .. } | FrameError::TooManyInAll { .. })
            }
            Self::Closed(_) => false,
            Self::Expelled(close) => close.code == CloseCode::TooManyMessages.code(),
        }
    }
}

impl From<CloseReason> for SessionEnd {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

impl From<Close> for SessionEnd {
    fn from(close: Close) -> Self {
        Self::Expelled(close)
    }
}

impl From<CodecError> for SessionEnd {
    fn from(error: CodecError) -> Self {
        Self::Expelled(Close::new(CloseCode::Malformed.code(), error.to_string()))
    }
}

/// Runs a session to its end, and then releases `admission`. A panic ends this session and nothing
/// else, wherever it happens.
pub(crate) async fn run(
    incoming: Incoming,
    admission: AdmissionPermit,
    lobby: Arc<Lobby>,
    queue: Arc<LowPriorityQueue>,
) {
    let session = serve(incoming, admission, &lobby, &queue);
    if let Err(panic) = AssertUnwindSafe(session).catch_unwind().await {
        failed(&lobby, &*panic);
    }
}

async fn serve(
    incoming: Incoming,
    mut admission: AdmissionPermit,
    lobby: &Arc<Lobby>,
    queue: &Arc<LowPriorityQueue>,
) {
    lobby.counters.accepted.increment();
    let remote = incoming.remote_addr();
    crate::faults::strike("handshake");
    let accepted = queue.run(incoming.finish()).await;
    admission.handshake_over();
    let connection = match accepted {
        Ok(connection) => connection,
        Err(error) => {
            lobby.counters.handshakes_failed.increment();
            tracing::debug!(%remote, "handshake failed: {error}");
            return;
        }
    };
    let client = connection.proved();
    admission.prove(client, &lobby.config, &lobby.counters);
    let (sender, mut receiver) = (connection.sender, connection.receiver);
    if admission.over_limit() {
        receiver.close(too_many_from_address(lobby)).await;
        return;
    }
    let close = match lobby.enter(sender, customer(client)) {
        Err(refusal) => refusal,
        Ok(player) => {
            // After a panic the player leaves its match, and is told. Shared state stays usable: a
            // panic does not poison a lock of `parking_lot`, and its holder changes the guarded
            // data only after everything that could fail.
            let quota = admission.quota(&lobby.config);
            let messages = RateLimit::new(lobby.config.messages_per_s_max);
            let allowance = Allowance { messages, quota, config: &lobby.config };
            let playing = play(lobby, queue, &player, &mut receiver, allowance);
            let end = AssertUnwindSafe(playing).catch_unwind().await;
            let end = end.unwrap_or_else(|panic| failed(lobby, &*panic));
            lobby.counters.note_end(&player.to.sender);
            let reason = leave_reason(&end);
            if matches!(&end, SessionEnd::Closed(reason) if reason.is_loss()) {
                lobby.lose(&player, reason)
            } else {
                lobby.remove(&player, reason)
            }
            if end.is_for_flooding() {
                admission.charge_flooder(&lobby.config);
            }
            match end {
                SessionEnd::Expelled(close) => {
                    lobby.counters.count_expelled(&close);
                    tracing::info!(%remote, "expelled: {close}");
                    close
                }
                SessionEnd::Closed(reason) => {
                    lobby.counters.count_closed(&reason);
                    tracing::debug!(%remote, "{reason}");
                    Close::new(CloseCode::Done.code(), "the session has ended")
                }
            }
        }
    };
    receiver.close(close).await;
}

fn failed(lobby: &Lobby, panic: &(dyn Any + Send)) -> SessionEnd {
    lobby.counters.panics.increment();
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    tracing::error!("a session panicked; the other sessions continue: {said}");
    Close::new(
        CloseCode::ServerFault.code(),
        "the server failed in this session, by a fault of its own: connect again",
    )
    .into()
}

fn too_many_from_address(lobby: &Lobby) -> Close {
    let max = lobby.config.connections_per_address_max;
    let reason =
        format!("this address has too many connections (limit {max}): close one, or try again later");
    Close::new(CloseCode::TooManyFromAddress.code(), reason)
}

async fn play(
    lobby: &Lobby,
    queue: &LowPriorityQueue,
    player: &Arc<Player>,
    receiver: &mut Receiver,
    mut allowance: Allowance<'_>,
) -> SessionEnd {
    let limit = lobby.config.join_timeout;
    let begun = match tokio::time::timeout(limit, begin(lobby, player, receiver)).await {
        Ok(begun) => begun,
        Err(_) => Err(join_timeout(limit).into()),
    };
    if let Err(end) = begun {
        return end;
    }
    lobby.counters.note_path(&player.to.sender);
    let mut relay_latency = lobby.relay_latency(player.to.sender.kind());
    let (mut budget, mut left_over) = (Budget::new(queue, BUDGET_MESSAGES), None);
    loop {
        let first = match left_over {
            Some(first) => Ok(first),
            None => budget.run(receiver.recv()).await,
        };
        let begun = relay_latency.begin(&first);
        if allowance.quota.is_behind() {
            budget.wait_turn().await;
        }
        let handled = first.map_err(SessionEnd::from);
        let handled =
            handled.and_then(|first| on_batch(lobby, player, receiver, &mut allowance, &mut budget, first));
        left_over = match handled {
            Ok(left_over) => left_over,
            Err(end) => return end,
        };
        relay_latency.end(begun);
        budget.renew().await;
    }
}

/// Handles the messages of one read, or the first of them. Where one read brings several messages,
/// everything that they lead to leaves in one write, too. Returns the next message if other work
/// comes first.
fn on_batch(
    lobby: &Lobby,
    player: &Arc<Player>,
    receiver: &mut Receiver,
    allowance: &mut Allowance<'_>,
    budget: &mut Budget<'_>,
    first: (Lane, Bytes),
) -> Result<Option<(Lane, Bytes)>, SessionEnd> {
    let mut batched = false;
    let handle = || -> Result<Option<(Lane, Bytes)>, SessionEnd> {
        let mut next = Some(first);
        while let Some((lane, bytes)) = next.take_if(|_| budget.take_one()) {
            let following = receiver.try_recv();
            batched |= matches!(following, Ok(Some(_)));
            allowance.take_one(bytes.len())?;
            on_message(lobby, player, allowance, lane, &bytes, batched)?;
            next = following?; // The end of the connection comes after the messages before it.
        }
        Ok(next)
    };
    let handled = handle();
    if batched {
        player.flush(&lobby.counters);
    }
    handled
}

/// The messages and bytes that a player may still send.
struct Allowance<'a> {
    messages: RateLimit,
    quota: Quota,
    config: &'a Config,
}

impl Allowance<'_> {
    /// Takes one message of `bytes`.
    ///
    /// # Errors
    /// The player is to be expelled, since less than that is left.
    fn take_one(&mut self, bytes: usize) -> Result<(), Close> {
        if !self.messages.take(1) {
            return Err(too_many_messages(self.config.messages_per_s_max));
        }
        self.quota.take(1, bytes, self.config)
    }

    /// Takes the further units of a dear message. A very low limit has room for some of them, too.
    ///
    /// # Errors
    /// As [`Self::take_one`].
    fn take_further(&mut self, units: u32) -> Result<(), Close> {
        let per_s = self.config.messages_per_s_max;
        if !self.messages.take(units.min(per_s / 4)) {
            return Err(too_many_messages(per_s));
        }
        self.quota.take(units, 0, self.config)
    }
}

#[cold]
fn too_many_messages(per_s: u32) -> Close {
    let reason = format!("more than {per_s} messages a second (a join counts as 20): send fewer");
    Close::new(CloseCode::TooManyMessages.code(), reason)
}

fn join_timeout(limit: Duration) -> Close {
    Close::new(
        CloseCode::JoinTimeout.code(),
        format!("no hello and join within {limit:?}: send both right after the handshake"),
    )
}

/// Exchanges hello and welcome, and handles the first join or resume.
async fn begin(lobby: &Lobby, player: &Arc<Player>, receiver: &mut Receiver) -> Result<(), SessionEnd> {
    let (_, bytes) = receiver.recv().await?;
    match netduel_protocol::decode::<ClientMessage>(&bytes)? {
        ClientMessage::Hello { version: VERSION } => {
            let payload_max_bytes = lobby.config.payload_limit_bytes() as u16;
            player.to.send(&ServerMessage::Welcome {
                version: VERSION,
                clock: clock::id(),
                payload_max_bytes,
            });
        }
        ClientMessage::Hello { version } => {
            let reason = format!(
                "the server speaks protocol version {VERSION}, the client version {version}: update the older one"
            );
            return Err(Close::new(CloseCode::VersionMismatch.code(), reason).into());
        }
        _ => return Err(unexpected("the first message must be a hello").into()),
    }
    let (_, bytes) = receiver.recv().await?;
    match netduel_protocol::decode::<ClientMessage>(&bytes)? {
        ClientMessage::Join { name, code } => Ok(lobby.join(player, name, code)?),
        ClientMessage::Resume { match_id, token, attempt } => {
            Ok(lobby.resume(player, match_id, &Proof { token, attempt })?)
        }
        _ => Err(unexpected("the second message must be a join or a resume").into()),
    }
}

/// Handles a message. `allowance` was charged for any message, and is charged for a dear one here.
fn on_message(
    lobby: &Lobby,
    player: &Arc<Player>,
    allowance: &mut Allowance<'_>,
    lane: Lane,
    bytes: &Bytes,
    batched: bool,
) -> Result<(), SessionEnd> {
    #[cfg(test)]
    tests::panic_if_asked(bytes);
    match (netduel_protocol::decode::<ClientMessage>(bytes)?, lane) {
        (ClientMessage::Move(received), Lane::State) => {
            let further = player.on_move(&received, bytes, batched, &lobby.counters)?;
            if further > 0 {
                allowance.take_further(further)?;
            }
        }
        (ClientMessage::Ping { sent_us }, Lane::Control) => {
            let received_us = clock::now_us();
            let pong = Pong { ping_sent_us: sent_us, received_us, sent_us: clock::now_us() };
            player.to.send_batched(&ServerMessage::Pong(pong), batched);
        }
        (ClientMessage::Join { name, code }, Lane::Control) => {
            allowance.take_further(JOIN_COST)?;
            lobby.join(player, name, code)?;
        }
        (ClientMessage::Leave, Lane::Control) => lobby.leave(player, LeaveReason::Left),
        (ClientMessage::Hello { .. }, _) => {
            return Err(unexpected("a second hello: send it once, as the first message").into());
        }
        (ClientMessage::Resume { .. }, _) => {
            return Err(unexpected("a late resume: send it right after the hello").into());
        }
        (_, lane) => {
            return Err(unexpected(&format!("a message that does not belong on the {lane:?} lane")).into());
        }
    }
    Ok(())
}

fn unexpected(what: &str) -> Close {
    Close::new(CloseCode::Unexpected.code(), what)
}

/// Returns the reason that the opponent is told.
fn leave_reason(end: &SessionEnd) -> LeaveReason {
    match end {
        SessionEnd::Closed(CloseReason::Remote(close)) if close.code == CloseCode::Done.code() => {
            LeaveReason::Left
        }
        SessionEnd::Closed(CloseReason::Local(close)) if close.code == CloseCode::ShuttingDown.code() => {
            LeaveReason::Left
        }
        SessionEnd::Closed(CloseReason::IdleTimeout(_) | CloseReason::ReadDeadline(_)) => {
            LeaveReason::TimedOut
        }
        SessionEnd::Closed(
            CloseReason::Remote(_) | CloseReason::Vanished | CloseReason::Transport(_) | CloseReason::Fault,
        ) => LeaveReason::Disconnected,
        // The fault is the server's, not the player's.
        SessionEnd::Expelled(close) if close.code == CloseCode::ServerFault.code() => {
            LeaveReason::Disconnected
        }
        SessionEnd::Closed(_) | SessionEnd::Expelled(_) => LeaveReason::Expelled,
    }
}

#[cfg(test)]
mod tests;
