//! The players of a race: a mover and a watcher for each transport.
//!
//! All movers send the same moves at the same moments, over the same link, to the same server. Only
//! the transport differs.

use std::{
    io::{BufRead, Write},
    pin::pin,
    sync::mpsc::{SyncSender, sync_channel},
    task::Poll,
    time::Duration,
};

use anyhow::{Context, ensure};
use netduel_client::{
    Event, Player, PlayerConfig,
    bot_path::BotPath,
    stats::{
        Freshness,
        live::{LiveStats, TRACE_US},
    },
    ticker::Ticker,
};
use netduel_protocol::{clock, game::Heading};
use netduel_transport::{Options, TransportKind, Trust};
use tokio::{sync::watch, time::MissedTickBehavior};

use crate::{
    model::interpolation::Steering,
    race::protocol::{ContenderFigures, ContenderFrame, Frame, Order, Plan, Report},
};

/// The frame time: that of a 60 Hz screen.
const FRAME: Duration = Duration::from_micros(16_667);
/// The period of the figures.
const FIGURES_PERIOD: Duration = Duration::from_millis(100);
/// The number of columns of a trace. A plot across the window shows no more, and ten traces a
/// second are cheap to write.
const TRACE_COLUMNS: usize = 240;
/// Capacity of the report queue: half a second of reports. A window that stalls longer misses
/// frames, but the race never waits for it.
const REPORTS_MAX: usize = 32;

/// One transport in the race, with its two players.
struct Contender {
    mover: Player,
    watcher: Player,
    live: LiveStats,
    newest_us: Option<u64>,
}

/// Plays until standard input closes.
///
/// # Errors
/// A thread or the event loop could not start. A failure of the race is reported to the window.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let first = Order { heading: None, rate_hz: plan.rate_hz };
    let (order_sender, orders) = watch::channel(first);
    std::thread::Builder::new().name("orders".into()).spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Ok(order) = serde_json::from_str(&line) {
                order_sender.send_replace(order);
            }
        }
    })?;
    let (report, reports) = sync_channel::<Report>(REPORTS_MAX);
    let writer = std::thread::Builder::new().name("reports".into()).spawn(move || {
        let mut stdout = std::io::stdout().lock();
        for report in reports {
            let line = serde_json::to_string(&report).unwrap_or_default();
            if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
                return; // The window closed the pipe.
            }
        }
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(race(plan, orders, &report));
    if let Err(error) = &outcome {
        let _ = report.send(Report::Failed(format!("{error:#}")));
    }
    drop(report);
    let _ = writer.join();
    Ok(())
}

async fn race(
    plan: &Plan,
    mut orders: watch::Receiver<Order>,
    report: &SyncSender<Report>,
) -> anyhow::Result<()> {
    let mut contenders = Vec::new();
    for number in 0..plan.kinds.len() {
        contenders.push(Contender::connect(plan, number).await?);
    }
    ensure!(!contenders.is_empty(), "the race has no transports: choose at least one");
    let _ = report.try_send(Report::Started);
    let start_us = clock::now_us();
    let mut moves = MoveSource::new(start_us, plan)?;
    // The first move starts every contender's clock at the same moment, so all later moves are
    // equally long.
    moves.step(&mut contenders, start_us, Some(Heading::default()))?;
    contenders.iter_mut().for_each(|contender| contender.watcher.restart_stats());
    let (mut frame, mut figures_tick) = (tokio::time::interval(FRAME), tokio::time::interval(FIGURES_PERIOD));
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    figures_tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            due_us = moves.ticker.next() => moves.step(&mut contenders, due_us, None)?,
            event = next_event(&mut contenders) => {
                let (number, watches, event) = event?;
                contenders[number].on_event(watches, event).with_context(|| plan.kinds[number].name())?;
            }
            changed = orders.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let order = *orders.borrow_and_update();
                moves.apply(order, &mut contenders)?;
            }
            _ = frame.tick() => drop(report.try_send(Report::Frame(moves.frame(&contenders, start_us)))),
            _ = figures_tick.tick() => {
                let figures: anyhow::Result<_> = contenders.iter_mut().map(Contender::figures).collect();
                let _ = report.try_send(Report::Figures(figures?));
            }
        }
    }
}

/// The generator of the moves, which are the same for all contenders.
struct MoveSource {
    ticker: Ticker,
    order: Order,
    steering: Steering,
    bot_path: BotPath,
    start_us: u64,
}

impl MoveSource {
    fn new(start_us: u64, plan: &Plan) -> anyhow::Result<Self> {
        let order = Order { heading: None, rate_hz: plan.rate_hz };
        let (ticker, bot_path) = (ticker_at(start_us, plan.rate_hz)?, BotPath::new(plan.seed));
        Ok(Self { ticker, order, steering: Steering::new(start_us), bot_path, start_us })
    }

    fn apply(&mut self, order: Order, contenders: &mut [Contender]) -> anyhow::Result<()> {
        let now_us = clock::now_us();
        self.steering.turn(now_us, order.heading().unwrap_or_default());
        if order.rate_hz != self.order.rate_hz {
            self.ticker = ticker_at(now_us, order.rate_hz)?;
            // The age depends on the rate, so the statistics restart with the new rate.
            contenders.iter_mut().for_each(|contender| contender.watcher.restart_stats());
        }
        self.order = order;
        Ok(())
    }

