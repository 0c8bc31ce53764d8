//! The measuring against accounts that are none of ours, as a user would check it: the wire by a packet capture, the CPU by
//! what the kernel says at the end of a process.

use std::process::{Command, Output};

fn selftest(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netduel-report")).arg("selftest").args(args).output();
    let output = output.expect("started");
    let text =
        [&output.stdout[..], &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned()).concat();
    println!("{text}");
    (output, text)
}

#[test]
fn what_is_counted_on_the_wire_agrees_with_a_packet_capture() {
    let (output, text) = selftest(&["wire"]);
    if text.contains("too busy to emulate the link") {
        return println!("skipped");
    }
    // It says itself why it skips, and fails where it must not.
    assert!(output.status.success(), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_cpu_time_that_is_read_is_what_the_kernel_accounts_for() {
    let (output, text) = selftest(&["cpu-account", "--seconds", "2"]);
    assert!(output.status.success(), "{text}");
}
