//! `netduel-link selftest`: checks that links on this machine keep to their spec.

use std::process::ExitCode;

use anyhow::Result;
use netduel_link::{SELF_TESTS, cli::PrivilegeArg};

/// Runs the checks whose name contains `only` and prints their findings.
pub(crate) fn self_test(privilege: &PrivilegeArg, packets: u32, only: &str) -> Result<ExitCode> {
    let testbed = privilege.enter()?;
    let mut ok = true;
    for test in SELF_TESTS.iter().filter(|test| test.name.contains(only)) {
        for finding in (test.run)(&testbed, packets)? {
            let verdict = if finding.ok { "ok" } else { "FAIL" };
            println!("{verdict:<5}{:<34}{:<60}spec: {}", finding.what, finding.measured, finding.asked);
            ok &= finding.ok;
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
