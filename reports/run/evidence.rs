//! The evidence that runs leave beside the results, on request: rows of moves, packet captures with
//! the keys of their TLS sessions, and QUIC's own logs. `docs/evidence.md` describes the files.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Context, ensure};
use netduel_link::INTERFACE;
use netduel_loadgen::{LoadPlan, MOVES_KEPT_MAX, Moves};

use crate::{
    analysis::link_fate::{OnLink, on_link},
    data::{results::Results, run_result::RunResult},
    plan::{
        keep::Keep,
        sampling::Order,
        scenario::{Network, RunKey, Scenario},
    },
    run::{
        place::Place,
        tcpdump::{CapturePlan, Captured, Tcpdump},
    },
};

/// The folder of the evidence, in that of a comparison.
pub(crate) const FOLDER: &str = "evidence";
/// The file of all moves, in the folder of a comparison.
pub(crate) const MOVES_FILE: &str = "moves.csv";
/// The folder of the moves of single runs while a comparison goes on, in that of the evidence.
const PARTS: &str = "moves";
/// The capture, the keys and the logs of a session, in a folder of its own.
const CAPTURE_FILE: &str = "capture.pcap";
const KEYS_FILE: &str = "keys.log";
const QLOG_FOLDER: &str = "qlog";
/// The first line of [`MOVES_FILE`].
const MOVES_HEADER: &str =
    "run,contender,arm,group,repeat,player,seq,intended_us,sent_us,arrived_us,fate,link";

/// The largest number of rows of all runs: about 100 MB. A default comparison has 200,000.
const ROWS_MAX: u64 = 1_000_000;
/// The bytes kept of each packet: a whole packet of the usual MTU.
const SNAP_BYTES: u32 = 1_600;
/// The largest number of packets of a capture: 70 MB of moves, and 800 MB of full packets. A minute
/// of a match at 60 Hz has about 30,000.
const PACKETS_MAX: u32 = 500_000;
/// The largest number of sessions of one name: attempts of a run, and sessions begun again.
const SESSIONS_MAX: u32 = 100;
/// The longest name of a session's folder, in characters. File systems allow 255 bytes.
const NAME_MAX: usize = 100;

/// The variables that tell a program where to log the keys of TLS and the events of QUIC.
const KEYS_VARIABLE: &str = "SSLKEYLOGFILE";
const QLOG_VARIABLE: &str = "QLOGDIR";

/// The evidence of a comparison.
pub(crate) struct Evidence {
    /// The folder of the comparison.
    out: PathBuf,
    keep: Keep,
    /// The rows of moves that were written.
    rows: AtomicU64,
}

/// The evidence of one session.
pub(crate) struct SessionEvidence<'a> {
    of: &'a Evidence,
    /// The folder of the session, if it has files.
    folder: Option<PathBuf>,
    capture: Option<Tcpdump>,
}

/// Checks that the evidence of a plan can be kept.
///
/// # Errors
/// tcpdump is missing, may not capture, or there are no moves to keep.
pub(crate) fn check(scenario: &Scenario) -> anyhow::Result<()> {
    ensure!(
        !scenario.keep.moves || scenario.workload == netduel_loadgen::Workload::Moves,
        "--keep-moves needs a preset in which players move"
    );
    if !scenario.keep.capture {
        return Ok(());
    }
    ensure!(
        Tcpdump::is_installed(),
        "--capture needs tcpdump: install it (apt-get install tcpdump, dnf install tcpdump)"
    );
    let outside = scenario.links.iter().find(|network| network.spec().is_none());
    if let Some(network) = outside {
        let plan = CapturePlan {
            interface: if *network == Network::Loopback { "lo" } else { "any" },
            snap_bytes: SNAP_BYTES,
            packets_max: Some(1),
            filter: None,
        };
        let nowhere = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
        let spawn = |mut command: std::process::Command| {
            netduel_link::capture_privileges(&mut command);
            Ok(command.spawn()?)
        };
        Tcpdump::start(&plan, nowhere, spawn).with_context(|| {
            format!(
                "--capture may not capture on {}: run as root, or leave it out with --no-cost",
                network.name()
            )
        })?;
    }
    Ok(())
}

