//! From runs to figures: one row for each transport on each link, and warnings where the figures are not to be trusted.
//! Pure.

use netduel_client::stats::Samples;
use netduel_link::LinkReport;
use netduel_loadgen::{Connects, Workload};
use netduel_transport::PathStats;
use serde::Serialize;

use crate::{
    analysis::settings,
    data::{
        results::{Failure, LeftOut, Results},
        run_result::RunResult,
    },
    plan::scenario::{Group, RunKey},
};

/// Moves handed to the transport later than this at p99 make small delays doubtful.
pub(crate) const LATENESS_P99_MAX_US: u64 = 1_000;
/// A server that computes for more than this share of the window queues moves inside itself.
pub(crate) const SERVER_CPU_SHARE_MAX: f64 = 0.8;

/// A split of CPU time into user and system is shown from this many ticks of 10 ms on: one tick is 5 % of it then.
const SPLIT_US_MIN: u64 = 20 * 10_000;

/// A figure over the repeats of a run: of all of them together, and how far they lay apart.
///
/// Together, and not the median of them: what is rare on a link (a burst of losses) falls into some repeats and not into
/// others, and a median would leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Of all repeats together.
    pub value: f64,
    /// The smallest of the single repeats.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Figure {
    /// `None` if it is not known of all together; where single repeats do not say, the spread is that of the rest.
    fn from_repeats(value: Option<f64>, repeats: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let value = value?;
        let (min, max) =
            repeats.into_iter().flatten().fold((value, value), |(min, max), it| (min.min(it), max.max(it)));
        Some(Self { value, min, max })
    }
}

/// What the repeats of one combination say.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The combination, with `repeat` 0.
    pub key: RunKey,
    /// How many repeats came to their end.
    pub repeats: usize,
    /// One-way delay at p50, from the intended send time, in µs.
    pub one_way_p50_us: Option<Figure>,
    /// The same at p90.
    pub one_way_p90_us: Option<Figure>,
    /// The same at p99.
    pub one_way_p99_us: Option<Figure>,
    /// The largest, in µs.
    pub one_way_max_us: Option<Figure>,
    /// Age of information, mean over time, in µs.
    pub age_mean_us: Option<Figure>,
    /// Age of information at p99 of the time, in µs.
    pub age_p99_us: Option<Figure>,
    /// Share of the moves sent that arrived as news, from 0 to 1.
    pub fresh_share: Option<Figure>,
    /// Share of the moves sent that a newer one replaced before they left the player or the relay.
    pub superseded_share: Option<Figure>,
    /// From the beginning until paired, at p50, in µs, where players come and go.
    pub paired_p50_us: Option<Figure>,
    /// The same at p90.
    pub paired_p90_us: Option<Figure>,
    /// From the beginning until the other's first move, at p50, in µs.
    pub first_move_p50_us: Option<Figure>,
    /// The same at p90.
    pub first_move_p90_us: Option<Figure>,
    /// Share of the connections that took a TLS session up again.
    pub resumed_share: Option<Figure>,
    /// Server CPU for each connection that came and went, in µs.
    pub connect_cpu_us: Option<Figure>,
    /// Server CPU per fresh move in µs.
    pub server_cpu_us: Option<Figure>,
    /// Part of it outside the kernel in µs, by the share of the ticks.
    pub server_user_us: Option<Figure>,
    /// Part of it in the kernel in µs, likewise.
    pub server_system_us: Option<Figure>,
    /// Times the server was put off the CPU per fresh move.
    pub server_switches: Option<Figure>,
    /// Server's resident memory in bytes.
    pub server_resident_bytes: Option<Figure>,
    /// What the kernel held for its sockets, mean over the window, in bytes: of the repeat with the most.
    pub server_kernel_bytes: Option<Figure>,
    /// Bytes that the server received per fresh move: whole IP packets, counted on the link where there is one, else by
    /// the players' transports.
    pub bytes_in: Option<Figure>,
    /// Bytes that the server sent per fresh move, counted likewise.
    pub bytes_out: Option<Figure>,
    /// Packets that the server received per fresh move, counted where the bytes are.
    pub packets_in: Option<Figure>,
    /// Packets that it sent per fresh move, counted likewise.
    pub packets_out: Option<Figure>,
    /// Share of the packets that the emulated link lost or dropped, both ways, from 0 to 1.
    pub link_lost_share: Option<Figure>,
    /// Lateness of sending at p99, in µs: the harness's own part in the delays.
    pub lateness_p99_us: Option<Figure>,
    /// Congestion control in effect.
    pub congestion: Option<String>,
    /// TLS version and suite in effect.
    pub tls: Option<String>,
    /// Largest packet payload in bytes.
    pub max_packet_bytes: Option<u64>,
    /// What a player's side of the transport said of itself, in the first repeat.
    #[serde(skip)]
    pub players: PathStats,
    /// What the server's side said, likewise.
    #[serde(skip)]
    pub server: Option<PathStats>,
}

