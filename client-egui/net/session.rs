//! What the network thread does for a player: connect, queue, play, and come back when a connection breaks.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use netduel_client::{PlayError, Player, PlayerConfig};
use netduel_protocol::{CloseCode, clock};
use netduel_transport::ConnectError;
use tokio::sync::{mpsc, watch};

use crate::net::{
    backend::{Command, Controls, Invitation, Outbox, Phase, Place, Snapshot, Wish},
    local_server::{Audience, Embedded, own_address},
    match_loop::Table,
};

/// Waits before the tries after a connection broke: half a second first, twice as long each time.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// No wait is longer: a player who sees nothing happen for longer leaves.
const BACK_OFF_MAX: Duration = Duration::from_secs(8);
/// Tries after a connection broke: half a minute in all, with each one's own time limit a minute.
const ATTEMPTS_MAX: u32 = 6;

/// What to do next, once something is over.
pub(crate) enum Next {
    /// Nothing, until told.
    Idle,
    /// Something else.
    Begin(Box<Wish>),
    /// The interface is gone.
    Quit,
}

/// How playing ended.
pub(crate) enum Over {
    /// The player wanted it.
    Told(Next),
    /// The connection is over.
    Broken(PlayError),
}

impl From<PlayError> for Over {
    fn from(error: PlayError) -> Self {
        Self::Broken(error)
    }
}

/// What an error means for the next try.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Trying again may help.
    Lost,
    /// Only a change of something would.
    Refused,
}

/// The state of the network thread.
pub(crate) struct Session {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) controls: watch::Receiver<Controls>,
    pub(crate) outbox: Outbox,
}

/// Whom a session plays with: the connection's settings, and the server if it is ours.
struct Ground {
    config: PlayerConfig,
    server: Option<Embedded>,
}

impl Session {
    pub(crate) fn new(
        commands: mpsc::Receiver<Command>,
        controls: watch::Receiver<Controls>,
        outbox: Outbox,
    ) -> Self {
        Self { commands, controls, outbox }
    }

    /// Until the interface is gone.
    pub(crate) async fn run(mut self) {
        let mut next = Next::Idle;
        loop {
            next = match next {
                Next::Quit => return,
                Next::Idle => {
                    self.outbox.update(|state| *state = Snapshot::default());
                    self.order().await
                }
                Next::Begin(wish) => self.attend(&wish).await,
            }
        }
    }

    /// The next command that begins or ends something.
    async fn order(&mut self) -> Next {
        loop {
            match self.commands.recv().await {
                None => return Next::Quit,
                Some(Command::Start(wish)) => return Next::Begin(wish),
                Some(Command::Leave) => return Next::Idle,
                Some(Command::Again) => {}
            }
        }
    }

    /// Waits for the player to ask for another try.
    async fn asked_again(&mut self) -> ControlFlow<Next> {
        match self.commands.recv().await {
            None => ControlFlow::Break(Next::Quit),
            Some(Command::Start(wish)) => ControlFlow::Break(Next::Begin(wish)),
            Some(Command::Leave) => ControlFlow::Break(Next::Idle),
            Some(Command::Again) => ControlFlow::Continue(()),
        }
    }

    fn phase(&self, phase: Phase) {
        self.outbox.update(|state| state.phase = phase);
    }

    /// Plays as wished until told otherwise.
    async fn attend(&mut self, wish: &Wish) -> Next {
        self.outbox.update(|state| *state = Snapshot { phase: Phase::Opening, ..Snapshot::default() });
        let ground = loop {
            match self.open(wish).await {
                Ok(ground) => break ground,
                Err(error) => {
                    self.phase(Phase::Refused { why: format!("{error:#}") });
                    if let ControlFlow::Break(next) = self.asked_again().await {
                        return next;
                    }
                }
            }
        };
        // 0 until a connection stood; from then on what breaks is tried again by itself.
        let mut attempt = 0;
        loop {
            self.phase(Phase::Connecting { attempt: attempt.max(1) });
            let over = match self.connect(&ground.config).await {
                Err(over) => over,
                Ok(player) => {
                    attempt = 1;
                    let bot = ground.server.as_ref().map(|server| server.bot.clone());
                    Table::new(self, player, wish.code.clone(), bot).play().await
                }
            };
            let error = match over {
                Over::Told(next) => return next,
                Over::Broken(error) => error,
            };
            if let ControlFlow::Break(next) = self.back_off(&error, &mut attempt).await {
                return next;
            }
        }
    }

