//! End-to-end test of `--preset baselines`: every baseline and one transport, in the same run.

use std::process::Command;

use netduel_loadgen::{Baseline, Subject};
use netduel_reports::{
    analysis::{conclusions::Conclusions, ratios::Ratios},
    data::results::Results,
    render::{html::html, text::markdown},
};

#[test]
fn compares_baselines_with_a_transport() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().to_str().expect("utf-8");
    let scope =
        ["--transport", "tcp", "--pairs", "2", "--in-flight", "2", "--controls", "0", "--repeat", "1"];
    let output = Command::new(env!("CARGO_BIN_EXE_netduel-reports"))
        .args(["run", "--preset", "baselines", "--duration", "200ms", "--warmup", "50ms", "--out", out])
        .args(scope)
        .output()
        .expect("started");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let results = Results::load(&folder.path().join("results.json")).expect("results");

    // PodSixNet needs Python. Every baseline that is missing is named with the way to install it.
    for left_out in &results.left_out {
        assert_eq!(left_out.baseline, Baseline::PodSixNet);
        assert!(left_out.reason.contains("pip install"), "{}", left_out.reason);
        assert!(stdout.contains(&left_out.reason));
        assert!(std::env::var_os("NETDUEL_PODSIXNET_REQUIRED").is_none(), "{}", left_out.reason);
        println!("skipped: {left_out}");
    }
    let baselines = Baseline::ALL.len() - results.left_out.len();
    assert_eq!(results.runs.len(), (1 + baselines) * 2, "an open loop and a closed loop");
    for run in &results.runs {
        let (key, load) = (&run.key, &run.load);
        // Two moves under way and a pump of 20 ms give a few dozen updates in this window. A busy
        // machine may be slower.
        assert!(load.stats.fresh > 5, "{key} on {}: {}", key.group, load.stats.fresh);
        // The bytes are those of moves of 52 B and more, headers, and little more. A move counts by
        // its intended time and a byte by its arrival: the last moves may miss their bytes.
        let bytes = load.received_bytes.expect("counted") as f64 / load.stats.fresh as f64;
        assert!((40.0..400.0).contains(&bytes), "{key} on {}: {bytes} B for each move", key.group);
        assert!(run.server.cpu_us.is_some_and(|cpu_us| cpu_us > 0), "{key}");
    }

    let ratios = Ratios::from_results(&results);
    assert_eq!(ratios.len(), 2);
    for group in &ratios {
        let names: Vec<&str> = group.rows.iter().map(|row| row.contender.transport.name()).collect();
        assert_eq!(names[..2], ["bare-tcp", "tcp"], "by wire, the bare relay first");
        for row in &group.rows {
            let is_floor = row.contender.transport.bare_relay().is_none();
            let cpu = row.ratios.iter().find(|it| it.measure == "CPU µs").expect("a column");
            assert!(cpu.value.is_some_and(|us| us > 0.0));
            assert_eq!(cpu.median().is_none(), is_floor, "{}", row.contender);
        }
    }
    let conclusions = Conclusions::of(&results);
    let (page, text) = (html(&conclusions), markdown(&conclusions));
    for subject in [Subject::Baseline(Baseline::BareTcp), Subject::Baseline(Baseline::Renet)] {
        assert!(text.contains(&format!("| {subject} | ")), "{subject} has a row");
        assert!(page.contains(&format!("{subject}</th>")), "{subject} has a row");
    }
    assert!(text.contains("## Ratios to the bare relays") && page.contains("id=\"ratios\""));
    assert!(stdout.contains("loopback, 2 in flight, 1 match"), "{stdout}");
}
