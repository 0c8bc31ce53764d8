//! The local server of *Play now* and *Host*, and its bot. Each runs on its own thread, so the
//! window shows the figures of a real server over real sockets.

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
use netduel_server::{Config, Plaintext, ServerOptions};
use netduel_transport::{Identity, Options, PortSharing, TransportKind, Trust};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The drain time of the local server. It is short because a closing window needs no match played
/// to its end.
const DRAIN: Duration = Duration::from_millis(200);
/// The bot's moves per second: the tick rate of the game.
const BOT_RATE_HZ: u64 = 60;
/// The period of the bot's pings and transport samples. It equals the player's.
const BOT_SAMPLE_PERIOD: Duration = Duration::from_millis(100);
/// The bot's back-off after a lost connection.
const BOT_BACK_OFF: Duration = Duration::from_millis(500);

/// The players that a local server admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Players of this program only: a free loopback port, and a bot that plays over this
    /// transport.
    Bot(TransportKind),
    /// Players of the network: each transport on its default port, unencrypted ones only where the
    /// player asked for that.
    Network(Plaintext),
}

/// The bot's figures of its link.
#[derive(Clone, Debug)]
pub struct BotSide {
    /// Figures of the last seconds.
    pub figures: Arc<Figures>,
    /// Statistics of the whole match.
    pub totals: Arc<MoveStats>,
}

/// A running local server. Dropping it stops the server.
#[derive(Debug)]
pub struct LocalServer {
    /// The listen address of each transport.
    pub addresses: Vec<(TransportKind, SocketAddr)>,
    /// The server's certificate, for players in this process.
    pub trust: Trust,
    /// The fingerprint of the server's key, for players elsewhere.
    pub pin: String,
    /// The bot's figures; `None` without a bot, or before the bot plays.
    pub bot: watch::Receiver<Option<BotSide>>,
    shutdown: CancellationToken,
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl LocalServer {
    /// Starts a server, and its bot if `audience` asks for one.
    ///
    /// # Errors
    /// A port is taken, or the system has no sockets or threads left.
    pub async fn start(audience: Audience) -> anyhow::Result<Self> {
        let host: IpAddr = match audience {
            Audience::Bot(_) => Ipv4Addr::LOCALHOST.into(),
            Audience::Network(_) => Ipv4Addr::UNSPECIFIED.into(),
        };
        let plaintext = match audience {
            Audience::Bot(_) => Plaintext::LoopbackOnly,
            Audience::Network(plaintext) => plaintext,
        };
        let identity = Identity::generate(&["localhost", "127.0.0.1", "::1"].map(String::from))?;
        let (trust, pin) = (identity.trust(), identity.fingerprint().to_string());
        let shutdown = CancellationToken::new();
        let (ready, listening) = oneshot::channel();
        let stop = shutdown.clone();
        on_thread("netduel-server", async move {
            let mut config = Config { drain_timeout: DRAIN, ..Config::default() };
            if matches!(audience, Audience::Bot(_)) {
                config.early_leave = Duration::ZERO; // A player may leave its own bot at will.
            }
            let options = ServerOptions::new(&config, Options::default(), plaintext);
            let address = |kind: TransportKind| {
                let port = if matches!(audience, Audience::Network(_)) { kind.default_port() } else { 0 };
                (kind, (host, port).into())
            };
            let addresses: Vec<_> = options.kinds_at((host, 0).into()).into_iter().map(address).collect();
            match options.bind(&addresses, &identity, PortSharing::Alone) {
                Err(error) => drop(ready.send(Err(error))),
                Ok(listeners) => {
                    let addresses = listeners.iter().map(|it| (it.kind(), it.local_addr())).collect();
                    if ready.send(Ok(addresses)).is_ok() {
                        netduel_server::run(listeners, config, stop).await;
                    }
                }
            }
        })?;
        let addresses: Vec<_> = listening.await.context("the local server did not start")??;
        let (bot_sender, bot) = watch::channel(None);
        let server = Self { addresses, trust, pin, bot, shutdown };
        if let Audience::Bot(kind) = audience {
            let config = server.player(kind, "bot", 1_000_000 / BOT_RATE_HZ)?;
            let stop = server.shutdown.clone();
            on_thread("netduel-bot", async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = bot_forever(&config, &bot_sender) => {}
                }
            })?;
        }
        Ok(server)
    }

    /// Returns the connection settings of a player in this process.
    ///
    /// # Errors
    /// The server does not listen on this transport.
    pub fn player(&self, kind: TransportKind, name: &str, period_us: u64) -> anyhow::Result<PlayerConfig> {
        let (_, addr) = (self.addresses.iter())
            .find(|(it, _)| *it == kind)
            .with_context(|| format!("the local server does not listen on {kind}"))?;
        Ok(PlayerConfig {
            addr: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
            server_name: "127.0.0.1".into(),
            kind,
            trust: Some(self.trust.clone()),
            options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
            name: name.into(),
            period_us,
        })
    }
}

/// Returns this machine's address in its network, for others to join. It asks the routing table and
/// sends nothing.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // A documentation address (RFC 5737). Any address outside this machine selects the route.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Runs `work` on a new thread with its own event loop.
fn on_thread(name: &str, work: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.into()).spawn(move || runtime.block_on(work))?;
    Ok(())
}

/// Plays one match after another, without end.
async fn bot_forever(config: &PlayerConfig, figures: &watch::Sender<Option<BotSide>>) {
    for seed in 1.. {
        if bot_plays(config, seed, figures).await.is_err() {
            tokio::time::sleep(BOT_BACK_OFF).await;
        }
    }
}

/// Plays one match, and publishes the bot's figures.
async fn bot_plays(
    config: &PlayerConfig,
    seed: u64,
    figures: &watch::Sender<Option<BotSide>>,
) -> Result<(), PlayError> {
    let mut player = Player::connect(config).await?;
    player.join(None)?;
    while !matches!(player.next_event().await?, Event::Started(_)) {}
    let start_us = clock::now_us();
    let bot_path = BotPath::new(seed);
    let no_timer = |error: std::io::Error| PlayError::CannotSend(error.to_string());
    let mut ticker = Ticker::new(start_us, config.period_us).map_err(no_timer)?;
    let mut sample = tokio::time::interval(BOT_SAMPLE_PERIOD);
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
            due_us = ticker.next() => drop(player.steer(bot_path.heading(due_us - start_us), due_us)?),
            _ = sample.tick() => {
                let now_us = player.match_us(clock::now_us());
                live.on_path(now_us, player.path_stats());
                if let Some(current) = player.current() {
                    let recent = live.figures(now_us, &current.stats, current.sent, current.superseded);
                    let totals = current.stats.finished(now_us).into();
                    figures.send_replace(Some(BotSide { figures: recent.into(), totals }));
                }
                player.ping()?;
            }
        }
    }
    figures.send_replace(None);
    player.close().await;
    Ok(())
}
