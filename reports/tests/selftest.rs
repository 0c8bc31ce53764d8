//! Tests of the measurements against independent accounts: the wire against a packet capture, CPU
//! time against the kernel's account of an ended process.

use std::process::{Command, Output};

fn selftest(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netduel-reports")).arg("selftest").args(args).output();
    let output = output.expect("started");
    let text =
        [&output.stdout[..], &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned()).concat();
    println!("{text}");
    (output, text)
}

#[test]
fn wire_counts_equal_packet_capture() {
    let (output, text) = selftest(&["wire"]);
    if text.contains("too busy to emulate the link") {
        return println!("skipped");
    }
    // The self-test reports the reason of a skip, and fails if a skip is not allowed.
    assert!(output.status.success(), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn cpu_time_equals_kernel_account() {
    let (output, text) = selftest(&["cpu-account", "--seconds", "2"]);
    assert!(output.status.success(), "{text}");
}
