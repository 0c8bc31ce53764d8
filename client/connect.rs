//! From a config to a connection: hello and welcome, and the way back to a seat after the connection was lost.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use netduel_protocol::{
    ClientMessage, CloseCode, GameId, MAX_MESSAGE_BYTES, ResumeTicket, Resumed, ServerMessage, VERSION,
};
use netduel_transport::{CloseReason, Connection, Sender};

use crate::{PlayError, PlayerConfig, bot_path::splitmix64};

/// Before the first try to come back at most: a path that was away for a moment is there again at once, and players of one
/// server that lose their connections together should not all knock together.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// No wait between tries is longer: the server keeps a seat for seconds.
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// One try takes no longer: a handshake whose first packets were lost sends them again after a second or more, and a new
/// one is sooner through once the path is back.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);

/// A connection that said hello.
pub(crate) struct Welcomed {
    pub(crate) connection: Connection,
    pub(crate) clock: u64,
    pub(crate) payload_max_bytes: usize,
}

/// Connects and exchanges hellos. `next` is said right behind the hello, which saves its round trip.
pub(crate) async fn hello(
    config: &PlayerConfig,
    next: Option<ClientMessage<'_>>,
) -> Result<Welcomed, PlayError> {
    let PlayerConfig { addr, server_name, kind, trust, options, .. } = config;
    let mut connection = kind.connect(*addr, server_name, trust.as_ref(), options).await?;
    say(&connection.sender, &ClientMessage::Hello { version: VERSION })?;
    if let Some(next) = next {
        say(&connection.sender, &next)?;
    }
    let welcome = tokio::time::timeout(options.handshake_timeout, connection.receiver.recv());
    let (_, bytes) = welcome.await.map_err(|_| PlayError::NoWelcome(options.handshake_timeout))??;
    match netduel_protocol::decode(&bytes)? {
        ServerMessage::Welcome { clock, payload_max_bytes, .. } => {
            Ok(Welcomed { connection, clock, payload_max_bytes: payload_max_bytes.into() })
        }
        other => Err(PlayError::BadServer(format!("{other:?} before the welcome"))),
    }
}

/// Sends on the control lane.
pub(crate) fn say(sender: &Sender, message: &ClientMessage<'_>) -> Result<(), PlayError> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let bytes = netduel_protocol::encode(message, &mut buffer)
        .and_then(|bytes| netduel_protocol::Message::validate(message).map(|()| bytes))
        .map_err(|error| PlayError::CannotSend(error.to_string()))?;
    Ok(sender.send_control(bytes)?)
}

/// A seat to come back to.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) game: GameId,
    pub(crate) player: u8,
    pub(crate) resume_ticket: ResumeTicket,
}

/// The tries to come back, which go on wherever they are polled from.
pub(crate) struct Reconnect(Tries);

type Tries = Pin<Box<dyn Future<Output = Result<(Welcomed, Resumed), PlayError>> + Send>>;

impl Reconnect {
    /// Tries `targets` in turn until the server takes the player back, says no, or would not keep the seat any longer: then
    /// the connection is over for the `reason` that it was lost for.
    pub(crate) fn new(targets: Vec<PlayerConfig>, seat: Seat, reason: CloseReason) -> Self {
        let grace = Duration::from_millis(seat.resume_ticket.grace_ms.into());
        Self(Box::pin(async move {
            let back = tokio::time::timeout(grace, try_targets(&targets, &seat)).await;
            back.ok().flatten().unwrap_or(Err(PlayError::Ended(reason)))
        }))
    }

    /// Cancel safe.
    pub(crate) async fn done(&mut self) -> Result<(Welcomed, Resumed), PlayError> {
        self.0.as_mut().await
    }
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reconnect")
    }
}

/// `None` only if there are no targets.
async fn try_targets(
    targets: &[PlayerConfig],
    seat: &Seat,
) -> Option<Result<(Welcomed, Resumed), PlayError>> {
    let seed = seat.game << 1 | u64::from(seat.player);
    for (attempt, target) in (1..).zip(targets.iter().cycle()) {
        tokio::time::sleep(wait_before(attempt, seed)).await;
        let tried = tokio::time::timeout(ATTEMPT_MAX, resume(target, seat, attempt));
        match tried.await {
            Ok(Err(error)) if !is_final(&error) => {}
            Ok(settled) => return Some(settled),
            Err(_) => {}
        }
    }
    None
}

async fn resume(target: &PlayerConfig, seat: &Seat, attempt: u32) -> Result<(Welcomed, Resumed), PlayError> {
    let (game, token) = (seat.game, seat.resume_ticket.token.clone());
    let mut welcomed = hello(target, Some(ClientMessage::Resume { game, token, attempt })).await?;
    loop {
        let (_, bytes) = welcomed.connection.receiver.recv().await?;
        match netduel_protocol::decode(&bytes)? {
            ServerMessage::Resumed(resumed) if resumed.game == game => return Ok((welcomed, resumed)),
            // On the other lane, ahead of it; the next one is newer.
            ServerMessage::Moved(_) | ServerMessage::MovedBoth(_) => {}
            other => return Err(PlayError::BadServer(format!("{other:?} instead of the seat"))),
        }
    }
}

/// Whether the server said no in a way that another try does not change. Room may be found again, and be it that of the
/// connection which is lost.
fn is_final(error: &PlayError) -> bool {
    match error {
        PlayError::Refused { code, .. } => {
            !matches!(code, CloseCode::ServerFull | CloseCode::TooManyFromAddress)
        }
        PlayError::BadServer(_) => true,
        _ => false,
    }
}

/// Before an attempt, of which the first is 1: twice as long each time up to a limit, less anything up to half of it, which
/// is chance to everybody else and the same for a seed.
fn wait_before(attempt: u32, seed: u64) -> Duration {
    let most = BACK_OFF_FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(BACK_OFF_MAX);
    // A hash: neighbouring seeds give numbers that have nothing to do with each other.
    let mixed = splitmix64(seed.wrapping_add(attempt.into()));
    most.mul_f64(1.0 - (mixed >> 32) as f64 / 2_f64.powi(33))
}

#[cfg(test)]
mod tests {
    use netduel_transport::Close;

    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_players_do_not_wait_alike() {
        let waits: Vec<_> = (1..40).map(|attempt| wait_before(attempt, 7)).collect();
        for (wait, most_ms) in waits.iter().zip([100, 200, 400, 800, 1_600, 2_000, 2_000]) {
            assert!((most_ms / 2..=most_ms).contains(&(wait.as_millis() as u64)), "{waits:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= BACK_OFF_MAX));
        assert_eq!(waits[3], wait_before(4, 7), "the same for a seed");
        let others: std::collections::HashSet<_> = (0..100).map(|seed| wait_before(1, seed)).collect();
        assert!(others.len() > 90);
    }

    #[test]
    fn only_a_connection_that_nobody_ended_is_lost_and_only_room_is_waited_for() {
        assert!(CloseReason::Vanished.is_loss());
        assert!(CloseReason::Peer(Close::new(Close::GONE, "")).is_loss());
        for code in [CloseCode::Done, CloseCode::Replaced, CloseCode::ShuttingDown] {
            assert!(!CloseReason::Peer(Close::new(code.code(), "")).is_loss());
        }
        let refused = |code| PlayError::Refused { code, reason: String::new() };
        assert!(is_final(&refused(CloseCode::NoSuchSeat)) && is_final(&refused(CloseCode::ShuttingDown)));
        assert!(
            !is_final(&refused(CloseCode::ServerFull)) && !is_final(&PlayError::Ended(CloseReason::Vanished))
        );
    }
}
