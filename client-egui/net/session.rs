//! The session of the network thread: connects, queues, plays and reconnects with back-off.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use netduel_client::{PlayError, Player, PlayerConfig, back_off::BackOff};
use netduel_protocol::{CloseCode, clock};
use netduel_transport::ConnectError;

use crate::net::{
    local_server::{Audience, LocalServer, own_address},
    match_loop::{MatchEnd, MatchLoop, Next},
    messages::{Channels, Command, Invitation, MatchRequest, Phase, ServerChoice, Snapshot},
};

/// The back-off before each attempt after a connection broke. A player who sees nothing happen for
/// longer than the maximum leaves.
const BACK_OFF: BackOff =
    BackOff { first: Duration::from_millis(500), max: Duration::from_secs(8), jitter: 0.1 };
/// The number of automatic retries. They take half a minute in all, or a minute with each attempt's
/// own timeout.
const ATTEMPTS_MAX: u32 = 6;

/// The prospects of a retry after an error.
#[derive(Debug, PartialEq)]
enum Prospect {
    /// A retry may succeed.
    Lost,
    /// A retry fails again until the player changes something.
    Refused,
}

/// The state of the network thread.
pub(crate) struct Session {
    channels: Channels,
}

/// The server that a session plays on.
struct Target {
    config: PlayerConfig,
    /// The local server, if the session runs one.
    server: Option<LocalServer>,
}

impl Session {
    pub(crate) fn new(channels: Channels) -> Self {
        Self { channels }
    }

    /// Serves the interface until it closes its channels.
    pub(crate) async fn run(mut self) {
        let mut next = Next::Idle;
        loop {
            next = match next {
                Next::Quit => return,
                Next::Idle => {
                    self.channels.outbox.update(|state| *state = Snapshot::default());
                    self.next_order().await
                }
                Next::Begin(request) => self.serve(&request).await,
            }
        }
    }

    /// Waits for the next command that starts or ends a match request.
    async fn next_order(&mut self) -> Next {
        loop {
            match self.channels.commands.recv().await {
                None => return Next::Quit,
                Some(Command::Start(request)) => return Next::Begin(request),
                Some(Command::Leave) => return Next::Idle,
                Some(Command::Again) => {}
            }
        }
    }

    /// Waits until the player asks for a retry. Breaks if the player wants something else.
    async fn retry_requested(&mut self) -> ControlFlow<Next> {
        match self.channels.commands.recv().await {
            None => ControlFlow::Break(Next::Quit),
            Some(Command::Start(request)) => ControlFlow::Break(Next::Begin(request)),
            Some(Command::Leave) => ControlFlow::Break(Next::Idle),
            Some(Command::Again) => ControlFlow::Continue(()),
        }
    }

    fn phase(&self, phase: Phase) {
        self.channels.outbox.update(|state| state.phase = phase);
    }

    /// Plays as requested until the next command says otherwise.
    async fn serve(&mut self, request: &MatchRequest) -> Next {
        self.channels
            .outbox
            .update(|state| *state = Snapshot { phase: Phase::StartingServer, ..Snapshot::default() });
        let target = loop {
            match self.open(request).await {
                Ok(target) => break target,
                Err(error) => {
                    self.phase(Phase::Refused { why: format!("{error:#}") });
                    if let ControlFlow::Break(next) = self.retry_requested().await {
                        return next;
                    }
                }
            }
        };
        // 0 until the first connection. From then on a broken connection is retried automatically.
        let mut attempt = 0;
        loop {
            self.phase(Phase::Connecting { attempt: attempt.max(1) });
            let end = match self.connect(&target.config).await {
                Err(end) => end,
                Ok(player) => {
                    attempt = 1;
                    let bot = target.server.as_ref().map(|server| server.bot.clone());
                    MatchLoop::new(&mut self.channels, player, request.code.clone(), bot).play().await
                }
            };
            let error = match end {
                MatchEnd::ByCommand(next) => return next,
                MatchEnd::ByError(error) => error,
            };
            if let ControlFlow::Break(next) = self.back_off(&error, &mut attempt).await {
                return next;
            }
        }
    }

