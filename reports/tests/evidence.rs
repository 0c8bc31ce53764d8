//! Tests of the evidence that a comparison keeps on request: moves, captures with keys, and qlog.

mod link;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use netduel_reports::data::{results::Results, run_result::RunResult};
use serde_json::Value;

fn report(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netduel-reports")).args(args).output().expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn results_in(folder: &Path) -> Results {
    Results::load(&folder.join("results.json")).expect("results")
}

/// Returns the rows of moves.csv, by the number of their run. A row is by the names of its columns.
fn moves_in(folder: &Path) -> HashMap<usize, Vec<HashMap<String, String>>> {
    let mut file = csv::Reader::from_path(folder.join("moves.csv")).expect("moves.csv");
    let mut runs: HashMap<usize, Vec<HashMap<String, String>>> = HashMap::new();
    for row in file.deserialize() {
        let row: HashMap<String, String> = row.expect("a row");
        runs.entry(row["run"].parse().expect("a number")).or_default().push(row);
    }
    runs
}

/// Checks that the rows of a run tell what its results count.
fn check_moves(run: &RunResult, rows: &[HashMap<String, String>]) {
    let of = |fate: &str| rows.iter().filter(|row| row["fate"] == fate).count() as u64;
    let stats = &run.load.stats;
    assert_eq!(rows.len() as u64, run.load.sent, "{}: a row for each move", run.key);
    assert_eq!(
        of("fresh") + of("superseded_on_arrival"),
        stats.fresh + stats.superseded_on_arrival,
        "{}",
        run.key
    );
    assert_eq!(of("late"), stats.late, "{}", run.key);
    assert_eq!(of("superseded_before_leaving"), run.load.superseded, "{}", run.key);
    assert_eq!(
        of("superseded_before_leaving") + of("not_arrived"),
        run.load.sent - stats.fresh - stats.superseded_on_arrival - stats.late,
        "{}: every move has one fate",
        run.key
    );
    for row in rows {
        assert_eq!(
            (&row["contender"], &row["group"]),
            (&run.key.contender.to_string(), &run.key.group.to_string())
        );
        let arrived = !row["arrived_us"].is_empty();
        assert_eq!(arrived, !["not_arrived", "superseded_before_leaving"].contains(&row["fate"].as_str()));
        let us = |name: &str| row[name].parse::<u64>().expect("a time");
        assert!(
            us("intended_us") <= us("sent_us") && (!arrived || us("sent_us") <= us("arrived_us") + 1_000)
        );
    }
}

/// Returns the folders of the sessions, sorted by name.
fn sessions_in(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder.join("evidence"))
        .expect("evidence")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    all.sort();
    all
}

/// Returns the names of the events in the qlog files of a session, file by file.
fn qlog_events(session: &Path) -> Vec<Vec<String>> {
    let files = fs::read_dir(session.join("qlog")).expect("a folder");
    files
        .map(|entry| {
            let text = fs::read_to_string(entry.expect("an entry").path()).expect("text");
            let mut records = text.split('\u{1e}');
            assert_eq!(records.next(), Some(""), "a record begins with its separator");
            let records: Vec<Value> =
                records.map(|record| serde_json::from_str(record).expect("JSON")).collect();
            assert!(records[0].get("qlog_version").is_some(), "{}", records[0]);
            records[1..].iter().map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
        })
        .collect()
}

#[test]
fn keeps_moves_and_logs_of_rounds() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("utf-8");
    let scope =
        ["--link", "loopback", "--transport", "tcp,quic-datagram", "--tuned", "off", "--controls", "0"];
    let size =
        ["--pairs", "1", "--repeat", "2", "--duration", "500ms", "--keep-moves", "--qlog", "--out", out];
    let output = report(&[&["run"][..], &scope, &size].concat());
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let results = results_in(folder.path());
    assert!(results.scenario.keep.moves && results.scenario.keep.qlog && !results.scenario.keep.capture);
    let mut moves = moves_in(folder.path());
    assert_eq!(moves.len(), results.runs.len());
    for (number, run) in results.runs.iter().enumerate() {
        let rows = moves.remove(&number).expect("rows of each run");
        check_moves(run, &rows);
        assert!(rows.iter().all(|row| row["link"].is_empty()), "no link is emulated");
    }
    assert!(text(&output.stdout).contains("moves.csv"), "{}", text(&output.stdout));
    // All rounds share a session.
    let sessions = sessions_in(folder.path());
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    for session in sessions {
        let is_quic = session.to_string_lossy().contains("quic");
        let files = qlog_events(&session);
        assert_eq!(files.len(), if is_quic { 2 } else { 0 }, "a file for each QUIC client: {session:?}");
        for events in files {
            let sent = events.iter().filter(|name| name.ends_with("packet_sent")).count();
            // Two rounds of 30 moves, and the handshake.
            assert!(sent >= 60, "{sent} packets of {events:?}");
        }
        assert!(!session.join("capture.pcap").exists() && !session.join("keys.log").exists());
    }
}

