//! From runs to figures: one row for each transport on each link, and warnings where the figures are not to be trusted.
//! Pure.

use netduel_client::stats::Samples;
use serde::Serialize;

use crate::{harness::RunResult, results::Results, scenario::RunKey};

/// Moves handed to the transport later than this at p99 make small delays doubtful.
const LATENESS_P99_MAX_US: u64 = 1_000;
/// A server that computes for more than this share of the window queues moves inside itself.
const SERVER_CPU_SHARE_MAX: f64 = 0.8;

/// A figure over the repeats of a run: the median, and how far the repeats lay apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The median of the repeats; of an even number, the mean of the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Figure {
    /// Of the values that are known; `None` if any is missing, since a median of the rest would mean something else.
    fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect::<Option<_>>()?;
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            *values.get(middle)?
        } else {
            (values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0
        };
        Some(Self { median, min: values[0], max: values[values.len() - 1] })
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
    /// The largest delay of each repeat, in µs.
    pub one_way_max_us: Option<Figure>,
    /// Age of information, mean over time, in µs.
    pub age_mean_us: Option<Figure>,
    /// Age of information at p99 of the time, in µs.
    pub age_p99_us: Option<Figure>,
    /// Share of the moves sent that arrived as news, from 0 to 1.
    pub fresh_share: Option<Figure>,
    /// Share of the moves sent that a newer one replaced before they left the player or the relay.
    pub superseded_share: Option<Figure>,
    /// Server CPU per fresh move in µs.
    pub server_cpu_us: Option<Figure>,
    /// Server's resident memory in bytes.
    pub server_resident_bytes: Option<Figure>,
    /// Bytes that the server received per fresh move.
    pub bytes_in: Option<Figure>,
    /// Bytes that the server sent per fresh move.
    pub bytes_out: Option<Figure>,
    /// Lateness of sending at p99, in µs: the harness's own part in the delays.
    pub lateness_p99_us: Option<Figure>,
    /// Congestion control in effect.
    pub congestion: Option<String>,
    /// TLS version and suite in effect.
    pub tls: Option<String>,
    /// Largest packet payload in bytes.
    pub max_packet_bytes: Option<u64>,
}

impl Row {
    fn of(runs: &[&RunResult]) -> Self {
        let figure = |read: &dyn Fn(&RunResult) -> Option<f64>| Figure::of(runs.iter().map(|run| read(run)));
        let quantile = |pick: fn(&RunResult) -> &Samples, quantile: f64| {
            figure(&|run| pick(run).quantile_us(quantile).map(|us| us as f64))
        };
        let one_way: fn(&RunResult) -> &Samples = |run| &run.load.stats.one_way;
        let per_fresh = |pick: &dyn Fn(&RunResult) -> Option<u64>| {
            figure(&|run| Some(pick(run)? as f64 / positive(run.load.stats.fresh)?))
        };
        let of_sent = |pick: &dyn Fn(&RunResult) -> u64| {
            figure(&|run| Some(pick(run) as f64 / positive(run.load.sent)?))
        };
        let path = &runs[0].load.path;
        Self {
            key: RunKey { repeat: 0, ..runs[0].key.clone() },
            repeats: runs.len(),
            one_way_p50_us: quantile(one_way, 0.5),
            one_way_p90_us: quantile(one_way, 0.9),
            one_way_p99_us: quantile(one_way, 0.99),
            one_way_max_us: figure(&|run| one_way(run).max_us().map(|us| us as f64)),
            age_mean_us: figure(&|run| run.load.stats.age.mean_us()),
            age_p99_us: quantile(|run| &run.load.stats.age, 0.99),
            fresh_share: of_sent(&|run| run.load.stats.fresh),
            superseded_share: figure(&superseded_share),
            server_cpu_us: per_fresh(&|run| run.server.cpu_us),
            server_resident_bytes: figure(&|run| run.server.resident_bytes.map(|bytes| bytes as f64)),
            bytes_in: per_fresh(&|run| run.load.sent_bytes),
            bytes_out: per_fresh(&|run| run.load.received_bytes),
            lateness_p99_us: quantile(|run| &run.load.lateness, 0.99),
            congestion: path.congestion.clone(),
            tls: path.tls.clone(),
            max_packet_bytes: path.max_packet_bytes,
        }
    }
}

