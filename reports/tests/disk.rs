//! Tests of reports and journals on a full disk, and when the program is killed: every file is the
//! old one or the complete new one.
//!
//! The crate in `atomic-file/` writes single files and has its own test.

#![cfg(unix)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use netduel_reports::{analysis::capacity::without_result, data::results::Results};

const PROGRAM: &str = env!("CARGO_BIN_EXE_netduel-reports");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sample/results.json");
const REPORTS: [&str; 3] = ["report.html", "report.md", "report.csv"];
/// The earlier content of a report.
const OLD: &[u8] = b"the report of yesterday";

fn report(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().expect("started")
}

/// Runs the program with no file larger than `limit` × 512 bytes. A larger write fails as it does
/// on a full disk.
fn on_a_full_disk(limit: usize, args: &[&str]) -> Output {
    let script = format!("ulimit -f {limit} && trap '' XFSZ && exec \"$0\" \"$@\"");
    Command::new("sh").args(["-c", &script, PROGRAM]).args(args).output().expect("started")
}

/// Returns a folder with results and old reports, and the path of the results.
fn folder_with_old_reports() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let results = folder.path().join("results.json");
    fs::copy(SAMPLE, &results).expect("copied");
    put_old_reports(folder.path());
    (folder, results)
}

fn put_old_reports(folder: &Path) {
    for name in REPORTS {
        fs::write(folder.join(name), OLD).expect("written");
    }
}

fn reports_in(folder: &Path) -> [Vec<u8>; 3] {
    REPORTS.map(|name| fs::read(folder.join(name)).expect(name))
}

#[test]
fn full_disk_leaves_whole_reports() {
    let (folder, results) = folder_with_old_reports();
    let args = ["render", results.to_str().expect("utf-8")];
    assert!(report(&args).status.success());
    let new = reports_in(folder.path());
    let largest = new.iter().map(Vec::len).max().expect("three") / 512 + 1;
    // No report fits, the shortest fits, all fit.
    for limit in [0, 1, new[2].len() / 512 + 1, largest] {
        put_old_reports(folder.path());
        let output = on_a_full_disk(limit, &args);
        let fits = limit == largest;
        assert_eq!(output.status.success(), fits, "{limit}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(fits || said.contains("cannot write"), "{said}");
        for (found, new) in reports_in(folder.path()).iter().zip(&new) {
            assert!(found == new || (!fits && found == OLD), "half a file at a limit of {limit}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 4, "nothing is left over");
    }
}

#[test]
fn kill_leaves_whole_reports() {
    const KILLS: u32 = 25;
    let (folder, results) = folder_with_old_reports();
    let args = ["render", results.to_str().expect("utf-8")];
    let start = std::time::Instant::now();
    assert!(report(&args).status.success());
    let whole_run = start.elapsed();
    let new = reports_in(folder.path());
    let mut killed = 0;
    for number in 0..KILLS {
        put_old_reports(folder.path());
        let mut child = Command::new(PROGRAM)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        // Each kill comes at another moment.
        std::thread::sleep(whole_run * number / KILLS + Duration::from_micros(100));
        child.kill().expect("killed");
        killed += u32::from(!child.wait().expect("ended").success());
        for (found, new) in reports_in(folder.path()).iter().zip(&new) {
            assert!(found == new || found == OLD, "half a file after kill {number}");
        }
    }
    assert!(killed > 0, "no kill came in time");
}

/// Checks that a full disk prevents the beginning or the continuation of a journal, and that the
/// comparison resumes when there is room again.
#[test]
fn resumes_after_full_disk() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("out");
    let name = out.to_str().expect("utf-8");
    let flags = ["--link", "loopback", "--transport", "tcp,udp", "--repeat", "1", "--duration", "300ms"];
    let run = [&["run", "--out", name][..], &flags, &["--warmup", "100ms"]].concat();

    let output = on_a_full_disk(1, &run);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = fs::read_dir(&out).map(|it| it.flatten().collect()).unwrap_or_default();
    assert!(left.is_empty(), "a journal that nobody can resume: {left:?}");

    // The journal's first line has room, but some of the runs do not.
    let journal = out.join("unfinished.jsonl");
    let room = (4..).step_by(4).find(|room| {
        let output = on_a_full_disk(*room, &run);
        assert_eq!(output.status.code(), Some(1), "{room}: all fits");
        journal.exists()
    });
    let output = report(&["run", "--resume", name]);
    assert!(output.status.success(), "after {room:?}: {}", String::from_utf8_lossy(&output.stderr));
    let results = Results::load(&out.join("results.json")).expect("whole");
    assert!(without_result(&results).is_empty() && results.failures.is_empty());
    assert!(!journal.exists());
}