impl Row {
    /// Of the repeats of one combination, at least one.
    pub(crate) fn of(runs: &[&RunResult]) -> Self {
        let samples = |pick: fn(&RunResult) -> &Samples, read: &dyn Fn(&Samples) -> Option<f64>| {
            Figure::from_repeats(read(&together(runs, pick)), runs.iter().map(|run| read(pick(run))))
        };
        let quantile =
            |pick, quantile: f64| samples(pick, &|it| it.quantile_us(quantile).map(|us| us as f64));
        let ratio = |part: &dyn Fn(&RunResult) -> Option<u64>, whole: &dyn Fn(&RunResult) -> Option<u64>| {
            let sum = |pick: &dyn Fn(&RunResult) -> Option<u64>| {
                runs.iter().map(|run| pick(run)).sum::<Option<u64>>()
            };
            let of = |part: Option<u64>, whole: Option<u64>| {
                Some(part? as f64 / whole.filter(|&it| it > 0)? as f64)
            };
            Figure::from_repeats(of(sum(part), sum(whole)), runs.iter().map(|run| of(part(run), whole(run))))
        };
        let one_way: fn(&RunResult) -> &Samples = |run| &run.load.stats.one_way;
        let age: fn(&RunResult) -> &Samples = |run| &run.load.stats.age;
        let fresh = |run: &RunResult| Some(run.load.stats.fresh);
        let sent = |run: &RunResult| Some(run.load.sent);
        let split = |part: fn(&RunResult) -> Option<u64>| {
            let ticks = |run: &RunResult| Some(run.server.user_us? + run.server.system_us?);
            let enough = runs.iter().filter_map(|run| ticks(run)).sum::<u64>() >= SPLIT_US_MIN;
            let scaled = |run: &RunResult| Some(run.server.cpu_us? * part(run)? / ticks(run)?.max(1));
            ratio(&scaled, &fresh).filter(|_| enough)
        };
        let path = &runs[0].load.path;
        let of_server = runs[0]
            .counters
            .paths
            .iter()
            .find(|it| Some(it.transport) == runs[0].key.contender.transport.kind());
        let connects = |pick, quantile| connects(runs, pick, quantile);
        Self {
            key: runs[0].key.combination(),
            repeats: runs.len(),
            one_way_p50_us: quantile(one_way, 0.5),
            one_way_p90_us: quantile(one_way, 0.9),
            one_way_p99_us: quantile(one_way, 0.99),
            one_way_max_us: samples(one_way, &|it| it.max_us().map(|us| us as f64)),
            age_mean_us: samples(age, &Samples::mean_us),
            age_p99_us: quantile(age, 0.99),
            fresh_share: ratio(&fresh, &sent),
            superseded_share: ratio(&superseded, &sent),
            paired_p50_us: connects(|it| &it.paired, 0.5),
            paired_p90_us: connects(|it| &it.paired, 0.9),
            first_move_p50_us: connects(|it| &it.first_move, 0.5),
            first_move_p90_us: connects(|it| &it.first_move, 0.9),
            resumed_share: ratio(&|run| Some(run.load.connects.as_ref()?.resumed), &|run| {
                Some(run.load.connects.as_ref()?.count)
            }),
            connect_cpu_us: ratio(&|run| run.server.cpu_us, &|run| Some(run.load.connects.as_ref()?.count)),
            server_cpu_us: ratio(&|run| run.server.cpu_us, &fresh),
            server_user_us: split(|run| run.server.user_us),
            server_system_us: split(|run| run.server.system_us),
            server_switches: ratio(&|run| run.server.context_switches, &fresh),
            server_resident_bytes: largest(runs, |run| run.server.resident_bytes),
            server_kernel_bytes: largest(runs, |run| run.server.kernel_bytes),
            bytes_in: ratio(&bytes_in, &fresh),
            bytes_out: ratio(&bytes_out, &fresh),
            packets_in: ratio(&packets_in, &fresh),
            packets_out: ratio(&packets_out, &fresh),
            link_lost_share: ratio(&|run| Some(dropped(run.link.as_ref()?)), &|run| {
                Some(offered(run.link.as_ref()?))
            }),
            lateness_p99_us: quantile(|run| &run.load.lateness, 0.99),
            congestion: path.congestion.clone(),
            tls: path.tls.clone(),
            max_packet_bytes: path.max_packet_bytes,
            players: path.clone(),
            server: of_server.map(|it| it.path.clone()),
        }
    }
}

