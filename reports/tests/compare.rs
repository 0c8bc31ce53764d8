//! Tests of the whole program: a small comparison, a short soak, and wrong arguments.

mod link;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use netduel_reports::{
    analysis::{conclusions::Conclusions, summary::Summary},
    data::{
        results::{Entry, Results},
        run_result::RunResult,
    },
    plan::sampling::Order,
    render::{
        csv::csv,
        html::html,
        text::{markdown, terminal},
    },
};
use netduel_transport::TransportKind;
use parking_lot::{Mutex, MutexGuard};

/// The lock that gives the machine to one measurement, since a concurrent run would change its
/// figures.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A panic does not poison this lock, and the failed test is reported already.
    MACHINE.lock()
}

fn report(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netduel-reports")).args(args).output().expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn results_in(folder: &Path) -> (PathBuf, Results) {
    let path = folder.join("results.json");
    let results = Results::load(&path).expect("results");
    (path, results)
}

#[test]
fn compares_every_transport() {
    let _machine = alone();
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("utf-8");
    let flags = [
        "--link",
        "loopback",
        "--pairs",
        "4",
        "--rate",
        "120",
        "--repeat",
        "2",
        "--duration",
        "1500ms",
        "--warmup",
        "100ms",
    ];
    let output = report(&[&["run", "--out", out][..], &flags].concat());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");

    let (path, results) = results_in(folder.path());
    // TCP also runs with tuned timers, twice with TLS, and the reference runs twice in each round.
    assert_eq!(results.runs.len(), 2 * (TransportKind::ALL.len() + 2 + 1));
    assert_eq!(results.runs.iter().filter(|run| run.key.arm == 1).count(), 2);
    for run in &results.runs {
        let load = &run.load;
        assert_eq!(run.key.group.link, "loopback");
        // 8 players × 120 Hz × 1.5 s and the edges of the window. A busy machine may prevent half
        // of the moves.
        assert!((720..=1_456).contains(&load.sent), "{}: sent {}", run.key.contender.transport, load.sent);
        // The moves under way at the end of the window are missing; a busy machine delays more of
        // them.
        let arrived = load.stats.fresh + load.stats.late + load.stats.missing;
        assert!(arrived * 10 >= load.sent * 9, "{}: {arrived} of {}", run.key, load.sent);
        assert_eq!(load.corrected, 0);
        assert_eq!(load.lateness.count(), load.sent);
        assert_eq!(run.order, Order::InTurns);
        let counters = run.counters.as_ref().expect("a server of ours");
        assert_eq!((counters.matches_started, counters.matches_ended), (4, 4), "one session for all rounds");
        assert_eq!(load.path.tls.is_some(), run.key.contender.transport.encrypted());
        if cfg!(target_os = "linux") {
            assert!(run.server.cpu_us.is_some_and(|cpu_us| cpu_us > 0));
            assert!(load.sent_bytes.is_some_and(|bytes| bytes > load.sent * 40), "headers alone are more");
        }
    }

    let reports = || {
        ["report.html", "report.md", "report.csv"]
            .map(|name| std::fs::read_to_string(folder.path().join(name)).expect(name))
    };
    let conclusions = Conclusions::of(&results);
    let drawn = [html(&conclusions), markdown(&conclusions), csv(&results)];
    assert!(reports() == drawn, "every report is a function of the results file");
    assert!(drawn[0].contains("id=\"answer\"") && drawn[1].starts_with("# "), "the answer comes first");
    assert!(stdout.starts_with(&terminal(&conclusions)));
    let said = stdout.lines().filter_map(|line| line.strip_prefix("report   ")).collect::<Vec<_>>();
    assert_eq!(said.len(), 3);
    assert!(said[0].ends_with("report.html"), "the page comes first");
    assert!(stdout.contains(&path.display().to_string()));
    for kind in TransportKind::ALL {
        assert!(drawn[1].contains(&format!("| {kind} | ")), "{kind} has a row");
        assert!(drawn[0].contains(&format!("{kind}</th>")), "{kind} has a row");
    }

    // Rendering from the file alone gives the same bytes.
    for path in said {
        std::fs::remove_file(path).expect("removed");
    }
    assert!(report(&["render", path.to_str().expect("utf-8")]).status.success());
    assert!(reports() == drawn);
}

