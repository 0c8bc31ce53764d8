//! The players of a race: for each transport one who moves and one who watches. All movers send the same moves at the same
//! moments, over the same link, to the same server; only the transport differs.

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
    race::protocol::{Frame, LaneFigures, LaneFrame, Order, Plan, Report},
};

/// Frames a second: as many as a common screen shows.
const FRAME: Duration = Duration::from_micros(16_667);
/// Between two sets of figures.
const LOOK: Duration = Duration::from_millis(100);
/// Columns of the traces: what a plot across a window can show, and little enough to write ten times a second.
const TRACE_COLUMNS: usize = 240;
/// Reports that wait for the window: half a second of them. A window that stalls longer misses frames, and the race does
/// not wait for it.
const REPORTS_MAX: usize = 32;

/// A transport in the race.
struct Lane {
    mover: Player,
    watcher: Player,
    live: LiveStats,
    newest_us: Option<u64>,
}

/// Plays until standard input closes.
///
/// # Errors
/// Who could not connect or play, and why.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let first = Order { heading: None, rate_hz: plan.rate_hz };
    let (tell, orders) = watch::channel(first);
    std::thread::Builder::new().name("orders".into()).spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Ok(order) = serde_json::from_str(&line) {
                tell.send_replace(order);
            }
        }
    })?;
    let (report, reports) = sync_channel::<Report>(REPORTS_MAX);
    let writer = std::thread::Builder::new().name("reports".into()).spawn(move || {
        let mut stdout = std::io::stdout().lock();
        for report in reports {
            let line = serde_json::to_string(&report).unwrap_or_default();
            if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
                return; // Nobody reads any more.
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
    let mut lanes = Vec::new();
    for number in 0..plan.kinds.len() {
        lanes.push(Lane::connect(plan, number).await?);
    }
    ensure!(!lanes.is_empty(), "nothing to race");
    let _ = report.try_send(Report::Started);
    let start_us = clock::now_us();
    let mut drive = Drive::new(start_us, plan)?;
    // The first move opens everybody's clock at the same moment, so that all the others are equally long.
    drive.step(&mut lanes, start_us, Some(Heading::default()))?;
    lanes.iter_mut().for_each(|lane| lane.watcher.restart_stats());
    let (mut frame, mut look) = (tokio::time::interval(FRAME), tokio::time::interval(LOOK));
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            due_us = drive.beat.next() => drive.step(&mut lanes, due_us, None)?,
            event = next_event(&mut lanes) => {
                let (number, watches, event) = event?;
                lanes[number].on_event(watches, event).with_context(|| plan.kinds[number].name())?;
            }
            changed = orders.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let order = *orders.borrow_and_update();
                drive.obey(order, &mut lanes)?;
            }
            _ = frame.tick() => drop(report.try_send(Report::Frame(drive.frame(&lanes, start_us)))),
            _ = look.tick() => {
                let figures: anyhow::Result<_> = lanes.iter_mut().map(Lane::look).collect();
                let _ = report.try_send(Report::Figures(figures?));
            }
        }
    }
}

/// Whose turn it is to move, and where to.
struct Drive {
    beat: Ticker,
    order: Order,
    steering: Steering,
    course: BotPath,
    start_us: u64,
}

impl Drive {
    fn new(start_us: u64, plan: &Plan) -> anyhow::Result<Self> {
        let order = Order { heading: None, rate_hz: plan.rate_hz };
        let (beat, course) = (beat(start_us, plan.rate_hz)?, BotPath::new(plan.seed));
        Ok(Self { beat, order, steering: Steering::new(start_us), course, start_us })
    }

    fn obey(&mut self, order: Order, lanes: &mut [Lane]) -> anyhow::Result<()> {
        let now_us = clock::now_us();
        self.steering.turn(now_us, order.heading().unwrap_or_default());
        if order.rate_hz != self.order.rate_hz {
            self.beat = beat(now_us, order.rate_hz)?;
            // The age depends on the rate, so what was measured at another is no part of it.
            lanes.iter_mut().for_each(|lane| lane.watcher.restart_stats());
        }
        self.order = order;
        Ok(())
    }

