//! Recorder of a match: saves its figures over time as JSON and as CSV. `netduel-reports recording`
//! reads the JSON.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use netduel_atomic_file::create_new;
use netduel_client::{
    recording::{FORMAT, Recording, SCHEMA},
    stats::{MoveStats, live::Figures},
};
use netduel_protocol::Started;

/// The largest number of recordings of one second: more than windows on one folder save at once.
const SAVES_PER_SECOND_MAX: u32 = 100;

/// The parts of a recording that stay the same from match to match.
#[derive(Clone, Debug, Default)]
pub(crate) struct MatchInfo {
    /// The own player's name.
    pub(crate) name: String,
    /// The name of the own transport.
    pub(crate) transport: String,
    /// The server's address as entered; `None` for the local server.
    pub(crate) server: Option<String>,
}

/// The recorder of the current match, or of the last one.
#[derive(Debug)]
pub(crate) struct Recorder {
    info: MatchInfo,
    recording: Recording,
}

impl Recorder {
    pub(crate) fn new(info: MatchInfo) -> Self {
        Self { info, recording: Recording::default() }
    }

    /// Clears the recording for a new match.
    pub(crate) fn restart(&mut self) {
        self.recording = Recording { started_unix_s: unix_s(), ..Recording::default() };
    }

    /// Appends the own figures and, if known, the opponent's. Figures that were appended before are
    /// skipped.
    pub(crate) fn push(
        &mut self,
        own: (&Arc<Figures>, &Arc<MoveStats>),
        other: Option<(&Arc<Figures>, &Arc<MoveStats>)>,
    ) {
        let Recording { me, opponent, .. } = &mut self.recording;
        // The figures are empty before the first sample.
        if own.0.at_us > 0 {
            me.push(own.0, own.1);
        }
        if let Some((figures, totals)) = other {
            opponent.push(figures, totals);
        }
    }

    /// Whether nothing was recorded yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.recording.me.figures.is_empty()
    }

    /// Writes `play-TIME.csv` and `play-TIME.json` into `folder`, with a number behind the time if
    /// another recording has that name. Returns their common path without the extension.
    pub(crate) fn save(
        &mut self,
        folder: &Path,
        started: &Started,
        rate_hz: u32,
    ) -> std::io::Result<PathBuf> {
        let saved_unix_s = unix_s();
        let recording = &mut self.recording;
        recording.format = FORMAT.into();
        recording.schema = SCHEMA;
        recording.version = env!("CARGO_PKG_VERSION").into();
        recording.saved_unix_s = saved_unix_s;
        recording.server.clone_from(&self.info.server);
        recording.rate_hz = rate_hz;
        recording.me.name.clone_from(&self.info.name);
        recording.me.transport.clone_from(&self.info.transport);
        recording.opponent.name.clone_from(&started.opponent_name);
        recording.opponent.transport.clone_from(&started.opponent_transport);
        for number in 1..=SAVES_PER_SECOND_MAX {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = folder.join(format!("play-{saved_unix_s}{suffix}"));
            // The table is the smaller file, and a name that it takes is taken for both.
            let csv_file = path.with_extension("csv");
            match create_new(&csv_file, csv(recording).as_bytes()) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                written => written?,
            }
            if let Err(error) = recording.save(&path.with_extension("json")) {
                // A table alone would look like a whole recording. It is ours, and new.
                std::fs::remove_file(&csv_file)?;
                if error.kind() == ErrorKind::AlreadyExists {
                    continue;
                }
                return Err(error);
            }
            return Ok(path);
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

fn csv(recording: &Recording) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory cannot fail, and every row has as many cells as the header.
    let _ = writer.write_record(HEADER);
    for (name, side) in [("me", &recording.me), ("opponent", &recording.opponent)] {
        for figures in &side.figures {
            let _ = writer.write_record(row(name, figures));
        }
    }
    String::from_utf8_lossy(&writer.into_inner().unwrap_or_default()).into_owned()
}

const HEADER: [&str; 22] = [
    "side",
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

fn row(side: &str, figures: &Figures) -> [String; 22] {
    let cell = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let rate = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
    let Figures { age, one_way, round_trip, rates, .. } = figures;
    [
        side.to_owned(),
        figures.at_us.to_string(),
        cell(age.current_us),
        cell(age.p50_us),
        cell(age.p95_us),
        cell(age.max_us),
        cell(one_way.current_us),
        cell(one_way.p50_us),
        cell(one_way.p95_us),
        cell(figures.clock_error_us.map(u64::from)),
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

    fn figures(at_us: u64) -> Arc<Figures> {
        Figures { at_us, ..Figures::default() }.into()
    }

    #[test]
    fn saves_each_figure_once() {
        let info = MatchInfo { name: "Ada".into(), transport: "x".into(), server: None };
        let mut recorder = Recorder::new(info);
        recorder.restart();
        assert!(recorder.is_empty());
        for at_us in [0, 1, 2, 2, 3] {
            let (own, opponent, totals) = (figures(at_us), figures(at_us), Arc::default());
            recorder.push((&own, &totals), (at_us > 1).then_some((&opponent, &totals)));
        }
        let folder = tempfile::tempdir().expect("creates a folder");
        let started = Started {
            match_id: 1,
            player: 0,
            velocity: 5.0,
            tick_rate_hz: 60,
            positions: Default::default(),
            started_us: 0,
            opponent_name: "bot".into(),
            opponent_transport: "y".into(),
            resume_ticket: None,
        };
        let path = recorder.save(folder.path(), &started, 60).expect("saved");
        let csv = std::fs::read_to_string(path.with_extension("csv")).expect("written");
        assert_eq!(csv.lines().count(), 1 + 3 + 2);
        assert!(csv.lines().all(|line| line.split(',').count() == HEADER.len()), "{csv}");
        let read = Recording::load(&path.with_extension("json")).expect("readable");
        assert_eq!((read.me.figures.len(), read.opponent.figures.len()), (3, 2));
        let names = [&read.me.name, &read.me.transport, &read.opponent.name, &read.opponent.transport];
        assert_eq!(names, ["Ada", "x", "bot", "y"]);
        // More than one save falls into most seconds.
        let paths: Vec<PathBuf> =
            (0..5).map(|_| recorder.save(folder.path(), &started, 60).expect("saved")).collect();
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2 * 6, "{paths:?}");
        assert!(!paths.contains(&path), "nothing is overwritten");
        recorder.restart();
        assert!(recorder.is_empty());
    }
}