    async fn open(&self, wish: &Wish) -> anyhow::Result<Ground> {
        let period_us = 1_000_000 / u64::from(self.controls.borrow().rate_hz.max(1));
        let server = match &wish.place {
            Place::Join(args) => {
                return Ok(Ground { config: args.config(&wish.name, period_us).await?, server: None });
            }
            Place::Bot => Embedded::start(Audience::Bot(wish.kind)).await?,
            Place::Host => {
                let server = Embedded::start(Audience::Network).await?;
                let ports = server.addresses.iter().map(|(kind, addr)| (*kind, addr.port())).collect();
                let host = own_address().map_or("this machine's address".into(), |ip| ip.to_string());
                let invitation = Invitation { host, ports, pin: server.pin.clone() };
                self.outbox.update(|state| state.invitation = Some(invitation.into()));
                server
            }
        };
        Ok(Ground { config: server.player(wish.kind, &wish.name, period_us)?, server: Some(server) })
    }

    async fn connect(&mut self, config: &PlayerConfig) -> Result<Player, Over> {
        let connecting = Player::connect(config);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                player = &mut connecting => return Ok(player?),
                command = self.commands.recv() => match command {
                    None => return Err(Over::Told(Next::Quit)),
                    Some(Command::Start(wish)) => return Err(Over::Told(Next::Begin(wish))),
                    Some(Command::Leave) => return Err(Over::Told(Next::Idle)),
                    Some(Command::Again) => {}
                }
            }
        }
    }

    /// Says what broke, and waits until it is time, or until the player says so, to try again.
    async fn back_off(&mut self, error: &PlayError, attempt: &mut u32) -> ControlFlow<Next> {
        let why = error.to_string();
        if verdict(error) == Verdict::Refused {
            self.phase(Phase::Refused { why });
            return self.asked_again().await;
        }
        if *attempt == 0 || *attempt > ATTEMPTS_MAX {
            self.phase(Phase::Gone { why });
            self.asked_again().await?;
            *attempt = (*attempt).min(1);
            return ControlFlow::Continue(());
        }
        let wait = wait_before(*attempt);
        self.phase(Phase::Lost { why, attempt: *attempt, retry_at: Instant::now() + wait });
        *attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(wait) => ControlFlow::Continue(()),
            asked = self.asked_again() => asked,
        }
    }
}

/// Doubles up to a limit; a tenth of it is chance, so that not all players of a server that restarts come back at once.
fn wait_before(attempt: u32) -> Duration {
    let wait = BACK_OFF_FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(BACK_OFF_MAX);
    wait.mul_f64(1.0 - (clock::now_us() % 100) as f64 / 1_000.0)
}

fn verdict(error: &PlayError) -> Verdict {
    match error {
        PlayError::Ended(_)
        | PlayError::Refused { code: CloseCode::ShuttingDown | CloseCode::NoSuchSeat, .. } => Verdict::Lost,
        PlayError::Connect(
            ConnectError::Unreachable { .. } | ConnectError::Timeout { .. } | ConnectError::Handshake { .. },
        ) => Verdict::Lost,
        PlayError::Connect(_)
        | PlayError::Refused { .. }
        | PlayError::NoWelcome(_)
        | PlayError::BadServer(_)
        | PlayError::CannotSend(_)
        | PlayError::PayloadTooLong { .. } => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use netduel_transport::CloseReason;

    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<u64> = (1..=40).map(|attempt| wait_before(attempt).as_millis() as u64).collect();
        for (wait_ms, wanted_ms) in waits.iter().zip([500, 1_000, 2_000, 4_000, 8_000, 8_000]) {
            assert!((wanted_ms * 9 / 10..=wanted_ms).contains(wait_ms), "{waits:?}");
        }
        assert!(waits.iter().all(|wait_ms| *wait_ms <= 8_000));
    }

    #[test]
    fn what_time_may_mend_is_tried_again_and_nothing_else() {
        assert_eq!(verdict(&PlayError::Ended(CloseReason::Vanished)), Verdict::Lost);
        let refused = |code| PlayError::Refused { code, reason: String::new() };
        assert_eq!(verdict(&refused(CloseCode::ShuttingDown)), Verdict::Lost);
        assert_eq!(
            verdict(&refused(CloseCode::NoSuchSeat)),
            Verdict::Lost,
            "the match is over, the server is there"
        );
        assert_eq!(verdict(&refused(CloseCode::VersionMismatch)), Verdict::Refused);
        assert_eq!(verdict(&PlayError::Connect(ConnectError::Untrusted("x".into()))), Verdict::Refused);
    }
}