    /// The same move for everybody.
    fn step(&mut self, lanes: &mut [Lane], due_us: u64, fixed: Option<Heading>) -> anyhow::Result<()> {
        let steered = self.steering.take(due_us);
        let scripted = self.course.heading(due_us.saturating_sub(self.start_us));
        let heading = fixed.unwrap_or(if self.order.heading.is_some() { steered } else { scripted });
        for lane in lanes {
            lane.mover.steer(heading, due_us)?;
            // A player who stands still sends, too: so the way back is as busy as in a real match.
            lane.watcher.steer(Heading::default(), due_us)?;
        }
        Ok(())
    }

    fn frame(&self, lanes: &[Lane], start_us: u64) -> Frame {
        let now_us = clock::now_us();
        let truth = lanes.first().and_then(|lane| lane.mover.current());
        Frame {
            at_us: now_us.saturating_sub(start_us),
            truth: truth.map_or((0.0, 0.0), |current| (current.position.x, current.position.y)),
            lanes: lanes.iter().map(|lane| lane.frame(now_us)).collect(),
        }
    }
}

fn beat(now_us: u64, rate_hz: u32) -> anyhow::Result<Ticker> {
    let period_us = 1_000_000 / u64::from(rate_hz.max(1));
    Ticker::new(now_us + period_us, period_us).context("no timer")
}

/// The next event of anybody: the lane, whether it is the watcher's, and the event.
async fn next_event(lanes: &mut [Lane]) -> anyhow::Result<(usize, bool, Event)> {
    std::future::poll_fn(|cx| {
        for (number, lane) in lanes.iter_mut().enumerate() {
            // Cancel safe, so a future that is not ready yet may be dropped.
            if let Poll::Ready(event) = pin!(lane.watcher.next_event()).poll(cx) {
                return Poll::Ready(event.map(|event| (number, true, event)));
            }
            if let Poll::Ready(event) = pin!(lane.mover.next_event()).poll(cx) {
                return Poll::Ready(event.map(|event| (number, false, event)));
            }
        }
        Poll::Pending
    })
    .await
    .map_err(Into::into)
}

impl Lane {
    async fn connect(plan: &Plan, number: usize) -> anyhow::Result<Self> {
        let kind: TransportKind = plan.kinds[number];
        let addr = *plan.addresses.get(number).context("no address for each transport")?;
        let config = PlayerConfig {
            addr,
            server_name: addr.ip().to_string(),
            kind,
            trust: Some(Trust::pin(plan.pin.parse()?)),
            options: Options::default(),
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
        let (watcher, mover) = (players.pop().context("no watcher")?, players.pop().context("no mover")?);
        let mut lane = Self { mover, watcher, live: LiveStats::default(), newest_us: None };
        while !matches!(lane.mover.next_event().await?, Event::Started(_)) {}
        Ok(lane)
    }

    fn on_event(&mut self, watches: bool, event: Event) -> anyhow::Result<()> {
        match event {
            Event::OpponentMoved { update, freshness, .. } if watches => {
                self.live.on_move(self.watcher.match_us(clock::now_us()), &update, freshness);
                if freshness == Freshness::Fresh {
                    self.newest_us = Some(update.at_us);
                }
            }
            Event::OpponentLeft { reason, .. } => anyhow::bail!("the other player left: {reason:?}"),
            _ => {}
        }
        Ok(())
    }

    fn frame(&self, now_us: u64) -> LaneFrame {
        let position = self
            .watcher
            .current()
            .map_or((0.0, 0.0), |current| (current.opponent_position.x, current.opponent_position.y));
        let now_us = self.watcher.match_us(now_us);
        LaneFrame { position, age_us: self.newest_us.map(|newest_us| now_us.saturating_sub(newest_us)) }
    }

    fn look(&mut self) -> anyhow::Result<LaneFigures> {
        let now_us = self.watcher.match_us(clock::now_us());
        self.live.on_path(now_us, self.watcher.path_stats());
        let current = self.watcher.current().context("the match is over")?;
        let figures = self.live.figures(now_us, &current.stats, current.sent, current.superseded);
        let due = figures.received + figures.missing + figures.late;
        // Shorter in the file, and no plot shows more.
        let short = |value: f64| (value * 1e3).round() / 1e3;
        let trace = self.live.trace(now_us, TRACE_US, TRACE_COLUMNS).age;
        Ok(LaneFigures {
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