/// A quantile of what those who came and went saw.
fn connects(runs: &[&RunResult], pick: fn(&Connects) -> &Samples, quantile: f64) -> Option<Figure> {
    let of = |run: &RunResult| Some(pick(run.load.connects.as_ref()?).quantile_us(quantile)? as f64);
    let mut all = Samples::default();
    runs.iter().filter_map(|run| run.load.connects.as_ref()).for_each(|it| all.merge(pick(it)));
    Figure::from_repeats(all.quantile_us(quantile).map(|us| us as f64), runs.iter().map(|run| of(run)))
}

/// Bytes of the run with the most of them.
fn largest(runs: &[&RunResult], bytes: fn(&RunResult) -> Option<u64>) -> Option<Figure> {
    let of = |run: &&RunResult| Some(bytes(run)? as f64);
    Figure::from_repeats(runs.iter().filter_map(of).reduce(f64::max), runs.iter().map(of))
}

/// The samples of several runs in one distribution.
pub(crate) fn together(runs: &[&RunResult], pick: fn(&RunResult) -> &Samples) -> Samples {
    let mut all = Samples::default();
    runs.iter().for_each(|run| all.merge(pick(run)));
    all
}

/// The repeats of one combination.
pub(crate) fn repeats_of<'a>(results: &'a Results, key: &RunKey) -> Vec<&'a RunResult> {
    results.runs.iter().filter(|run| run.key.combination() == key.combination()).collect()
}

/// The link's counts, where it carried nothing but the game; else the stacks' own.
fn game_alone(run: &RunResult) -> Option<&LinkReport> {
    run.link.as_ref().filter(|_| !run.shared)
}

pub(crate) fn bytes_in(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.sent_bytes, |link| Some(link.up.total().delivered_bytes))
}

pub(crate) fn bytes_out(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.received_bytes, |link| Some(link.down.total().offered_bytes))
}

fn packets_in(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.sent_packets, |link| Some(link.up.total().delivered))
}

fn packets_out(run: &RunResult) -> Option<u64> {
    game_alone(run).map_or(run.load.received_packets, |link| Some(link.down.total().offered))
}

pub(crate) fn dropped(link: &LinkReport) -> u64 {
    [link.up.total(), link.down.total()].iter().map(|path| path.lost + path.queue_dropped).sum()
}

pub(crate) fn offered(link: &LinkReport) -> u64 {
    link.up.total().offered + link.down.total().offered
}

