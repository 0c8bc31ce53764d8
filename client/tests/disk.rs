//! Recordings saved while the disk is full: the file is whole, or there is none. Another recording
//! of the same name stays as it is.
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
fn full_disk_leaves_no_part() {
    let new_bytes = bytes_of(&new());
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("play.json");
    let blocks = new_bytes.len() / 512;
    let mut outcomes = Vec::new();
    // The limits, in units of 512 bytes: nothing fits, a part, all but a few bytes, all.
    for limit in [0, 1, blocks / 2, blocks, blocks + 1] {
        let saved = save_after(&format!("ulimit -f {limit} && trap '' XFSZ &&"), &file);
        if saved {
            assert!(fs::read(&file).expect("readable") == new_bytes, "limit {limit}");
            fs::remove_file(&file).expect("removed");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "nothing is left over");
        outcomes.push(saved);
    }
    assert_eq!(outcomes, [false, false, false, false, true]);
}

#[test]
fn recordings_replace_no_recording() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("play.json");
    old().save(&file).expect("saved");
    let refused = new().save(&file).expect_err("the file exists");
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(fs::read(&file).expect("readable") == bytes_of(&old()));
}

#[cfg(target_os = "linux")]
#[test]
fn small_file_system_keeps_no_part() {
    let mount = |kilobytes: usize| format!("mount -t tmpfs -o size={kilobytes}k none \"$D\"");
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("play.json");
    // The child mounts in a namespace of its own, which ends the mount, and prints its result.
    let script = |kilobytes| {
        format!(
            "{} && {{ \"$0\" --exact save_in_child >/dev/null 2>&1; echo saved $?; cat \"$D\"/*; }}; true",
            mount(kilobytes)
        )
    };
    let new_bytes = bytes_of(&new());
    for (kilobytes, fits) in [(64, false), (1_024, true)] {
        let mut child = Command::new("unshare");
        child.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script(kilobytes)]);
        child.arg(std::env::current_exe().expect("this program"));
        child.env(FILE, &file).env("D", folder.path());
        let Ok(output) = child.output() else { return println!("skipped: there is no unshare") };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return println!("skipped: this user may mount nothing: {said}");
        }
        let expected = if fits { [b"saved 0\n", &new_bytes[..]].concat() } else { b"saved 101\n".to_vec() };
        assert!(output.stdout == expected, "{kilobytes} kB");
    }
}