impl Evidence {
    /// Returns the evidence of a comparison in this folder; `None` if nothing is kept.
    pub(crate) fn new(out: &Path, keep: Keep) -> Option<Self> {
        keep.any().then(|| Self { out: out.to_owned(), keep, rows: AtomicU64::new(0) })
    }

    /// Begins the evidence of a session, before its players connect: without the handshake nothing
    /// decrypts a capture.
    pub(crate) fn of_session(
        &self,
        key: &RunKey,
        order: Order,
        place: &Place,
        plan: &LoadPlan,
    ) -> anyhow::Result<SessionEvidence<'_>> {
        if !self.keep.capture && !self.keep.qlog {
            return Ok(SessionEvidence { of: self, folder: None, capture: None });
        }
        let folder = self.new_folder(&session_name(key, order))?;
        if self.keep.qlog {
            fs::create_dir_all(folder.join(QLOG_FOLDER))?;
        }
        let capture =
            self.keep.capture.then(|| capture(&folder.join(CAPTURE_FILE), place, plan)).transpose()?;
        Ok(SessionEvidence { of: self, folder: Some(folder), capture })
    }

    /// Makes a folder of this name, or of the name with the first free number.
    fn new_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let all = self.out.join(FOLDER);
        let numbered = |number| if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let free = (1..=SESSIONS_MAX).map(|number| all.join(numbered(number))).find(|it| !it.exists());
        let folder = free.with_context(|| format!("{} has too many sessions of {name}", all.display()))?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    fn part(&self, key: &RunKey) -> PathBuf {
        self.out.join(FOLDER).join(PARTS).join(format!("{}.csv", session_name(key, Order::Afresh)))
    }

    /// Writes the rows of a run, for [`Self::finish`]. An earlier attempt of the run is replaced.
    fn write_part(&self, run: &RunResult, moves: &Moves) -> anyhow::Result<()> {
        if moves.left_out > 0 {
            let (key, group, left_out) = (&run.key, &run.key.group, moves.left_out);
            eprintln!(
                "warning: {MOVES_FILE} lacks the last {left_out} moves of {key} on {group}: {MOVES_KEPT_MAX} a run \
                 are kept"
            );
        }
        if self.rows.fetch_add(moves.rows.len() as u64, Relaxed) >= ROWS_MAX {
            return Ok(());
        }
        let path = self.part(&run.key);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        let mut out = csv::Writer::from_writer(Vec::new());
        let on_link: Vec<&str> = match &run.link {
            Some(link) => on_link(&moves.rows, run.key.contender.transport, link)
                .into_iter()
                .map(OnLink::name)
                .collect(),
            None => vec![""; moves.rows.len()],
        };
        for (row, on_link) in moves.rows.iter().zip(on_link) {
            let arrived_us = row.arrived_us.map_or_else(String::new, |it| it.to_string());
            let RunKey { contender, group, repeat, arm } = &run.key;
            out.serialize((
                (contender.to_string(), arm, group.to_string(), repeat, row.player, row.seq),
                (row.intended_us, row.sent_us, arrived_us, row.fate.name(), on_link),
            ))?;
        }
        netduel_atomic_file::write_atomic(&path, &out.into_inner()?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Joins the moves of all completed runs in one file. Returns the paths of the evidence, each
    /// behind a word for it.
    pub(crate) fn finish(&self, results: &Results) -> anyhow::Result<Vec<String>> {
        let mut said = Vec::new();
        if self.keep.moves {
            let path = self.out.join(MOVES_FILE);
            self.join_parts(results, &path).with_context(|| format!("cannot write {}", path.display()))?;
            said.push(format!("moves    {}", path.display()));
        }
        if self.keep.capture || self.keep.qlog {
            said.push(format!("evidence {}", self.out.join(FOLDER).display()));
        }
        Ok(said)
    }

    fn join_parts(&self, results: &Results, path: &Path) -> anyhow::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        writeln!(out, "{MOVES_HEADER}")?;
        let (mut rows, mut cut_runs) = (0, 0);
        for (number, run) in results.runs.iter().enumerate() {
            let Ok(part) = File::open(self.part(&run.key)) else {
                cut_runs += 1;
                continue;
            };
            let mut whole = true;
            for line in BufReader::new(part).lines() {
                whole = rows < ROWS_MAX;
                if !whole {
                    break;
                }
                writeln!(out, "{number},{}", line?)?;
                rows += 1;
            }
            cut_runs += u64::from(!whole);
        }
        out.into_inner()?.sync_all()?;
        if cut_runs > 0 {
            eprintln!("warning: {MOVES_FILE} lacks moves of {cut_runs} runs: it has at most {ROWS_MAX} rows");
        }
        let parts = self.out.join(FOLDER).join(PARTS);
        if parts.exists() {
            fs::remove_dir_all(parts)?;
        }
        // Captures and logs keep the folder.
        let _ = fs::remove_dir(self.out.join(FOLDER));
        Ok(())
    }
}