/// The players' part is counted within the window, the relay's over the whole run: scaled to the window.
pub(crate) fn superseded(run: &RunResult) -> Option<u64> {
    let relayed = run.counters.updates_relayed.max(1) as f64;
    let by_relay = run.counters.updates_superseded as f64 * run.load.sent as f64 / relayed;
    Some(run.load.superseded + by_relay.round() as u64)
}

/// Why a figure is not to be trusted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Warning {
    /// A run did not come to its end.
    #[error("{transport} on {link}, repeat {repeat}, failed: {reason}")]
    Failed {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// Which repeat.
        repeat: u32,
        /// Why.
        reason: String,
    },
    /// A run was thrown away, and run again.
    #[error("{transport} on {link}, repeat {repeat}, was thrown away and run again: {reason}")]
    Rejected {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// Which repeat.
        repeat: u32,
        /// Why.
        reason: String,
    },
    /// No links where they were wanted.
    #[error("no emulated links: {0}")]
    NoLinks(String),
    /// A baseline that cannot run here.
    #[error("left out: {0}")]
    LeftOut(LeftOut),
    /// A link was measured to be other than it was asked to be.
    #[error("the link {link} was not what was asked for: {mismatch}")]
    LinkMismatch {
        /// Which link.
        link: String,
        /// In what.
        mismatch: String,
    },
    /// The harness sent too late for its small delays to mean anything.
    #[error(
        "{transport} on {link}: moves were sent up to {lateness_us} µs late (p99), so delays below that are the harness's own; is the machine busy?"
    )]
    SentLate {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// Lateness at p99 in µs.
        lateness_us: u64,
    },
    /// The server had no time to spare.
    #[error(
        "{transport} on {link}: the server computed for {percent:.0} % of the window, so moves queued inside it; lower --rate or --pairs"
    )]
    Saturated {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// CPU share in percent.
        percent: f64,
    },
    /// Not the congestion control that was asked for.
    #[error("{transport}: asked for {asked}, got {got}; see net.ipv4.tcp_allowed_congestion_control")]
    OtherCongestion {
        /// Over which transport.
        transport: String,
        /// Asked for.
        asked: String,
        /// In effect.
        got: String,
    },
    /// The two sides of a transport were not set alike.
    #[error("{transport}: {setting} was {players} on the players' side and {server} on the server's")]
    SettingsDiffer {
        /// Over which transport.
        transport: String,
        /// What was not alike.
        setting: String,
        /// The players' value.
        players: String,
        /// The server's.
        server: String,
    },
    /// The server put players back who keep to the rules.
    #[error("{transport} on {link}: {count} legal moves were corrected; please report this as a bug")]
    Corrected {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// How many.
        count: u64,
    },
    /// Too few samples for a quantile.
    #[error(
        "{transport} on {link}: too few samples for a p99 in each run; raise --duration, --rate or --pairs"
    )]
    TooFewSamples {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
    },
}

/// Everything a report shows.
#[derive(Clone, Debug)]
pub struct Summary {
    /// In the order of links, then of transports, as the scenario names them; A/A controls are not among them, since they
    /// are no other transport ([`crate::Verdict`] knows what they say).
    pub rows: Vec<Row>,
    /// In the same order.
    pub warnings: Vec<Warning>,
}

impl Summary {
    /// Of these results and nothing else.
    pub fn from_results(results: &Results) -> Self {
        let mut keys: Vec<RunKey> = Vec::new();
        for key in results.runs.iter().map(|run| run.key.combination()).filter(|key| key.arm == 0) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.sort_by_key(|key| position_in(results, key));
        let mut summary = Self { rows: Vec::new(), warnings: Vec::new() };
        summary.warn_of_circumstances(results);
        for key in keys {
            let runs = repeats_of(results, &key);
            if !runs.is_empty() {
                let row = Row::of(&runs);
                // A search goes on until something breaks, and says itself what did.
                if results.scenario.search.is_none() {
                    summary.warn(results, &row, &runs);
                }
                summary.rows.push(row);
            }
        }
        summary
    }