    /// Sends the same move over every contender.
    fn step(
        &mut self,
        contenders: &mut [Contender],
        due_us: u64,
        fixed: Option<Heading>,
    ) -> anyhow::Result<()> {
        let steered = self.steering.take(due_us);
        let scripted = self.bot_path.heading(due_us.saturating_sub(self.start_us));
        let heading = fixed.unwrap_or(if self.order.heading.is_some() { steered } else { scripted });
        for contender in contenders {
            contender.mover.steer(heading, due_us)?;
            // The watcher stands still but sends too, so the reverse direction is as busy as in a
            // real match.
            contender.watcher.steer(Heading::default(), due_us)?;
        }
        Ok(())
    }

    fn frame(&self, contenders: &[Contender], start_us: u64) -> Frame {
        let now_us = clock::now_us();
        let truth = contenders.first().and_then(|contender| contender.mover.current());
        Frame {
            at_us: now_us.saturating_sub(start_us),
            truth: truth.map_or((0.0, 0.0), |current| (current.position.x, current.position.y)),
            contenders: contenders.iter().map(|contender| contender.frame(now_us)).collect(),
        }
    }
}

fn ticker_at(now_us: u64, rate_hz: u32) -> anyhow::Result<Ticker> {
    let period_us = 1_000_000 / u64::from(rate_hz.max(1));
    Ticker::new(now_us + period_us, period_us).context("cannot create a timer")
}

/// Waits for the next event of any player. Returns the contender's index, whether the event is the
/// watcher's, and the event.
async fn next_event(contenders: &mut [Contender]) -> anyhow::Result<(usize, bool, Event)> {
    std::future::poll_fn(|cx| {
        for (number, contender) in contenders.iter_mut().enumerate() {
            // `next_event` is cancel safe, so a pending future may be dropped.
            if let Poll::Ready(event) = pin!(contender.watcher.next_event()).poll(cx) {
                return Poll::Ready(event.map(|event| (number, true, event)));
            }
            if let Poll::Ready(event) = pin!(contender.mover.next_event()).poll(cx) {
                return Poll::Ready(event.map(|event| (number, false, event)));
            }
        }
        Poll::Pending
    })
    .await
    .map_err(Into::into)
}

impl Contender {
    async fn connect(plan: &Plan, number: usize) -> anyhow::Result<Self> {
        let kind: TransportKind = plan.kinds[number];
        let addr = *plan.addresses.get(number).context("the plan has no address for each transport")?;
        let config = PlayerConfig {
            addr,
            server_name: addr.ip().to_string(),
            kind,
            trust: Some(Trust::pin(plan.pin.parse()?)),
            options: Options { protocol: netduel_protocol::NAME.into(), ..Options::default() },
            name: "racer".into(),
            period_us: 1_000_000 / u64::from(plan.rate_hz.max(1)),
        };
        let code = format!("race {number}");
        let mut players = Vec::new();
        for waits in [true, false] {
            let mut player = Player::connect(&config).await?;
            player.join(Some(&code))?;
            let until =
                |event: &Event| matches!((waits, event), (true, Event::Waiting) | (_, Event::Started(_)));
            while !until(&player.next_event().await?) {}
            players.push(player);
        }
        let (watcher, mover) = (
            players.pop().context("the match has no watcher")?,
            players.pop().context("the match has no mover")?,
        );
        let mut contender = Self { mover, watcher, live: LiveStats::default(), newest_us: None };
        while !matches!(contender.mover.next_event().await?, Event::Started(_)) {}
        Ok(contender)
    }

    fn on_event(&mut self, watches: bool, event: Event) -> anyhow::Result<()> {
        match event {
            Event::OpponentMoved { update, freshness, .. } if watches => {
                if self.watcher.clock().offset_us().is_some() {
                    self.live.on_move(self.watcher.match_us(clock::now_us()), &update, freshness);
                }
                if freshness == Freshness::Fresh {
                    self.newest_us = Some(update.at_us);
                }
            }
            Event::OpponentLeft { reason, .. } => {
                anyhow::bail!("the opponent left the match: {reason:?}")
            }
            _ => {}
        }
        Ok(())
    }

    fn frame(&self, now_us: u64) -> ContenderFrame {
        let position = self
            .watcher
            .current()
            .map_or((0.0, 0.0), |current| (current.opponent_position.x, current.opponent_position.y));
        let now_us = self.watcher.match_us(now_us);
        ContenderFrame { position, age_us: self.newest_us.map(|newest_us| now_us.saturating_sub(newest_us)) }
    }

    fn figures(&mut self) -> anyhow::Result<ContenderFigures> {
        let now_us = self.watcher.match_us(clock::now_us());
        self.live.on_path(now_us, self.watcher.path_stats());
        let current = self.watcher.current().context("the match is over")?;
        let figures = self.live.figures(now_us, &current.stats, current.sent, current.superseded);
        let due = figures.received + figures.missing + figures.late;
        // Three decimals keep the lines short, and no plot shows more.
        let short = |value: f64| (value * 1e3).round() / 1e3;
        let trace = self.live.trace(now_us, TRACE_US, TRACE_COLUMNS).age;
        Ok(ContenderFigures {
            age: figures.age,
            age_mean_us: current.stats.age.mean_us(),
            age_p99_us: current.stats.age.quantile_us(0.99),
            freezes: figures.freezes,
            missing_percent: (due > 0).then(|| figures.missing as f64 * 100.0 / due as f64),
            received_bytes_per_s: figures.rates.received_bytes_per_s,
            trace: trace.iter().map(|point| point.map(short)).collect(),
            now_s: now_us as f64 / 1e6,
        })
    }
}