    /// Starts the local server if the request needs one, and prepares the connection settings.
    async fn open(&self, request: &MatchRequest) -> anyhow::Result<Target> {
        let period_us = 1_000_000 / u64::from(self.channels.controls.borrow().rate_hz.max(1));
        let server = match &request.server {
            ServerChoice::Join(args) => {
                return Ok(Target { config: args.config(&request.name, period_us).await?, server: None });
            }
            ServerChoice::Bot => LocalServer::start(Audience::Bot(request.kind)).await?,
            ServerChoice::Host(plaintext) => {
                let server = LocalServer::start(Audience::Network(*plaintext)).await?;
                let ports = server.addresses.iter().map(|(kind, addr)| (*kind, addr.port())).collect();
                let host = own_address().map_or("this machine's address".into(), |ip| ip.to_string());
                let invitation = Invitation { host, ports, pin: server.pin.clone() };
                self.channels.outbox.update(|state| state.invitation = Some(invitation.into()));
                server
            }
        };
        Ok(Target { config: server.player(request.kind, &request.name, period_us)?, server: Some(server) })
    }

    /// Connects, or ends early when a command arrives.
    async fn connect(&mut self, config: &PlayerConfig) -> Result<Player, MatchEnd> {
        let connecting = Player::connect(config);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                player = &mut connecting => return Ok(player?),
                command = self.channels.commands.recv() => match command {
                    None => return Err(MatchEnd::ByCommand(Next::Quit)),
                    Some(Command::Start(request)) => return Err(MatchEnd::ByCommand(Next::Begin(request))),
                    Some(Command::Leave) => return Err(MatchEnd::ByCommand(Next::Idle)),
                    Some(Command::Again) => {}
                }
            }
        }
    }

    /// Reports the error, then waits until the back-off ends or the player asks for a retry.
    async fn back_off(&mut self, error: &PlayError, attempt: &mut u32) -> ControlFlow<Next> {
        let why = error.to_string();
        if prospect(error) == Prospect::Refused {
            self.phase(Phase::Refused { why });
            return self.retry_requested().await;
        }
        if *attempt == 0 || *attempt > ATTEMPTS_MAX {
            self.phase(Phase::Unreachable { why });
            self.retry_requested().await?;
            *attempt = (*attempt).min(1);
            return ControlFlow::Continue(());
        }
        let wait = BACK_OFF.wait_before(*attempt, clock::now_us());
        self.phase(Phase::Lost { why, attempt: *attempt, retry_at: Instant::now() + wait });
        *attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(wait) => ControlFlow::Continue(()),
            asked = self.retry_requested() => asked,
        }
    }
}

/// Classifies an error by whether a retry may succeed.
fn prospect(error: &PlayError) -> Prospect {
    match error {
        PlayError::Ended(_)
        | PlayError::Refused { code: CloseCode::ShuttingDown | CloseCode::NoSuchSeat, .. } => Prospect::Lost,
        PlayError::Connect(
            ConnectError::Unreachable { .. } | ConnectError::Timeout { .. } | ConnectError::Handshake { .. },
        ) => Prospect::Lost,
        PlayError::Connect(_)
        | PlayError::Refused { .. }
        | PlayError::NoWelcome(_)
        | PlayError::BadServer(_)
        | PlayError::CannotSend(_)
        | PlayError::PayloadTooLong { .. }
        | PlayError::MovesUsedUp => Prospect::Refused,
    }
}

#[cfg(test)]
mod tests {
    use netduel_transport::CloseReason;

    use super::*;

    #[test]
    fn retries_only_errors_that_may_pass() {
        assert_eq!(prospect(&PlayError::Ended(CloseReason::Vanished)), Prospect::Lost);
        let refused = |code| PlayError::Refused { code, reason: Default::default() };
        assert_eq!(prospect(&refused(CloseCode::ShuttingDown)), Prospect::Lost);
        assert_eq!(
            prospect(&refused(CloseCode::NoSuchSeat)),
            Prospect::Lost,
            "the match is over, but the server still runs"
        );
        assert_eq!(prospect(&refused(CloseCode::VersionMismatch)), Prospect::Refused);
        assert_eq!(prospect(&PlayError::Connect(ConnectError::Untrusted("x".into()))), Prospect::Refused);
    }
}