/// Returns the number of packets in a pcap file, which must be whole.
fn packets_in(capture: &[u8]) -> usize {
    let word = |at: usize| u32::from_ne_bytes(capture[at..at + 4].try_into().expect("four bytes")) as usize;
    assert!([0xa1b2_c3d4, 0xa1b2_3c4d].contains(&word(0)), "a pcap file");
    let (mut at, mut packets) = (24, 0);
    while at < capture.len() {
        let kept = word(at + 8);
        assert!(kept > 20, "an IP packet");
        at += 16 + kept;
        packets += 1;
    }
    assert_eq!(at, capture.len(), "the last packet is whole");
    packets
}

#[test]
fn captures_links_with_their_keys() {
    let installed = Command::new("tcpdump").arg("--version").output().is_ok_and(|it| it.status.success());
    if !installed {
        println!("skipped: tcpdump is missing");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("utf-8");
    let scope =
        ["--link", "delay=20ms,loss=5%", "--transport", "tls,udp", "--tuned", "off", "--controls", "0"];
    let size = ["--pairs", "1", "--duration", "3s", "--no-cost", "--keep-moves", "--capture", "--out", out];
    let output = report(&[&["run"][..], &scope, &size].concat());
    if link::is_unavailable(&output, folder.path()) {
        return;
    }
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let results = results_in(folder.path());
    let moves = moves_in(folder.path());
    for (number, run) in results.runs.iter().enumerate() {
        check_moves(run, &moves[&number]);
        let on_link = |name: &str| moves[&number].iter().filter(|row| row["link"] == name).count();
        let dropped = on_link("lost_up") + on_link("lost_down");
        let drops = run.link.as_ref().expect("a link").drops.len();
        assert!(dropped > 0 && dropped <= drops, "{}: {dropped} of {drops}", run.key);
        if !run.key.contender.transport.encrypted() {
            // A datagram is sent once, so that what arrived has crossed.
            let arrived = moves[&number].iter().filter(|row| !row["arrived_us"].is_empty()).count();
            assert_eq!(on_link("crossed"), arrived);
        }
        // The last attempt of a run is the one that counts.
        let of_run = sessions_in(folder.path())
            .into_iter()
            .rfind(|it| it.to_string_lossy().contains(run.key.contender.transport.name()));
        let session = of_run.expect("a session of the run");
        let packets = packets_in(&fs::read(session.join("capture.pcap")).expect("a capture"));
        // Each move comes and goes, except the lost ones.
        assert!(packets as u64 > run.load.sent * 3 / 2, "{}: {packets} packets", run.key);
        let keys = fs::read_to_string(session.join("keys.log")).unwrap_or_default();
        let secrets = keys.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).count();
        assert_eq!(secrets, if run.key.contender.transport.encrypted() { 2 } else { 0 }, "{keys}");
    }
}

#[test]
fn missing_tcpdump_is_said_first() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("out");
    let output = Command::new(env!("CARGO_BIN_EXE_netduel-reports"))
        .args(["run", "--link", "loopback", "--transport", "tcp", "--capture", "--out"])
        .arg(&out)
        .env("PATH", folder.path())
        .output()
        .expect("started");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--capture needs tcpdump: install it"), "{}", text(&output.stderr));
    assert!(!out.exists(), "nothing has begun");
    let connects = report(&["run", "--preset", "connect", "--link", "loopback", "--keep-moves"]);
    assert!(text(&connects.stderr).contains("--keep-moves needs a preset"), "{}", text(&connects.stderr));
}
