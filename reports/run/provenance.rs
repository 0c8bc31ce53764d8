//! Collects the provenance of a comparison: the program, its commit, and the host.

use netduel_loadgen::affinity;

use crate::{
    data::results::{Provenance, unix_s},
    run::kernel_memory,
};

/// The kernel settings that change results.
const SYSCTLS: &[&str] = &[
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/default_qdisc",
];

/// Returns the provenance of a comparison by this process, on this host, now.
pub(crate) fn collect() -> Provenance {
    let read =
        |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    Provenance {
        started_unix_s: unix_s(),
        version: env!("CARGO_PKG_VERSION").into(),
        commit: commit().unwrap_or_default(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        kernel: read("/proc/sys/kernel/osrelease"),
        cpu: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(0, Into::into),
        sysctls: SYSCTLS
            .iter()
            .map(|name| (name.replace('/', "."), read(&format!("/proc/sys/{name}"))))
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        command: std::env::args().skip(1).collect(),
        run_cpu: affinity::run_cpu(),
        no_kernel_memory: kernel_memory::unavailable(),
        resumed_unix_s: Vec::new(),
    }
}

/// Returns the commit of the checkout that this program was built from; a "+" marks local changes.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            // Without this, `status` writes its index, and fails where nothing can be written.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(args)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = if git(&["status", "--porcelain"])?.is_empty() { "" } else { "+" };
    Some(git(&["rev-parse", "--short=12", "HEAD"])? + changed)
}