impl SessionEvidence<'_> {
    /// Returns the variables with which the players log.
    pub(crate) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let keys = (self.of.keep.capture).then(|| (KEYS_VARIABLE, folder.join(KEYS_FILE)));
        let qlog = (self.of.keep.qlog).then(|| (QLOG_VARIABLE, folder.join(QLOG_FOLDER)));
        keys.into_iter().chain(qlog).collect()
    }

    /// Whether rows of moves are kept.
    pub(crate) fn keeps_moves(&self) -> bool {
        self.of.keep.moves
    }

    /// Keeps the rows of a run's moves.
    pub(crate) fn keep_moves(&self, run: &RunResult, moves: Option<&Moves>) -> anyhow::Result<()> {
        moves.map_or(Ok(()), |moves| self.of.write_part(run, moves))
    }

    /// Ends the capture, before its link ends.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        let (Some(capture), Some(folder)) = (self.capture.take(), &self.folder) else { return Ok(()) };
        let Captured { cut, missed } = capture.end()?;
        let file = folder.join(CAPTURE_FILE);
        if cut {
            eprintln!("warning: {} ends after {PACKETS_MAX} packets, and the run went on", file.display());
        }
        if missed > 0 {
            eprintln!("warning: {} lacks {missed} packets: the machine was too busy", file.display());
        }
        Ok(())
    }
}

/// Starts the capture of a session: of the packets of its server, at the server's end.
fn capture(file: &Path, place: &Place, plan: &LoadPlan) -> anyhow::Result<Tcpdump> {
    let mut ports: Vec<String> = plan.addresses.values().map(|it| format!("port {}", it.port())).collect();
    ports.sort();
    let capture = CapturePlan {
        interface: match place {
            Place::Loopback => "lo",
            Place::Link(link, _) if link.spec().second.is_none() => INTERFACE,
            Place::Link(..) | Place::Elsewhere(_) => "any",
        },
        snap_bytes: SNAP_BYTES,
        packets_max: Some(PACKETS_MAX),
        filter: Some(ports.join(" or ")),
    };
    let into = File::create(file).with_context(|| format!("cannot make {}", file.display()))?;
    Tcpdump::start(&capture, into, |command| place.spawn_capture(netduel_link::Side::Server, command))
}