#[test]
fn datagrams_stay_younger_under_loss() {
    let _machine = alone();
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("utf-8");
    // The link loses 4 % in bursts, which stall a stream but let all players complete their
    // handshakes.
    let link = "delay=20ms,loss=400ms/30ms/60%";
    let flags = [
        "--link",
        link,
        "--transport",
        "tcp,quic-datagram",
        "--pairs",
        "2",
        "--duration",
        "10s",
        "--no-cost",
    ];
    let output = report(&[&["run", "--out", out][..], &flags].concat());
    let stderr = text(&output.stderr);
    if link::is_unavailable(&output, folder.path()) {
        return;
    }
    assert!(output.status.success(), "{}{stderr}", text(&output.stdout));
    let (_, results) = results_in(folder.path());
    let age_p99_us = |name: &str| {
        let row = Summary::from_results(&results)
            .rows
            .into_iter()
            .find(|row| row.key.contender.transport.name() == name)
            .expect("a row");
        assert!(row.link_lost_share.expect("a link").value > 0.02, "{name} met no losses");
        row.age_p99_us.expect("enough samples").value
    };
    // Both met the same bad periods. TCP waits for its retransmissions (at least 200 ms), datagrams
    // do not.
    let (tcp, datagram) = (age_p99_us("tcp"), age_p99_us("quic-datagram"));
    assert!(tcp > 1.3 * datagram, "age p99: tcp {tcp} µs, quic-datagram {datagram} µs");
    assert_eq!(results.calibrations.len(), 1);
    assert!(
        results.runs.iter().all(|run| run.link.as_ref().is_some_and(|link| link.up.total().delivered > 0))
    );
}

#[test]
fn resumes_killed_comparison() {
    let _machine = alone();
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("out");
    let name = out.to_str().expect("utf-8");
    let flags = ["--link", "loopback", "--transport", "tcp,tls", "--repeat", "3", "--duration", "300ms"];
    let mut first = Command::new(env!("CARGO_BIN_EXE_netduel-reports"))
        .args([&["run", "--pairs", "2", "--out", name][..], &flags].concat())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("started");
    let journal = out.join("unfinished.jsonl");
    let ended = || std::fs::read_to_string(&journal).map_or(0, |text| text.matches("{\"run\":").count());
    while ended() < 3 && first.try_wait().expect("ours").is_none() {
        std::thread::yield_now();
    }
    first.kill().expect("killed");
    first.wait().expect("ended");
    let before = std::fs::read_to_string(&journal).expect("the journal is there");
    assert!(!out.join("results.json").exists(), "nothing is half there");

    let again = report(&["run", "--out", name]);
    assert!(text(&again.stderr).contains("--resume"), "{}", text(&again.stderr));
    let resumed = report(&["run", "--resume", name]);
    assert!(resumed.status.success(), "{}{}", text(&resumed.stdout), text(&resumed.stderr));
    let (_, results) = results_in(&out);
    assert_eq!(results.runs.len(), 3 * 5, "two transports, both tuned, and the control, in three rounds");
    assert_eq!(results.provenance.resumed_unix_s.len(), 1);
    let kept = before.lines().skip(1).zip(&results.runs);
    for (line, run) in kept {
        // The counters of the server are known when all of its runs have ended.
        let entry = Entry::Run(Box::new(RunResult { counters: None, ..run.clone() }));
        assert_eq!(line, serde_json::to_string(&entry).expect("serialises"), "completed runs stay unchanged");
    }
    assert!(!journal.exists());
    let done = report(&["run", "--resume", name]);
    assert!(text(&done.stderr).contains("is complete"), "{}", text(&done.stderr));
}

