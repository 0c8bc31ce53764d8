//! A match as figures over time, saved for others to look at: ten lines a second, as CSV and as JSON.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use netduel_client::stats::live::Figures;
use netduel_protocol::Started;
use serde::Serialize;

/// Figures kept: ten minutes at ten a second, about 5 MB. The oldest go first.
const FIGURES_MAX: usize = 6_000;

/// The figures of the match that is on, or of the last one.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    figures: VecDeque<Figures>,
}

/// The JSON file.
#[derive(Serialize)]
struct Recording<'a> {
    /// What this file is, and its version.
    format: &'static str,
    /// When it was saved, in seconds since 1970 (UTC).
    saved_unix_s: u64,
    transport: &'a str,
    peer_transport: &'a str,
    peer_name: &'a str,
    /// Own moves a second.
    rate_hz: u32,
    /// Oldest first; durations in µs.
    figures: &'a VecDeque<Figures>,
}

impl Recorder {
    /// Forgets the last match.
    pub(crate) fn restart(&mut self) {
        self.figures.clear();
    }

    /// Takes in figures that are newer than the last.
    pub(crate) fn push(&mut self, figures: &Figures) {
        if self.figures.back().is_some_and(|last| last.at_us >= figures.at_us) {
            return;
        }
        if self.figures.len() == FIGURES_MAX {
            self.figures.pop_front();
        }
        self.figures.push_back(figures.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    /// Writes `play-TIME.csv` and `play-TIME.json` into `folder`; returns their common path without an ending.
    pub(crate) fn save(
        &self,
        folder: &Path,
        started: &Started,
        transport: &str,
        rate_hz: u32,
    ) -> std::io::Result<PathBuf> {
        let saved_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("play-{saved_unix_s}"));
        let recording = Recording {
            format: "netduel recording 1",
            saved_unix_s,
            transport,
            peer_transport: &started.peer_transport,
            peer_name: &started.peer_name,
            rate_hz,
            figures: &self.figures,
        };
        fs::write(path.with_extension("json"), serde_json::to_string(&recording)?)?;
        fs::write(path.with_extension("csv"), self.csv())?;
        Ok(path)
    }

    fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Writing to memory does not fail, and every line has as many cells as the header.
        let _ = writer.write_record(HEADER);
        for figures in &self.figures {
            let _ = writer.write_record(row(figures));
        }
        String::from_utf8_lossy(&writer.into_inner().unwrap_or_default()).into_owned()
    }
}

const HEADER: [&str; 21] = [
    "at_us",
    "age_us",
    "age_p50_us",
    "age_p95_us",
    "age_max_us",
    "one_way_us",
    "one_way_p50_us",
    "one_way_p95_us",
    "clock_error_us",
    "round_trip_us",
    "round_trip_p50_us",
    "jitter_us",
    "freezes",
    "sent",
    "superseded",
    "received",
    "late",
    "missing",
    "sent_bytes_per_s",
    "received_bytes_per_s",
    "transport_rtt_us",
];

fn row(figures: &Figures) -> [String; 21] {
    let cell = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let rate = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
    let Figures { age, one_way, round_trip, rates, .. } = figures;
    [
        figures.at_us.to_string(),
        cell(age.current_us),
        cell(age.p50_us),
        cell(age.p95_us),
        cell(age.max_us),
        cell(one_way.current_us),
        cell(one_way.p50_us),
        cell(one_way.p95_us),
        figures.clock_error_us.to_string(),
        cell(round_trip.current_us),
        cell(round_trip.p50_us),
        format!("{:.0}", figures.jitter_us),
        figures.freezes.to_string(),
        figures.sent.to_string(),
        figures.superseded.to_string(),
        figures.received.to_string(),
        figures.late.to_string(),
        figures.missing.to_string(),
        rate(rates.sent_bytes_per_s),
        rate(rates.received_bytes_per_s),
        cell(figures.path.rtt_us),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_hold_every_figure_once_and_memory_stays_bounded() {
        let mut recorder = Recorder::default();
        for at_us in [1, 2, 2, 3] {
            recorder.push(&Figures { at_us, ..Figures::default() });
        }
        let folder = tempfile::tempdir().expect("a folder");
        let started = Started {
            game: 1,
            player: 0,
            velocity: 5.0,
            tick_rate_hz: 60,
            positions: Default::default(),
            started_us: 0,
            peer_name: "bot".into(),
            peer_transport: "x".into(),
        };
        let path = recorder.save(folder.path(), &started, "y", 60).expect("saved");
        let csv = fs::read_to_string(path.with_extension("csv")).expect("written");
        assert_eq!(csv.lines().count(), 4);
        assert!(csv.lines().all(|line| line.split(',').count() == HEADER.len()), "{csv}");
        let json = fs::read_to_string(path.with_extension("json")).expect("written");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["figures"].as_array().map(Vec::len), Some(3));
        (0..20_000).for_each(|at_us| recorder.push(&Figures { at_us, ..Figures::default() }));
        assert_eq!(recorder.figures.len(), FIGURES_MAX);
    }
}