/// Returns the name of a session for files: its group, its arm, and its repeat unless it plays all
/// of them.
fn session_name(key: &RunKey, order: Order) -> String {
    let repeat = match order {
        Order::InTurns => String::new(),
        Order::Beside | Order::Afresh => format!(" {}", key.repeat + 1),
    };
    let name = format!("{} {key}{repeat}", key.group);
    let plain = |it: char| if it.is_ascii_alphanumeric() || "+=.%".contains(it) { it } else { '-' };
    let mut file: String = name.chars().map(plain).collect();
    while file.contains("--") {
        file = file.replace("--", "-");
    }
    // The end tells sessions apart.
    let from = file.len().saturating_sub(NAME_MAX);
    file[from..].trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use netduel_loadgen::{Fate, LoadResult, MoveRow};

    use super::*;
    use crate::data::{
        results::{Failure, Provenance},
        run_result::RunResult,
    };

    fn results(repeats: u32) -> Results {
        let mut scenario = Scenario {
            transports: ["tcp", "udp"].map(|name| name.parse().expect("a kind")).to_vec(),
            keep: Keep { moves: true, ..Keep::default() },
            ..Scenario::default()
        };
        scenario.off_links.repeats = repeats;
        let runs =
            scenario.runs().into_iter().map(|key| RunResult::new(key, LoadResult::default())).collect();
        Results { runs, ..Results::empty(scenario, Provenance::default()) }
    }

    fn moves(rows: u32) -> Moves {
        let row = |seq| MoveRow {
            player: 1,
            seq,
            intended_us: 10,
            sent_us: 20,
            arrived_us: (seq > 1).then_some(30),
            fate: if seq > 1 { Fate::Fresh } else { Fate::NotArrived },
        };
        Moves { rows: (1..=rows).map(row).collect(), left_out: 0 }
    }

    #[test]
    fn sessions_have_names_of_their_own() {
        let all = results(3);
        let names: std::collections::HashSet<String> =
            all.runs.iter().map(|run| session_name(&run.key, Order::Afresh)).collect();
        assert_eq!(names.len(), all.runs.len());
        assert!(names.contains("loopback-60-Hz-14-matches-tcp-3"), "{names:?}");
        let mut key = all.runs[0].key.clone();
        assert!(!session_name(&key, Order::InTurns).ends_with("-1"), "one session plays all rounds");
        key.group.link = format!("../{}\u{e9}/x", "y".repeat(300));
        let name = session_name(&key, Order::Beside);
        assert!(name.len() <= NAME_MAX && !name.contains(['/', '\u{e9}']), "{name}");
    }

    #[test]
    fn moves_of_runs_share_a_file() {
        let folder = tempfile::tempdir().expect("folder");
        let mut all = results(2);
        let evidence = Evidence::new(folder.path(), all.scenario.keep).expect("moves are kept");
        for run in &all.runs {
            evidence.write_part(run, &moves(3)).expect("written");
        }
        // A run that is repeated counts once, and a run that failed in the end does not.
        evidence.write_part(&all.runs[1], &moves(2)).expect("written");
        let failed = all.runs.pop().expect("a run");
        all.failures.push(Failure { key: failed.key, reason: "because".into() });
        let said = evidence.finish(&all).expect("joined");
        assert_eq!(said, [format!("moves    {}", folder.path().join(MOVES_FILE).display())]);
        let text = fs::read_to_string(folder.path().join(MOVES_FILE)).expect("there");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(MOVES_HEADER));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 3 + 2 + 3);
        let first = &all.runs[0].key;
        let wanted =
            format!("0,{},0,\"loopback, 60 Hz, 14 matches\",0,1,1,10,20,,not_arrived,", first.contender);
        assert_eq!(lines[0], wanted);
        assert!(lines[1].ends_with(",10,20,30,fresh,"), "{}", lines[1]);
        assert!(!folder.path().join(FOLDER).exists(), "the parts are gone");
        assert!(Evidence::new(folder.path(), Keep::default()).is_none());
    }

    #[test]
    fn rows_of_all_runs_are_bounded() {
        let folder = tempfile::tempdir().expect("folder");
        let all = results(1);
        let evidence = Evidence::new(folder.path(), all.scenario.keep).expect("moves are kept");
        evidence.write_part(&all.runs[0], &moves(2)).expect("written");
        evidence.rows.store(ROWS_MAX, Relaxed);
        evidence.write_part(&all.runs[1], &moves(2)).expect("not written");
        evidence.finish(&all).expect("joined");
        let text = fs::read_to_string(folder.path().join(MOVES_FILE)).expect("there");
        assert_eq!(text.lines().count(), 1 + 2);
    }

    #[test]
    fn attempts_have_folders_of_their_own() {
        let folder = tempfile::tempdir().expect("folder");
        let keep = Keep { qlog: true, ..Keep::default() };
        let evidence = Evidence::new(folder.path(), keep).expect("logs are kept");
        let made = [1, 2].map(|_| evidence.new_folder("lte-tcp-1").expect("made"));
        let wanted = ["lte-tcp-1", "lte-tcp-1-2"].map(|name| folder.path().join(FOLDER).join(name));
        assert_eq!(made, wanted);
    }
}
