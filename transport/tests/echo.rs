//! The example `echo` as its users run it, over every kind.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use netduel_transport::TransportKind;

/// Returns the path of the example.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let program = profile.join("examples").join(format!("echo{}", std::env::consts::EXE_SUFFIX));
    // Cargo builds examples beside the tests of a package, but not for a single test.
    assert!(program.exists(), "build it first: cargo build -p netduel-transport --example echo");
    program
}

/// Runs the example with SSLKEYLOGFILE, and returns the lines of that file.
fn key_log(kind: TransportKind, file: &Path) -> Vec<String> {
    let run = Command::new(program()).arg(kind.name()).env("SSLKEYLOGFILE", file).output().expect("started");
    assert!(run.status.success(), "{kind}: {run:?}");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn client_logs_keys_on_request() {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in TransportKind::ALL {
        let lines = key_log(kind, &folder.path().join(kind.name()));
        let has = |label: &str| lines.iter().any(|line| line.starts_with(label));
        let secrets = has("CLIENT_TRAFFIC_SECRET_0 ") && has("SERVER_TRAFFIC_SECRET_0 ");
        assert_eq!(secrets, kind.capabilities().encrypted, "{kind}: {lines:?}");
    }
}

#[test]
fn echoes_over_every_kind() {
    for kind in TransportKind::ALL {
        let output = Command::new(program()).arg(kind.name()).output().expect("started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{kind}: {output:?}");
        assert!(text.contains("control: hello"), "{kind}: {text}");
        assert!(text.ends_with("the example is over (code 256)\n"), "{kind}: {text}");
    }
}