#[test]
fn soak_loses_nothing() {
    let _machine = alone();
    let output = report(&["soak", "--matches", "50", "--rate", "20", "--duration", "3s"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("50 started, 50 ended, 0 players expelled"));
}

#[test]
fn churn_leaves_nothing_behind() {
    let _machine = alone();
    let output = report(&["churn", "--cycles", "200", "--pairs", "4"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1200 started, 1200 ended"), "{}", text(&output.stdout));
}

/// Runs a preset on loopback for a short time.
fn preset(name: &str, flags: &[&str]) -> (tempfile::TempDir, Results) {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("utf-8");
    let always = ["run", "--preset", name, "--link", "loopback", "--controls", "0", "--out", out];
    let output = report(&[&always[..], flags].concat());
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let (_, results) = results_in(folder.path());
    (folder, results)
}

#[test]
fn returning_players_resume_sessions() {
    let _machine = alone();
    let flags =
        ["--transport", "tcp,tls,quic-datagram", "--repeat", "1", "--duration", "1500ms", "--pairs", "4"];
    let (_folder, results) = preset("connect", &flags);
    assert_eq!(results.runs.len(), 1 + 2 * 3, "tcp has nothing to resume, and no chain");
    for run in &results.runs {
        let connects = run.load.connects.as_ref().expect("a load of connects");
        assert!(connects.count > 10, "{}: {}", run.key, connects.count);
        assert_eq!(connects.paired.count(), connects.count);
        // A pair that connects at the same time may have one ticket for two.
        let least = if run.key.contender.resumption { connects.count / 2 } else { 0 };
        assert!((least..=connects.count).contains(&connects.resumed), "{}: {}", run.key, connects.resumed);
        assert!(run.key.contender.resumption || connects.resumed == 0, "{}", run.key);
    }
    let text = markdown(&Conclusions::of(&results));
    for name in ["tls", "tls +chain", "tls +resumed", "quic-datagram +chain"] {
        assert!(text.contains(&format!("| {name} |")), "{name} has a row");
    }
    assert!(text.contains("| p99 ms |") && text.contains("| first move p99 ms |"), "{text}");
}

#[test]
fn policy_and_payload_cost_bytes() {
    let _machine = alone();
    let flags = ["--transport", "tcp", "--payload", "0,400", "--repeat", "1", "--duration", "600ms"];
    let (_folder, results) = preset("relay", &flags);
    let out_per_move = |both: bool, payload: u32| {
        let of = |run: &&RunResult| {
            (run.key.contender.relay.to_string() == "both") == both && run.key.group.payload_bytes == payload
        };
        let load = &results.runs.iter().find(of).expect("it ran").load;
        load.received_bytes.expect("counted") as f64 / load.stats.fresh as f64
    };
    // Two messages of two moves replace one message of one move; each message has its headers.
    assert!(out_per_move(true, 0) > 1.7 * out_per_move(false, 0));
    assert!(out_per_move(true, 400) > 3.5 * out_per_move(false, 400));
    let payload = out_per_move(false, 400) - out_per_move(false, 0);
    assert!((395.0..450.0).contains(&payload), "{payload}");
}

/// Starts a server, perhaps on another clock, that reports its address and runs until it is killed.
fn server_elsewhere(mut command: Command) -> (std::process::Child, String) {
    let mut server = command
        .args(["--listen", "tcp=127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdout = std::io::BufReader::new(server.stdout.take().expect("asked for"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    // The server writes further lines, and ends if its output is closed.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let address = line.split_whitespace().last().expect("an address").to_owned();
    (server, address)
}

#[test]
fn measures_server_with_other_clock() {
    let _machine = alone();
    let here = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netduel-reports"));
        command.arg("serve");
        command
    };
    let on_another_clock = || {
        let mut command = Command::new("unshare");
        let own = env!("CARGO_BIN_EXE_netduel-reports");
        command.args(["--time", "--monotonic", "1000", "--fork", "--kill-child", own, "serve"]);
        command
    };
    let possible = Command::new("unshare").args(["--time", "true"]).output();
    let other_clock = possible.is_ok_and(|output| output.status.success());
    if !other_clock {
        println!("skipped: the other clock, since no time namespace can be made here");
    }
    let servers = [(here(), false)].into_iter().chain(other_clock.then(|| (on_another_clock(), true)));
    for (command, other_clock) in servers {
        let (mut server, address) = server_elsewhere(command);
        let folder = tempfile::tempdir().expect("folder");
        let out = folder.path().to_str().expect("utf-8");
        let flags = ["--transport", "tcp", "--repeat", "1", "--controls", "0", "--duration", "700ms"];
        let output = report(&[&["run", "--server", &address, "--out", out][..], &flags].concat());
        server.kill().expect("killed");
        server.wait().expect("ended");
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        let (_, results) = results_in(folder.path());
        let stats = &results.runs[0].load.stats;
        assert_eq!(stats.clock_error_us, 0, "players share a clock, whatever the server has: {other_clock}");
        let median_us = stats.one_way.quantile_us(0.5).expect("enough");
        assert!(median_us > 10 && median_us < 1_000_000, "{median_us} µs: the clocks are 1,000 s apart");
        assert!(results.runs[0].server.cpu_us.is_none(), "nothing is known of it");
    }
}

#[test]
fn wrong_arguments_give_advice() {
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("utf-8").to_owned()
    };
    let (other, newer) = (file("other.json", "{}"), file("newer.json", "{\"schema\": 999}"));
    let a_file = file("file", "");
    let cases: [(&[&str], i32, &str); 17] = [
        (&["run", "--baseline", "bare-tcp", "--payload", "16"], 1, "without a --payload"),
        (&["run", "--preset", "rate", "--in-flight", "8"], 1, "without a search"),
        (&["run", "--preset", "slow"], 2, "expected one of quick, rate, loss"),
        (&["run", "--resume", "no-such-folder"], 1, "nothing to resume in no-such-folder"),
        (
            &["run", "--relay", "both", "--payload", "1024"],
            1,
            "512 bytes at most where moves are relayed to both",
        ),
        (&["run", "--server", "127.0.0.1:1", "--transport", "tcp,udp"], 1, "name one --transport"),
        (&["run", "--server", "127.0.0.1", "--transport", "tls"], 1, "need --pin or --ca"),
        (&["run", "--server", "play.example", "--link", "lte"], 2, "cannot be used with"),
        (&["run", "--server", "no.such.host.invalid", "--transport", "tcp"], 1, "cannot find the host"),
        (&["run", "--link", "wfi"], 2, "did you mean \"wifi\"?"),
        (
            &["run", "--transport", "carrier-pigeon"],
            2,
            "expected one of tcp, tls, quic-stream, quic-uni, quic-datagram, enet, udp",
        ),
        (&["run", "--rate", "0"], 2, "1..=10000"),
        (&["run", "--congestion", "none"], 2, "there are cubic, bbr and reno"),
        (&["run", "--out", &a_file], 1, "cannot write"),
        (&["render", "no-such-file.json"], 1, "cannot read no-such-file.json"),
        (&["render", &other], 1, "holds no results of netduel-reports"),
        (&["render", &newer], 1, "has schema 999"),
    ];
    for (args, code, words) in cases {
        let output = report(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}
