//! Collects the provenance of a comparison: the program, its commit, and the host.

use crate::{
    data::results::{Provenance, unix_s},
    run::kernel_memory,
};

/// The kernel settings that change results. The first ones decide when TCP sends a lost segment
/// again.
const SYSCTLS: &[&str] = &[
    "net/ipv4/tcp_rto_min_us",
    "net/ipv4/tcp_thin_linear_timeouts",
    "net/ipv4/tcp_early_retrans",
    "net/ipv4/tcp_recovery",
    "net/ipv4/tcp_rto_max_ms",
    "net/ipv4/tcp_pingpong_thresh",
    "net/ipv4/tcp_frto",
    "net/ipv4/tcp_sack",
    "net/ipv4/tcp_dsack",
    "net/ipv4/tcp_reordering",
    "net/ipv4/tcp_min_rtt_wlen",
    "net/ipv4/tcp_ecn",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_available_congestion_control",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_notsent_lowat",
    "net/ipv4/tcp_autocorking",
    "net/ipv4/tcp_no_metrics_save",
    "net/ipv4/tcp_timestamps",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/udp_rmem_min",
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/rmem_default",
    "net/core/default_qdisc",
    "net/core/busy_poll",
];

/// Returns the provenance of a comparison by this process, on this host, now. The processors of the
/// runs follow from the plan later.
pub(crate) fn collect() -> Provenance {
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
        sysctls: sysctls(),
        command: std::env::args().skip(1).collect(),
        lanes: Vec::new(),
        no_kernel_memory: kernel_memory::unavailable(),
        resumed_unix_s: Vec::new(),
    }
}

/// Returns the kernel settings in the network namespace of this thread. The namespaces of a link
/// have the kernel's defaults, whatever the host's settings are.
pub(crate) fn sysctls() -> Vec<(String, String)> {
    let values = SYSCTLS.iter().map(|name| (name.replace('/', "."), read(&format!("/proc/sys/{name}"))));
    values.filter(|(_, value)| !value.is_empty()).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Returns the commit of the checkout that this program was built from; a "+" marks local changes.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        // git runs programs that the checkout's own configuration names.
        netduel_link::without_privileges(&mut git);
        let output = git
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