/// The players' part is counted within the window, the relay's over the whole run, each against its own total.
fn superseded_share(run: &RunResult) -> Option<f64> {
    let by_players = run.load.superseded as f64 / positive(run.load.sent)?;
    let by_relay = run.counters.updates_superseded as f64 / positive(run.counters.updates_relayed)?;
    Some(by_players + by_relay)
}

fn positive(count: u64) -> Option<f64> {
    (count > 0).then_some(count as f64)
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
    /// In the order of links, then of transports, as the scenario names them.
    pub rows: Vec<Row>,
    /// In the same order.
    pub warnings: Vec<Warning>,
}

impl Summary {
    /// Of these results and nothing else.
    pub fn of(results: &Results) -> Self {
        let mut keys: Vec<RunKey> = results.scenario.runs();
        keys.retain(|key| key.repeat == 0);
        keys.sort_by_key(|key| position_in(results, key));
        let mut summary = Self { rows: Vec::new(), warnings: Vec::new() };
        for failure in &results.failures {
            summary.warnings.push(Warning::Failed {
                transport: failure.key.transport.to_string(),
                link: failure.key.link.clone(),
                repeat: failure.key.repeat,
                reason: failure.reason.clone(),
            });
        }
        for key in keys {
            let same = |run: &&RunResult| RunKey { repeat: 0, ..run.key.clone() } == key;
            let runs: Vec<&RunResult> = results.runs.iter().filter(same).collect();
            if !runs.is_empty() {
                let row = Row::of(&runs);
                summary.warn(results, &row, &runs);
                summary.rows.push(row);
            }
        }
        summary
    }

    fn warn(&mut self, results: &Results, row: &Row, runs: &[&RunResult]) {
        let (transport, link) = (row.key.transport.to_string(), row.key.link.clone());
        let window_us = results.scenario.duration_ms as f64 * 1_000.0;
        if let Some(lateness) = row.lateness_p99_us.filter(|it| it.median > LATENESS_P99_MAX_US as f64) {
            let lateness_us = lateness.median as u64;
            self.warnings.push(Warning::SentLate {
                transport: transport.clone(),
                link: link.clone(),
                lateness_us,
            });
        }
        let busiest = runs.iter().filter_map(|run| run.server.cpu_us).max().unwrap_or(0) as f64 / window_us;
        if busiest > SERVER_CPU_SHARE_MAX {
            let percent = busiest * 100.0;
            self.warnings.push(Warning::Saturated {
                transport: transport.clone(),
                link: link.clone(),
                percent,
            });
        }
        let asked = results.scenario.congestion.name();
        if let Some(got) = row.congestion.as_ref().filter(|got| *got != asked) {
            let (asked, got) = (asked.to_owned(), got.clone());
            self.warnings.push(Warning::OtherCongestion { transport: transport.clone(), asked, got });
        }
        let count = runs.iter().map(|run| run.load.corrected).sum();
        if count > 0 {
            self.warnings.push(Warning::Corrected {
                transport: transport.clone(),
                link: link.clone(),
                count,
            });
        }
        if row.one_way_p99_us.is_none() {
            self.warnings.push(Warning::TooFewSamples { transport, link });
        }
    }
}

/// Where a combination stands in the scenario.
fn position_in(results: &Results, key: &RunKey) -> impl Ord + use<> {
    let scenario = &results.scenario;
    (
        scenario.links.iter().position(|link| *link == key.link),
        scenario.rates_hz.iter().position(|rate| *rate == key.rate_hz),
        scenario.pairs.iter().position(|pairs| *pairs == key.pairs),
        scenario.relays.iter().position(|relay| *relay == key.relay),
        scenario.transports.iter().position(|kind| *kind == key.transport),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_with_its_spread_or_nothing() {
        let of = |values: &[f64]| Figure::of(values.iter().copied().map(Some));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Figure { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(of(&[4.0, 1.0]), Some(Figure { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(of(&[]), None);
        assert_eq!(Figure::of([Some(1.0), None]), None);
    }
}
