//! Reconnects a player that lost its connection in a match, and resumes its seat.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use netduel_protocol::{ClientMessage, CloseCode, MatchId, ResumeTicket, Resumed, ServerMessage};
use netduel_transport::CloseReason;

use crate::{
    back_off::BackOff,
    config::PlayerConfig,
    connect::{Welcomed, hello},
    error::PlayError,
};

/// The wait before each attempt. The first attempt comes soon, since a path is often back at once;
/// players of one server that lose their connections together spread over half of the wait. The
/// longest wait is short, since the server keeps a seat for seconds only.
const BACK_OFF: BackOff =
    BackOff { first: Duration::from_millis(100), max: Duration::from_secs(2), jitter: 0.5 };
/// The longest attempt. A handshake whose first packets were lost repeats them after a second or
/// more; once the path is back, a new handshake succeeds sooner.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);

/// A seat to resume.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) match_id: MatchId,
    pub(crate) player: u8,
    pub(crate) resume_ticket: ResumeTicket,
}

/// The attempts to reconnect. They continue whenever they are polled.
pub(crate) struct Reconnect(Tries);

type Tries = Pin<Box<dyn Future<Output = Result<(Welcomed, Resumed), PlayError>> + Send>>;

impl Reconnect {
    /// Tries `targets` in turn until the server gives back the seat, refuses for good, or would not
    /// keep the seat any longer. Then the connection has ended for the `reason` of its loss.
    pub(crate) fn new(targets: Vec<PlayerConfig>, seat: Seat, reason: CloseReason) -> Self {
        let grace = Duration::from_millis(seat.resume_ticket.grace_ms.into());
        Self(Box::pin(async move {
            let back = tokio::time::timeout(grace, try_targets(&targets, &seat)).await;
            back.ok().flatten().unwrap_or(Err(PlayError::Ended(reason)))
        }))
    }

    /// Waits for the outcome. Cancel safe.
    pub(crate) async fn done(&mut self) -> Result<(Welcomed, Resumed), PlayError> {
        self.0.as_mut().await
    }
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reconnect")
    }
}

/// Tries the targets in turn. Returns `None` only without targets.
async fn try_targets(
    targets: &[PlayerConfig],
    seat: &Seat,
) -> Option<Result<(Welcomed, Resumed), PlayError>> {
    let seed = seat.match_id << 1 | u64::from(seat.player);
    for (attempt, target) in (1..).zip(targets.iter().cycle()) {
        tokio::time::sleep(BACK_OFF.wait_before(attempt, seed)).await;
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
    let (match_id, token) = (seat.match_id, seat.resume_ticket.token.clone());
    let mut welcomed = hello(target, Some(ClientMessage::Resume { match_id, token, attempt })).await?;
    loop {
        let (_, bytes) = welcomed.connection.receiver.recv().await?;
        match netduel_protocol::decode(&bytes)? {
            ServerMessage::Resumed(resumed) if resumed.match_id == match_id => {
                return Ok((welcomed, resumed));
            }
            // The opponent's moves on the other lane may overtake the answer; newer ones follow.
            ServerMessage::Moved(_) | ServerMessage::MovedBoth(_) => {}
            other => return Err(PlayError::BadServer(format!("{other:?} in place of the seat").into())),
        }
    }
}

/// Whether another attempt would be refused, too. A full server may have room again, if only that
/// of the lost connection.
fn is_final(error: &PlayError) -> bool {
    match error {
        PlayError::Refused { code, .. } => {
            !matches!(code, CloseCode::ServerFull | CloseCode::TooManyFromAddress)
        }
        PlayError::BadServer(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use netduel_transport::{Close, Shown};

    use super::*;

    #[test]
    fn retries_lost_connections_and_full_servers() {
        assert!(CloseReason::Vanished.is_loss());
        assert!(CloseReason::Remote(Close::new(Close::GONE, "")).is_loss());
        for code in [CloseCode::Done, CloseCode::Replaced, CloseCode::ShuttingDown] {
            assert!(!CloseReason::Remote(Close::new(code.code(), "")).is_loss());
        }
        let refused = |code| PlayError::Refused { code, reason: Shown::default() };
        assert!(is_final(&refused(CloseCode::NoSuchSeat)) && is_final(&refused(CloseCode::ShuttingDown)));
        assert!(
            !is_final(&refused(CloseCode::ServerFull)) && !is_final(&PlayError::Ended(CloseReason::Vanished))
        );
    }
}
