//! Test of the example `own_transport`: a comparison with a transport from outside the workspace's
//! crates.

mod link;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use parking_lot::Mutex;
use serde_json::Value;

/// The lock that runs one comparison at a time, since each measures the machine.
static MACHINE: Mutex<()> = Mutex::new(());

/// Returns the path of the example's program. Cargo builds examples beside the tests of a package.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let program = profile.join("examples").join(format!("own_transport{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "build it first: cargo build -p netduel-reports --example own_transport");
    program
}

fn run(program: &Path, folder: &Path, flags: &[&str]) -> Output {
    let _alone = MACHINE.lock();
    let mut command = Command::new(program);
    command.args(["run", "--repeat", "3", "--warmup", "200ms", "--out"]).arg(folder).args(flags);
    command.output().expect("started")
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect(name)
}

/// Checks that the results and every report hold the transport beside the built-in `kinds`.
fn check_reports(folder: &Path, kinds: &[&str]) {
    let results: Value = serde_json::from_str(&read(folder, "results.json")).expect("JSON");
    let runs = results["runs"].as_array().expect("runs");
    let (markdown, html) = (read(folder, "report.md"), read(folder, "report.html"));
    // The answer and its charts reach to the heading of the first group.
    let answer = markdown.split("\n## ").next().expect("an answer");
    for kind in kinds.iter().chain(&["own"]) {
        let of_kind = |run: &&Value| run["key"]["contender"]["transport"] == *kind;
        let sent = runs.iter().filter(of_kind).map(|run| run["load"]["sent"].as_u64().expect("a count"));
        assert!(
            sent.clone().count() >= 3 && sent.clone().all(|sent| sent > 50),
            "{kind}: {:?}",
            sent.collect::<Vec<_>>()
        );
        assert!(markdown.contains(&format!("| {kind} | ")), "{kind} has a row");
        assert!(html.contains(&format!("{kind}</th>")), "{kind} has a row");
        assert!(answer.contains(kind), "the answer names {kind}: {answer}");
    }
}

#[test]
fn compares_own_on_loopback() {
    let folder = tempfile::tempdir().expect("folder");
    let flags = ["--transport", "tcp,udp,own", "--link", "loopback", "--pairs", "2", "--duration", "1s"];
    let output = run(&example(), folder.path(), &flags);
    assert!(output.status.success(), "{output:?}");
    check_reports(folder.path(), &["tcp", "udp"]);

    // The program of the workspace does not know the transport and names it in its error.
    let file = folder.path().join("results.json");
    let rendered = Command::new(env!("CARGO_BIN_EXE_netduel-reports")).arg("render").arg(&file).output();
    let rendered = rendered.expect("started");
    assert!(!rendered.status.success());
    assert!(String::from_utf8_lossy(&rendered.stderr).contains("'own'"), "{rendered:?}");
    let rendered = Command::new(example()).arg("render").arg(&file).output().expect("started");
    assert!(rendered.status.success(), "{rendered:?}");
}

#[test]
fn compares_own_over_a_link() {
    let folder = tempfile::tempdir().expect("folder");
    let flags =
        ["--transport", "tcp,quic-datagram,own", "--link", "wifi-busy", "--duration", "2s", "--no-cost"];
    let output = run(&example(), folder.path(), &flags);
    if link::is_unavailable(&output, folder.path()) {
        return;
    }
    assert!(output.status.success(), "{output:?}");
    check_reports(folder.path(), &["tcp", "quic-datagram"]);
}