    fn warn_of_circumstances(&mut self, results: &Results) {
        self.warnings.extend(results.no_links.clone().map(Warning::NoLinks));
        self.warnings.extend(results.left_out.iter().cloned().map(Warning::LeftOut));
        for calibration in &results.calibrations {
            for mismatch in calibration.probe.mismatches() {
                let (link, mismatch) = (calibration.link.clone(), mismatch.to_string());
                self.warnings.push(Warning::LinkMismatch { link, mismatch });
            }
        }
        for Failure { key, reason } in &results.failures {
            let (transport, link, reason) = (key.to_string(), key.group.to_string(), reason.clone());
            self.warnings.push(Warning::Failed { transport, link, repeat: key.repeat, reason });
        }
        for Failure { key, reason } in &results.rejected {
            let (transport, link, reason) = (key.to_string(), key.group.to_string(), reason.clone());
            self.warnings.push(Warning::Rejected { transport, link, repeat: key.repeat, reason });
        }
    }

    fn warn(&mut self, results: &Results, row: &Row, runs: &[&RunResult]) {
        let (transport, link) = (row.key.contender.to_string(), row.key.group.to_string());
        let window_us = results.scenario.duration_ms as f64 * 1_000.0;
        if let Some(lateness) = row.lateness_p99_us.filter(|it| it.value > LATENESS_P99_MAX_US as f64) {
            let lateness_us = lateness.value as u64;
            self.warnings.push(Warning::SentLate {
                transport: transport.clone(),
                link: link.clone(),
                lateness_us,
            });
        }
        let busiest = runs.iter().filter_map(|run| run.server.cpu_us).max().unwrap_or(0) as f64 / window_us;
        // A closed loop goes as fast as it can.
        if busiest > SERVER_CPU_SHARE_MAX && row.key.group.in_flight == 0 {
            let percent = busiest * 100.0;
            self.warnings.push(Warning::Saturated {
                transport: transport.clone(),
                link: link.clone(),
                percent,
            });
        }
        let asked = row.key.contender.congestion.name();
        // A baseline is not asked.
        let told = row.congestion.as_ref().filter(|_| row.key.contender.transport.kind().is_some());
        if let Some(got) = told.filter(|got| *got != asked) {
            let (asked, got) = (asked.to_owned(), got.clone());
            self.warnings.push(Warning::OtherCongestion { transport: transport.clone(), asked, got });
        }
        for (setting, players, server) in
            row.server.iter().flat_map(|server| settings::differences(&row.players, server))
        {
            let warning = Warning::SettingsDiffer { transport: transport.clone(), setting, players, server };
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let count = runs.iter().map(|run| run.load.corrected).sum();
        if count > 0 {
            self.warnings.push(Warning::Corrected {
                transport: transport.clone(),
                link: link.clone(),
                count,
            });
        }
        // Of a closed loop there are as many as the subject lets pass.
        let enough_wanted = results.scenario.workload == Workload::Moves && row.key.group.in_flight == 0;
        if row.one_way_p99_us.is_none() && enough_wanted {
            self.warnings.push(Warning::TooFewSamples { transport, link });
        }
    }
}

/// Where a combination stands in the scenario: the links as it names them, then by rising numbers.
fn position_in(results: &Results, key: &RunKey) -> impl Ord + use<> {
    let Group { link, rate_hz, in_flight, payload_bytes, pairs } = &key.group;
    (
        results.scenario.links.iter().position(|it| it.name() == *link),
        (*in_flight, *rate_hz, *payload_bytes, *pairs),
        results.scenario.contenders().iter().position(|it| *it == key.contender),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_of_all_repeats_together_with_their_spread() {
        let repeats = [Some(1.0), None, Some(3.0)];
        assert_eq!(Figure::from_repeats(Some(2.5), repeats), Some(Figure { value: 2.5, min: 1.0, max: 3.0 }));
        assert_eq!(Figure::from_repeats(Some(4.0), repeats), Some(Figure { value: 4.0, min: 1.0, max: 4.0 }));
        assert_eq!(Figure::from_repeats(None, repeats), None);
    }
}
