//! The reasons to skip a test that needs an emulated link.

use std::{path::Path, process::Output};

/// Whether a comparison over a link could not measure: this machine or this user cannot have links,
/// or the machine is too busy for an honest one. Prints the reason.
pub(crate) fn is_unavailable(output: &Output, folder: &Path) -> bool {
    let stderr = String::from_utf8_lossy(&output.stderr);
    // An empty folder means that no run began.
    let begun = std::fs::read_dir(folder).expect("readable").next().is_some();
    let required = std::env::var_os("NETDUEL_LINK_REQUIRED").is_some();
    let too_busy = !output.status.success() && stderr.contains("no result for");
    if too_busy {
        println!("skipped: the machine is too busy for an honest link: {stderr}");
    } else if !begun && !required {
        println!("skipped: {stderr}");
    }
    too_busy || (!begun && !required)
}
