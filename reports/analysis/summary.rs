//! The summary of results: one row of figures for each transport on each link, and warnings about
//! figures that are not to be trusted. Pure.

use netduel_client::stats::Samples;
use netduel_loadgen::Workload;
use netduel_transport::PathStats;
use serde::Serialize;

use crate::{
    analysis::{
        repeats::{Figure, Repeats, repeats_of},
        settings,
        traffic::{bytes_in, bytes_out, dropped, offered, packets_in, packets_out, superseded},
        warning::Warning,
    },
    data::{
        results::{Failure, Results},
        run_result::RunResult,
    },
    plan::scenario::{Group, RunKey},
};

/// The largest acceptable lateness of sending at p99, in µs. Beyond it, small delays are doubtful.
pub(crate) const LATENESS_P99_MAX_US: u64 = 1_000;
/// The same bound on links, in µs: about half of the time between two moves at 60 Hz. A stall that
/// the arms share ends for all of them at once, and its packets take a busy machine milliseconds.
/// All arms are late alike. Beyond the bound, the runs beside one another are too many.
pub(crate) const LATENESS_ON_LINK_P99_MAX_US: u64 = 8_000;
/// The largest acceptable share of the window that the server computes. Beyond it, moves queue
/// inside the server.
pub(crate) const SERVER_CPU_SHARE_MAX: f64 = 0.8;

/// The figures over all repeats of one combination.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The combination, with `repeat` 0.
    pub key: RunKey,
    /// The number of completed repeats.
    pub repeats: usize,
    /// The one-way delay at p50, from the intended send time, in µs.
    pub one_way_p50_us: Option<Figure>,
    /// The one-way delay at p90, in µs.
    pub one_way_p90_us: Option<Figure>,
    /// The one-way delay at p99, in µs.
    pub one_way_p99_us: Option<Figure>,
    /// The largest one-way delay, in µs.
    pub one_way_max_us: Option<Figure>,
    /// The age of information, mean over time, in µs.
    pub age_mean_us: Option<Figure>,
    /// The age of information at p50 of the time, in µs.
    pub age_p50_us: Option<Figure>,
    /// The age of information at p99 of the time, in µs. It is also the delay of the playout that
    /// stalls for 1 % of the time: the delay that a player perceives.
    pub age_p99_us: Option<Figure>,
    /// The age at p99 of the player with the highest, in µs.
    pub worst_player_age_p99_us: Option<Figure>,
    /// The age at p99 of the player with the lowest, in µs.
    pub best_player_age_p99_us: Option<Figure>,
    /// The freezes by player and minute.
    pub freezes_per_minute: Option<Figure>,
    /// The longest freeze of any player, in µs.
    pub longest_freeze_us: Option<Figure>,
    /// The share of the sent moves that arrived as news, from 0 to 1.
    pub fresh_share: Option<Figure>,
    /// The share of the sent moves that a newer move replaced before they left the player or the
    /// relay.
    pub superseded_share: Option<Figure>,
    /// The time from the beginning of a connect until paired, at p50, in µs, if players come and
    /// go.
    pub paired_p50_us: Option<Figure>,
    /// The time until paired at p90, in µs.
    pub paired_p90_us: Option<Figure>,
    /// The time until paired at p99, in µs.
    pub paired_p99_us: Option<Figure>,
    /// The time from the beginning of a connect until the opponent's first move, at p50, in µs.
    pub first_move_p50_us: Option<Figure>,
    /// The time until the opponent's first move at p90, in µs.
    pub first_move_p90_us: Option<Figure>,
    /// The time until the opponent's first move at p99, in µs.
    pub first_move_p99_us: Option<Figure>,
    /// The share of the connections that resumed a TLS session.
    pub resumed_share: Option<Figure>,
    /// The server's CPU time per connection, in µs.
    pub connect_cpu_us: Option<Figure>,
    /// The share of the sent moves that another one replaced as it arrived: those of a burst.
    pub outdated_share: Option<Figure>,
    /// The CPU time of server, players and emulator together per fresh move, in µs: the median of
    /// the repeats.
    pub machine_cpu_us: Option<Figure>,
    /// The server's CPU time per fresh move, in µs: the median of the repeats.
    pub server_cpu_us: Option<Figure>,
    /// The part of the CPU time outside the kernel, in µs, by the share of the ticks.
    pub server_user_us: Option<Figure>,
    /// The part of the CPU time in the kernel, in µs, by the share of the ticks.
    pub server_system_us: Option<Figure>,
    /// The server's context switches per fresh move.
    pub server_switches: Option<Figure>,
    /// The server's resident memory in bytes.
    pub server_resident_bytes: Option<Figure>,
    /// The kernel memory of the server's sockets, mean over the window, in bytes, of the repeat
    /// with the most.
    pub server_kernel_bytes: Option<Figure>,
    /// The bytes that the server received per fresh move, as the median of the repeats. Whole IP
    /// packets are counted on the emulated link, or on loopback by the players' transports.
    pub bytes_in: Option<Figure>,
    /// The bytes that the server sent per fresh move, counted like `bytes_in`.
    pub bytes_out: Option<Figure>,
    /// The packets that the server received per fresh move, counted like `bytes_in`.
    pub packets_in: Option<Figure>,
    /// The packets that the server sent per fresh move, counted like `bytes_in`.
    pub packets_out: Option<Figure>,
    /// The share of the packets that the emulated link lost or dropped in both directions, from 0
    /// to 1.
    pub link_lost_share: Option<Figure>,
    /// The lateness of sending at p99, in µs: the part of the delays that the harness causes.
    pub lateness_p99_us: Option<Figure>,
    /// The congestion control in effect.
    pub congestion: Option<String>,
    /// The TLS version and cipher suite in effect.
    pub tls: Option<String>,
    /// The largest packet payload in bytes.
    pub max_packet_bytes: Option<u64>,
    /// The statistics of a player's side of the transport, from the first repeat.
    #[serde(skip)]
    pub players: PathStats,
    /// The statistics of the server's side of the transport, from the first repeat.
    #[serde(skip)]
    pub server: Option<PathStats>,
}

