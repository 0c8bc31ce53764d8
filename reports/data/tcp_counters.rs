//! The kernel's counters of TCP's loss recovery in a network namespace: tail loss probes, timeouts
//! and fast recoveries, which `TCP_INFO` does not have.

use serde::{Deserialize, Serialize};

/// The counters of a namespace's TCP, for all its connections together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCounters {
    /// The number of retransmission timeouts.
    pub timeouts: u64,
    /// The number of timeouts that turned out to be needless.
    pub spurious_timeouts: u64,
    /// The number of tail loss probes sent.
    pub loss_probes: u64,
    /// The number of losses that a probe mended.
    pub loss_probe_recoveries: u64,
    /// The number of recoveries that acknowledgements began, without a timeout.
    pub fast_recoveries: u64,
    /// The number of segments sent again in fast recoveries.
    pub fast_retransmissions: u64,
    /// The number of segments sent again after a timeout.
    pub timeout_retransmissions: u64,
    /// The number of acknowledgements that were delayed.
    pub delayed_acks: u64,
}

impl TcpCounters {
    /// Returns the counters of the namespace of a process; `None` where the system has none.
    pub fn of_process(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/net/netstat")).ok()?)
    }

    /// Returns the counters of `/proc/net/netstat`: pairs of lines, the names before the values.
    fn parse(netstat: &str) -> Option<Self> {
        let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let counters: Vec<(&str, u64)> = (names.split_whitespace().zip(values.split_whitespace()))
            .map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect::<Option<_>>()?;
        // A counter that the kernel does not have has counted nothing.
        let of = |name: &str| counters.iter().find(|it| it.0 == name).map_or(0, |it| it.1);
        Some(Self {
            timeouts: of("TCPTimeouts"),
            spurious_timeouts: of("TCPSpuriousRTOs"),
            loss_probes: of("TCPLossProbes"),
            loss_probe_recoveries: of("TCPLossProbeRecovery"),
            fast_recoveries: of("TCPSackRecovery") + of("TCPRenoRecovery"),
            fast_retransmissions: of("TCPFastRetrans"),
            timeout_retransmissions: of("TCPSlowStartRetrans"),
            delayed_acks: of("DelayedACKs"),
        })
    }

    /// Returns what was counted since an earlier reading of the same namespace.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = |read: fn(&Self) -> u64| read(self).saturating_sub(read(earlier));
        Self {
            timeouts: grown(|it| it.timeouts),
            spurious_timeouts: grown(|it| it.spurious_timeouts),
            loss_probes: grown(|it| it.loss_probes),
            loss_probe_recoveries: grown(|it| it.loss_probe_recoveries),
            fast_recoveries: grown(|it| it.fast_recoveries),
            fast_retransmissions: grown(|it| it.fast_retransmissions),
            timeout_retransmissions: grown(|it| it.timeout_retransmissions),
            delayed_acks: grown(|it| it.delayed_acks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTAT: &str = "TcpExt: DelayedACKs TCPTimeouts TCPLossProbes TCPSackRecovery TCPRenoRecovery\n\
        TcpExt: 7 3 20 4 1\nIpExt: TCPTimeouts\nIpExt: 99\n";

    #[test]
    fn reads_the_kernels_pairs_of_lines() {
        let counters = TcpCounters::parse(NETSTAT).expect("the form of the kernel");
        let expected = TcpCounters {
            timeouts: 3,
            loss_probes: 20,
            fast_recoveries: 5,
            delayed_acks: 7,
            ..TcpCounters::default()
        };
        assert_eq!(counters, expected);
        assert_eq!(TcpCounters::parse("IpExt: TCPTimeouts\nIpExt: 99\n"), None);
        let earlier = TcpCounters { timeouts: 1, delayed_acks: 2, ..TcpCounters::default() };
        let since = counters.since(&earlier);
        assert_eq!((since.timeouts, since.delayed_acks, since.loss_probes), (2, 5, 20));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn reads_its_own_namespace() {
        assert!(TcpCounters::of_process(std::process::id()).is_some());
    }
}
