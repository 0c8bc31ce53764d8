//! `netduel-bot`: a player without a window, which walks a scripted path and prints its opponent's
//! statistics.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use netduel_client::{Event, PlayError, Player, bot_path::BotPath, cli::BotCli, match_code, ticker::Ticker};
use netduel_protocol::{clock, game::Position};
use netduel_transport::ConnectError;
use tokio::time::{Instant, sleep_until};

/// The period of pings: short enough to track the clock, too long to disturb the measurement.
const PING_PERIOD: Duration = Duration::from_millis(100);
const STATUS_PERIOD: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(PlayError::Connect(ConnectError::Untrusted(_))) = error.downcast_ref() {
                eprintln!(
                    "Give the server's certificate file with --ca, or its key's fingerprint with --pin."
                );
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let cli = BotCli::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(play(&cli))
}

async fn play(cli: &BotCli) -> anyhow::Result<()> {
    let period_us = 1_000_000 / u64::from(cli.rate);
    let config = cli.connect.config(&cli.name, period_us).await?;
    let mut player = Player::connect(&config).await?;
    println!("connected to {} over {}", config.addr, config.kind);
    let code = cli.code.as_deref().map(match_code::chosen);
    if let Some(code) = code.as_ref().filter(|code| cli.code.as_ref() != Some(code)) {
        println!("match code {code}: the opponent gives it with --code");
    }
    player.join(code.as_deref())?;
    loop {
        match player.next_event().await? {
            Event::Waiting => println!("waiting for an opponent: start another netduel-bot"),
            Event::Started(started) => {
                println!(
                    "match {}: player {} against {} (over {})",
                    started.match_id, started.player, started.opponent_name, started.opponent_transport
                );
                break;
            }
            other => println!("{other:?}"),
        }
    }
    let outcome = walk(cli, &mut player, period_us).await;
    player.finish_stats();
    summary(&player);
    player.close().await;
    println!("{}", outcome?);
    Ok(())
}

/// Walks until the time or the match is over. Returns which of them ended.
async fn walk(cli: &BotCli, player: &mut Player, period_us: u64) -> anyhow::Result<String> {
    let bot_path = BotPath::new(cli.seed);
    let start_us = clock::now_us();
    let mut ticker = Ticker::new(start_us + period_us, period_us).context("the system has no timer")?;
    let mut pings = tokio::time::interval(PING_PERIOD);
    let mut statuses = tokio::time::interval(STATUS_PERIOD);
    let end = Instant::now() + Duration::from_secs(cli.duration.unwrap_or(u32::MAX.into()));
    loop {
        tokio::select! {
            event = player.next_event() => match event? {
                Event::OpponentLeft { reason, positions } => {
                    return Ok(format!("the opponent left ({reason:?}); final positions: {}", pair(positions)));
                }
                Event::Draining { seconds } => println!("the server shuts down in {seconds} s"),
                Event::Corrected(correction) => println!("corrected to {}", at(correction.position)),
                Event::Reconnecting { reason, within } => {
                    println!("{reason}: reconnecting for up to {} s", within.as_secs());
                }
                Event::Resumed => println!("back in the match, over {}", player.kind()),
                Event::OpponentReconnecting { within } => {
                    println!("the opponent's connection is lost: it has {} s to reconnect", within.as_secs());
                }
                Event::OpponentBack { transport } => println!("the opponent is back (over {transport})"),
                Event::Waiting | Event::Started(_) | Event::OpponentMoved { .. } | Event::Pong { .. } => {}
            },
            due_us = ticker.next() => drop(player.steer(bot_path.heading(due_us - start_us), due_us)?),
            _ = pings.tick() => player.ping()?,
            _ = statuses.tick() => status(player),
            () = sleep_until(end) => return Ok("the time is over".into()),
        }
    }
}

/// Prints one line that stays in place in a terminal, and nothing to a log file.
fn status(player: &Player) {
    let Some(current) = player.current().filter(|_| std::io::stdout().is_terminal()) else { return };
    let median = current.stats.one_way.quantile_us(0.5).map_or("–".into(), milliseconds);
    print!(
        "\r  me {}  opponent {}  one-way {median}   ",
        at(current.position),
        at(current.opponent_position)
    );
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

fn summary(player: &Player) {
    let Some(current) = player.current() else { return };
    let stats = &current.stats;
    let quantile = |samples: &netduel_client::stats::Samples, quantile: f64| {
        samples.quantile_us(quantile).map_or("too few samples".to_owned(), milliseconds)
    };
    println!(
        "\rsent      {} moves, {} of them superseded before they left",
        current.sent, current.superseded
    );
    let (at_once, late) = (stats.superseded_on_arrival, stats.late);
    println!(
        "received  {} fresh, {at_once} replaced at once, {late} late, {} missing",
        stats.fresh, stats.missing
    );
    println!(
        "one-way   p50 {}, p99 {}, clock error at most {}",
        quantile(&stats.one_way, 0.5),
        quantile(&stats.one_way, 0.99),
        milliseconds(stats.clock_error_us.into())
    );
    println!(
        "age       mean {}, p99 {}",
        stats.age.mean_us().map_or("–".into(), |mean| milliseconds(mean as u64)),
        quantile(&stats.age, 0.99)
    );
    println!("jitter    {}, {} freezes", milliseconds(stats.jitter_us as u64), stats.freezes);
    println!(
        "round trip p50 {} (by the transport's own measurement: {})",
        quantile(&player.clock().rtt, 0.5),
        player.path_stats().rtt_us.map_or("unknown".into(), milliseconds)
    );
}

fn milliseconds(value_us: u64) -> String {
    format!("{:.2} ms", value_us as f64 / 1_000.0)
}

fn at(position: Position) -> String {
    format!("({:.0}, {:.0})", position.x, position.y)
}

fn pair([first, second]: [Position; 2]) -> String {
    format!("{} and {}", at(first), at(second))
}