impl Row {
    /// Returns the row of one combination, from at least one repeat.
    pub(crate) fn from_repeats(repeats: Repeats<'_>) -> Self {
        let runs = repeats.runs();
        let one_way: fn(&RunResult) -> &Samples = |run| &run.load.stats.one_way;
        let age: fn(&RunResult) -> &Samples = |run| &run.load.stats.age;
        let fresh = |run: &RunResult| Some(run.load.stats.fresh);
        let sent = |run: &RunResult| Some(run.load.sent);
        let path = &runs[0].load.path;
        let of_server = runs[0]
            .counters
            .iter()
            .flat_map(|counters| &counters.paths)
            .find(|it| Some(it.transport) == runs[0].key.contender.transport.kind());
        Self {
            key: runs[0].key.combination(),
            repeats: runs.len(),
            one_way_p50_us: repeats.quantile(one_way, 0.5),
            one_way_p90_us: repeats.quantile(one_way, 0.9),
            one_way_p99_us: repeats.quantile(one_way, 0.99),
            one_way_max_us: repeats.samples(one_way, |it| it.max_us().map(|us| us as f64)),
            age_mean_us: repeats.samples(age, Samples::mean_us),
            age_p50_us: repeats.quantile(age, 0.5),
            age_p99_us: repeats.quantile(age, 0.99),
            worst_player_age_p99_us: repeats
                .largest(|run| run.load.players.iter().map(|player| player.age_p99_us).max()),
            best_player_age_p99_us: repeats
                .smallest(|run| run.load.players.iter().map(|player| player.age_p99_us).min()),
            freezes_per_minute: repeats.by_player_minute(|run| run.load.stats.freezes as f64),
            longest_freeze_us: repeats.largest(|run| Some(run.load.stats.longest_gap_us)),
            outdated_share: repeats.ratio(|run| Some(run.load.stats.superseded_on_arrival), sent),
            machine_cpu_us: repeats.median_ratio(|run| run.machine_cpu_us, fresh),
            fresh_share: repeats.ratio(fresh, sent),
            superseded_share: repeats.ratio(superseded, sent),
            paired_p50_us: repeats.connect_quantile(|it| &it.paired, 0.5),
            paired_p90_us: repeats.connect_quantile(|it| &it.paired, 0.9),
            paired_p99_us: repeats.connect_quantile(|it| &it.paired, 0.99),
            first_move_p50_us: repeats.connect_quantile(|it| &it.first_move, 0.5),
            first_move_p90_us: repeats.connect_quantile(|it| &it.first_move, 0.9),
            first_move_p99_us: repeats.connect_quantile(|it| &it.first_move, 0.99),
            resumed_share: repeats.ratio(
                |run| Some(run.load.connects.as_ref()?.resumed),
                |run| Some(run.load.connects.as_ref()?.count),
            ),
            connect_cpu_us: repeats
                .ratio(|run| run.server.cpu_us, |run| Some(run.load.connects.as_ref()?.count)),
            server_cpu_us: repeats.median_ratio(|run| run.server.cpu_us, fresh),
            server_user_us: repeats.cpu_per_move(|run| run.server.user_us),
            server_system_us: repeats.cpu_per_move(|run| run.server.system_us),
            server_switches: repeats.ratio(|run| run.server.context_switches, fresh),
            server_resident_bytes: repeats.largest(|run| run.server.resident_bytes),
            server_kernel_bytes: repeats.largest(|run| run.server.kernel_bytes),
            bytes_in: repeats.median_ratio(bytes_in, fresh),
            bytes_out: repeats.median_ratio(bytes_out, fresh),
            packets_in: repeats.median_ratio(packets_in, fresh),
            packets_out: repeats.median_ratio(packets_out, fresh),
            link_lost_share: repeats
                .ratio(|run| Some(dropped(run.link.as_ref()?)), |run| Some(offered(run.link.as_ref()?))),
            lateness_p99_us: repeats.quantile(|run| &run.load.lateness, 0.99),
            congestion: path.congestion.as_ref().map(ToString::to_string),
            tls: path.tls.as_ref().map(ToString::to_string),
            max_packet_bytes: path.max_packet_bytes,
            players: path.clone(),
            server: of_server.map(|it| it.path.clone()),
        }
    }
}

