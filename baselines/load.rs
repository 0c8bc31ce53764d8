//! The players of a baseline under our load and our statistics. A move consists of its number and
//! its intended send time, in 24 hexadecimal digits.

use std::{io::Write, net::SocketAddr, ops::Range, str};

use anyhow::{Context, bail};
use netduel_client::stats::MoveStats;
use netduel_loadgen::{LoadPlan, LoadPlayer, MoveCounts, PlayerEvent, Sent, Subject, run_with};
use netduel_protocol::{Move, clock, game::Heading};
use netduel_transport::{PathStats, Trust};
use tokio::task::JoinSet;

use crate::{Baseline, Player, Update};

/// The number of players that connect at once. PodSixNet has a backlog of five and accepts one
/// connection per pump.
const CONNECTING_MAX: usize = 4;
/// The digits of a move's number. The remaining digits are its time.
const SEQ_DIGITS: usize = 8;

/// Carries out the plan on standard input, which `netduel-reports` writes.
///
/// # Errors
/// A player that could not connect or play, and the reason.
pub fn play() -> anyhow::Result<()> {
    run_with(connect_all)
}

/// Connects a few players at a time. With more, the ticks and pumps of some baselines would take
/// longer than the time for which they keep a silent player.
async fn connect_all(plan: &LoadPlan) -> anyhow::Result<Vec<LoadedPlayer>> {
    let (trust, period_us) = (plan.trusted.trust()?, plan.period_us());
    let subjects: Vec<Subject> = plan.pairs.iter().flatten().copied().collect();
    let mut players = Vec::new();
    for few in subjects.chunks(CONNECTING_MAX) {
        let mut connecting = JoinSet::new();
        for subject in few {
            let baseline = subject.baseline().with_context(|| format!("{subject} is not a baseline"))?;
            let (addr, trust) = (plan.address(*subject)?, trust.clone());
            connecting.spawn(async move {
                let connected = LoadedPlayer::connect(baseline, addr, trust.as_ref(), period_us).await;
                connected.with_context(|| format!("cannot connect to {baseline}"))
            });
        }
        while let Some(connected) = connecting.join_next().await {
            players.push(connected??);
        }
    }
    Ok(players)
}

/// A player with the same statistics as our players.
struct LoadedPlayer {
    player: Player,
    stats: MoveStats,
    seq: u32,
    sent: u64,
}

impl LoadedPlayer {
    async fn connect(
        baseline: Baseline,
        addr: SocketAddr,
        trust: Option<&Trust>,
        period_us: u64,
    ) -> anyhow::Result<Self> {
        let player = Player::connect(baseline, addr, trust).await?;
        Ok(Self { player, stats: MoveStats::new(period_us), seq: 0, sent: 0 })
    }
}

impl LoadPlayer for LoadedPlayer {
    async fn send(&mut self, _heading: Heading, due_us: u64) -> anyhow::Result<Sent> {
        self.seq += 1;
        self.sent += u64::from(self.stats.counts(due_us));
        self.player.send(&encode(self.seq, due_us)?).await?;
        Ok(Sent { seq: self.seq, replaced: 0 })
    }

    async fn next(&mut self) -> anyhow::Result<PlayerEvent> {
        let update = self.player.next().await?;
        let (seq, at_us) = decode(&update).context("received a move that no player sent")?;
        // Both players share a host and its clock, so the clock has no error.
        self.stats.on_move(clock::now_us(), &Move { seq, at_us, ..Move::default() }, 0);
        Ok(PlayerEvent::Moved(seq))
    }

    fn ping(&mut self) -> anyhow::Result<()> {
        bail!("a baseline answers no pings: measure round trips on our transports only")
    }

    fn open(&mut self, begin_us: u64, window_us: Range<u64>) {
        self.stats.open(begin_us, window_us);
        self.sent = 0;
    }

    fn finish(&mut self) -> anyhow::Result<MoveCounts> {
        self.stats.finish(clock::now_us());
        Ok(MoveCounts { stats: self.stats.clone(), sent: self.sent, superseded: 0 })
    }

    fn path_stats(&self) -> PathStats {
        self.player.path_stats()
    }

    async fn close(self) {
        self.player.close().await;
    }
}

fn encode(seq: u32, at_us: u64) -> anyhow::Result<Update> {
    let mut update = Update::default();
    write!(&mut update[..], "{seq:08x}{at_us:016x}")?;
    Ok(update)
}

fn decode(update: &Update) -> Option<(u32, u64)> {
    let (seq, at_us) = str::from_utf8(update).ok()?.split_at_checked(SEQ_DIGITS)?;
    Some((u32::from_str_radix(seq, 16).ok()?, u64::from_str_radix(at_us, 16).ok()?))
}
