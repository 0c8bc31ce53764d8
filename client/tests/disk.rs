//! Recordings saved over another one while the disk is full: the file is the old one or the new
//! one, never a part.
//!
//! The disk is full in a child process: by a limit on file sizes, which needs no privileges, and by
//! a small file system where this user may mount one.

#![cfg(unix)]

use std::{fs, path::Path, process::Command};

use netduel_client::recording::{FORMAT, Recording, SCHEMA};

/// The environment variable with the child's file.
const FILE: &str = "NETDUEL_TEST_SAVE_TO";

fn recording(name: &str, figures: u64) -> Recording {
    let mut recording = Recording { format: FORMAT.into(), schema: SCHEMA, ..Recording::default() };
    recording.me.name = name.into();
    for at_us in 1..=figures {
        let figures = netduel_client::stats::live::Figures { at_us, ..Default::default() };
        recording.me.push(&figures, &Default::default());
    }
    recording
}

fn old() -> Recording {
    recording("old", 1)
}

/// Returns a recording of some 100 KB.
fn new() -> Recording {
    recording("new", 200)
}

/// Runs in the child, and is no test of its own. Fails where the disk is full.
#[test]
fn save_in_child() {
    if let Some(file) = std::env::var_os(FILE) {
        new().save(Path::new(&file)).expect("saved");
    }
}

/// Saves in a child after the shell commands `before`. Returns whether the child succeeded.
fn save_after(before: &str, file: &Path) -> bool {
    let script = format!("{before} exec \"$0\" --exact save_in_child");
    let mut child = Command::new("sh");
    child.arg("-c").arg(script).arg(std::env::current_exe().expect("this program")).env(FILE, file);
    child.output().expect("started").status.success()
}

fn bytes_of(recording: &Recording) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("play.json");
    recording.save(&file).expect("saved");
    fs::read(file).expect("readable")
}

#[test]
fn full_disk_leaves_a_whole_recording() {
    let [old_bytes, new_bytes] = [bytes_of(&old()), bytes_of(&new())];
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("play.json");
    let blocks = new_bytes.len() / 512;
    let mut outcomes = Vec::new();
    // The limits, in units of 512 bytes: nothing fits, a part, all but a few bytes, all.
    for limit in [0, 1, blocks / 2, blocks, blocks + 1] {
        old().save(&file).expect("saved");
        let saved = save_after(&format!("ulimit -f {limit} && trap '' XFSZ &&"), &file);
        let expected = if saved { &new_bytes } else { &old_bytes };
        assert!(fs::read(&file).expect("readable") == *expected, "limit {limit}, saved: {saved}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing is left over");
        outcomes.push(saved);
    }
    assert_eq!(outcomes, [false, false, false, false, true]);
}

#[cfg(target_os = "linux")]
#[test]
fn small_file_system_keeps_old_recording() {
    let mount = |kilobytes: usize| format!("mount -t tmpfs -o size={kilobytes}k none \"$D\"");
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("play.json");
    // The child mounts in a namespace of its own, which ends the mount, and prints its result.
    let script = |kilobytes| {
        format!(
            "{} && cp \"$OLD\" \"$D/play.json\" && {{ \"$0\" --exact save_in_child >/dev/null 2>&1; echo saved $?; \
             cat \"$D/play.json\"; }}",
            mount(kilobytes)
        )
    };
    let (old_file, new_bytes) = (tempfile::NamedTempFile::new().expect("file"), bytes_of(&new()));
    old().save(old_file.path()).expect("saved");
    for (kilobytes, fits) in [(64, false), (1_024, true)] {
        let mut child = Command::new("unshare");
        child.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script(kilobytes)]);
        child.arg(std::env::current_exe().expect("this program"));
        child.env(FILE, &file).env("D", folder.path()).env("OLD", old_file.path());
        let Ok(output) = child.output() else { return println!("skipped: there is no unshare") };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return println!("skipped: this user may mount nothing: {said}");
        }
        let expected = if fits { new_bytes.clone() } else { bytes_of(&old()) };
        let head = if fits { &b"saved 0\n"[..] } else { b"saved 101\n" };
        assert!(output.stdout == [head, &expected].concat(), "{kilobytes} kB");
    }
}