/// The rows and warnings that a report shows.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The rows in the order of the scenario's links and then its transports. A/A controls have no
    /// row: the verdict ([`crate::analysis::verdict::Verdict`]) evaluates them.
    pub rows: Vec<Row>,
    /// The warnings, in the order of the rows.
    pub warnings: Vec<Warning>,
}

impl Summary {
    /// Computes the summary from these results alone.
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
                let row = Row::from_repeats(Repeats::new(&runs));
                // A search continues until something breaks, and its report names the cause.
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
        let window_us = results.scenario.sampling_of(&row.key.group).duration_ms as f64 * 1_000.0;
        let late_max_us = match runs.iter().any(|run| run.link.is_some()) {
            true => LATENESS_ON_LINK_P99_MAX_US,
            false => LATENESS_P99_MAX_US,
        };
        if let Some(lateness) = row.lateness_p99_us.filter(|it| it.value > late_max_us as f64) {
            let lateness_us = lateness.value as u64;
            self.warnings.push(Warning::SentLate {
                transport: transport.clone(),
                link: link.clone(),
                lateness_us,
            });
        }
        let busiest = runs.iter().filter_map(|run| run.server.cpu_us).max().unwrap_or(0) as f64 / window_us;
        // A closed loop saturates the server by design.
        if busiest > SERVER_CPU_SHARE_MAX && row.key.group.in_flight == 0 {
            let percent = busiest * 100.0;
            self.warnings.push(Warning::Saturated {
                transport: transport.clone(),
                link: link.clone(),
                percent,
            });
        }
        let asked = row.key.contender.congestion.name();
        // A baseline takes no congestion control from the scenario.
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
        // The number of samples of a closed loop depends on the subject.
        let enough_wanted = results.scenario.workload == Workload::Moves && row.key.group.in_flight == 0;
        if row.one_way_p99_us.is_none() && enough_wanted {
            self.warnings.push(Warning::TooFewSamples { transport, link });
        }
    }
}

/// Returns the sort key of a combination: the links in the order of the scenario, then rising
/// numbers.
fn position_in(results: &Results, key: &RunKey) -> impl Ord + use<> {
    let Group { link, rate_hz, in_flight, payload_bytes, pairs } = &key.group;
    (
        results.scenario.links.iter().position(|it| it.name() == *link),
        (*in_flight, *rate_hz, *payload_bytes, *pairs),
        results.scenario.contenders().iter().position(|it| *it == key.contender),
    )
}
