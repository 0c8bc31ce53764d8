//! A server of our own for *Play now* and *Host*, and the bot that waits in it. Each on a thread of its own, so that the
//! figures shown are those of a real server over real sockets.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context;
use netduel_client::{
    Event, PlayError, Player, PlayerConfig,
    bot_path::BotPath,
    stats::{
        MoveStats,
        live::{Figures, LiveStats},
    },
    ticker::Ticker,
};
use netduel_protocol::clock;
use netduel_server::Config;
use netduel_transport::{Identity, Listener, Options, TransportKind, Trust};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// When the window closes or the player leaves, a match need not be played to its end.
const DRAIN: Duration = Duration::from_millis(200);
/// Moves of the bot a second: the game's own tick rate.
const BOT_RATE_HZ: u64 = 60;
/// The bot's pings and its looks at its transport, ten a second: as the player's own.
const BOT_LOOK: Duration = Duration::from_millis(100);
/// A bot that lost its connection comes back after this.
const BOT_BACK_OFF: Duration = Duration::from_millis(500);

/// Whom the server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// This program: any free port of the loopback, and a bot.
    Bot(TransportKind),
    /// The network: every transport on its usual port.
    Network,
}

/// What the bot sees of its link.
#[derive(Clone, Debug)]
pub struct BotSide {
    /// Over the last seconds.
    pub figures: Arc<Figures>,
    /// Over the whole match.
    pub totals: Arc<MoveStats>,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Embedded {
    /// Where it listens.
    pub addresses: Vec<(TransportKind, SocketAddr)>,
    /// Its certificate, for players in this process.
    pub trust: Trust,
    /// The fingerprint of that, for players elsewhere.
    pub pin: String,
    /// What the bot sees of its link; `None` without a bot, or before it plays.
    pub bot: watch::Receiver<Option<BotSide>>,
    shutdown: CancellationToken,
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Embedded {
    /// Starts a server, and its bot.
    ///
    /// # Errors
    /// A port that is taken, or a system out of sockets or threads.
    pub async fn start(audience: Audience) -> anyhow::Result<Self> {
        let host: IpAddr = match audience {
            Audience::Bot(_) => Ipv4Addr::LOCALHOST.into(),
            Audience::Network => Ipv4Addr::UNSPECIFIED.into(),
        };
        let identity = Identity::generate(&["localhost", "127.0.0.1", "::1"].map(String::from))?;
        let (trust, pin) = (identity.trust(), identity.fingerprint().to_string());
        let shutdown = CancellationToken::new();
        let (ready, listening) = oneshot::channel();
        let stop = shutdown.clone();
        on_thread("netduel-server", async move {
            let bind = |kind: TransportKind| {
                let port = if audience == Audience::Network { kind.default_port() } else { 0 };
                kind.bind((host, port).into(), &identity, &Options::default())
            };
            match TransportKind::ALL.into_iter().map(bind).collect::<Result<Vec<Listener>, _>>() {
                Err(error) => drop(ready.send(Err(error))),
                Ok(listeners) => {
                    let addresses = listeners.iter().map(|it| (it.kind(), it.local_addr())).collect();
                    if ready.send(Ok(addresses)).is_ok() {
                        let config = Config { drain_timeout: DRAIN, ..Config::default() };
                        netduel_server::run(listeners, config, stop).await;
                    }
                }
            }
        })?;
        let addresses: Vec<_> = listening.await.context("the embedded server did not start")??;
        let (tell, bot) = watch::channel(None);
        let embedded = Self { addresses, trust, pin, bot, shutdown };
        if let Audience::Bot(kind) = audience {
            let config = embedded.player(kind, "bot", 1_000_000 / BOT_RATE_HZ)?;
            let stop = embedded.shutdown.clone();
            on_thread("netduel-bot", async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = bot_forever(&config, &tell) => {}
                }
            })?;
        }
        Ok(embedded)
    }

    /// How a player in this process connects.
    ///
    /// # Errors
    /// A transport that the server does not speak.
    pub fn player(&self, kind: TransportKind, name: &str, period_us: u64) -> anyhow::Result<PlayerConfig> {
        let (_, addr) = (self.addresses.iter())
            .find(|(it, _)| *it == kind)
            .with_context(|| format!("the embedded server does not speak {kind}"))?;
        Ok(PlayerConfig {
            addr: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
            server_name: "127.0.0.1".into(),
            kind,
            trust: Some(self.trust.clone()),
            options: Options::default(),
            name: name.into(),
            period_us,
        })
    }
}

/// This machine's address in its network, for others to join. Asks the routing table only; nothing is sent.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737): any that is not of this machine will do.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn on_thread(name: &str, work: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.into()).spawn(move || runtime.block_on(work))?;
    Ok(())
}

/// Plays one match after another.
async fn bot_forever(config: &PlayerConfig, tell: &watch::Sender<Option<BotSide>>) {
    for seed in 1.. {
        if bot_plays(config, seed, tell).await.is_err() {
            tokio::time::sleep(BOT_BACK_OFF).await;
        }
    }
}

async fn bot_plays(
    config: &PlayerConfig,
    seed: u64,
    tell: &watch::Sender<Option<BotSide>>,
) -> Result<(), PlayError> {
    let mut player = Player::connect(config).await?;
    player.join(None)?;
    while !matches!(player.next_event().await?, Event::Started(_)) {}
    let start_us = clock::now_us();
    let course = BotPath::new(seed);
    let no_timer = |error: std::io::Error| PlayError::CannotSend(error.to_string());
    let mut beat = Ticker::new(start_us, config.period_us).map_err(no_timer)?;
    let mut look = tokio::time::interval(BOT_LOOK);
    let mut live = LiveStats::default();
    loop {
        tokio::select! {
            event = player.next_event() => match event? {
                Event::OpponentMoved { update, freshness, .. } => {
                    live.on_move(player.match_us(clock::now_us()), &update, freshness);
                }
                Event::Pong { rtt_us, up_us, in_server_us } => {
                    let now_us = player.match_us(clock::now_us());
                    live.on_pong(now_us, up_us, in_server_us, rtt_us - up_us);
                }
                Event::OpponentLeft { .. } => break,
                _ => {}
            },
            due_us = beat.next() => drop(player.steer(course.heading(due_us - start_us), due_us)?),
            _ = look.tick() => {
                let now_us = player.match_us(clock::now_us());
                live.on_path(now_us, player.path_stats());
                if let Some(current) = player.current() {
                    let figures = live.figures(now_us, &current.stats, current.sent, current.superseded);
                    let totals = current.stats.finished(now_us).into();
                    tell.send_replace(Some(BotSide { figures: figures.into(), totals }));
                }
                player.ping()?;
            }
        }
    }
    tell.send_replace(None);
    player.close().await;
    Ok(())
}
