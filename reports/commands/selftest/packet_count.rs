//! An independent count of the packets on a link: tcpdump captures at the end of the server, and
//! this module counts the packets in its file.

use std::net::Ipv4Addr;

use anyhow::{Context, bail, ensure};
use netduel_link::{INTERFACE, Link, LinkReport, Side};

use crate::run::tcpdump::{CapturePlan, Tcpdump};

/// Bytes kept of each packet: the IP header and a few more.
const SNAP_BYTES: u32 = 64;

/// The first four bytes of a capture file with timestamps in µs and in ns, in the byte order of
/// this machine.
const MAGIC_US: u32 = 0xa1b2_c3d4;
const MAGIC_NS: u32 = 0xa1b2_3c4d;
/// `LINKTYPE_RAW`: packets begin with their IP header.
const RAW_IP: u32 = 101;
/// Lengths of the header of the file and of the header of each packet.
const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;
/// Length of an IPv4 header without options.
const IP_HEADER_BYTES: usize = 20;

/// A number of packets, and their bytes from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// A capture that runs until the link ends.
pub(crate) struct Capture {
    tcpdump: Tcpdump,
    file: tempfile::NamedTempFile,
}

impl Capture {
    /// Starts a capture at the end of the server, and waits until tcpdump sees packets.
    pub(crate) fn start(link: &Link) -> anyhow::Result<Self> {
        let file = tempfile::NamedTempFile::new().context("cannot make a file for the capture")?;
        let plan =
            CapturePlan { interface: INTERFACE, snap_bytes: SNAP_BYTES, packets_max: None, filter: None };
        let tcpdump =
            Tcpdump::start(&plan, file.reopen()?, |command| Ok(link.spawn_capture(Side::Server, command)?))?;
        Ok(Self { tcpdump, file })
    }

    /// Counts the packets that the server received and sent within the window of `report`. Call it
    /// after the end of the link.
    pub(crate) fn count(self, report: &LinkReport) -> anyhow::Result<[Count; 2]> {
        self.tcpdump.wait()?;
        let capture = std::fs::read(self.file.path())?;
        let offset_ns = clock_offset_ns();
        let open_ns = i128::from(report.started_monotonic_ns) + offset_ns;
        let close_ns = open_ns + (report.elapsed_ms * 1e6) as i128;
        count(&capture, Side::Server.ip(), open_ns..close_ns)
    }
}

/// Returns the offset of the wall clock (packet timestamps) from the monotonic clock (windows).
#[cfg(target_os = "linux")]
fn clock_offset_ns() -> i128 {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let now = clock_gettime(clock);
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
    };
    read(ClockId::Realtime) - read(ClockId::Monotonic)
}

/// Returns 0, since this system has no emulated links.
#[cfg(not(target_os = "linux"))]
fn clock_offset_ns() -> i128 {
    0
}

/// Counts the packets to and from `ip` in a capture of raw IPv4 packets, within a window of UNIX
/// time.
fn count(capture: &[u8], ip: Ipv4Addr, window_ns: std::ops::Range<i128>) -> anyhow::Result<[Count; 2]> {
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let fraction_ns = match word(capture, 0) {
        Some(MAGIC_US) => 1_000,
        Some(MAGIC_NS) => 1,
        _ => bail!("the file is not a pcap capture"),
    };
    ensure!(word(capture, 20) == Some(RAW_IP), "the capture holds no raw IP packets");
    let [mut received, mut sent] = [Count::default(); 2];
    let mut rest = capture.get(FILE_HEADER_BYTES..).unwrap_or_default();
    // The last packet may be incomplete, since tcpdump was killed while it wrote.
    while let (Some(seconds), Some(fraction), Some(kept), Some(length)) =
        (word(rest, 0), word(rest, 4), word(rest, 8), word(rest, 12))
    {
        let end = PACKET_HEADER_BYTES + kept as usize;
        let Some(packet) = rest.get(PACKET_HEADER_BYTES..end) else { break };
        rest = &rest[end..];
        let at_ns = i128::from(seconds) * 1_000_000_000 + i128::from(fraction) * fraction_ns;
        let is_ipv4 = packet.len() >= IP_HEADER_BYTES && packet[0] >> 4 == 4;
        if is_ipv4 && window_ns.contains(&at_ns) {
            let direction = if packet[12..16] == ip.octets() { &mut sent } else { &mut received };
            direction.packets += 1;
            direction.bytes += u64::from(length);
        }
    }
    Ok([received, sent])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_direction_and_window() {
        let mut capture = [MAGIC_US, 0x0004_0002, 0, 0, 64, RAW_IP].map(u32::to_ne_bytes).concat();
        let mut add = |at_s: u32, from: [u8; 4], length: u32| {
            capture.extend([at_s, 500_000, 20, length].map(u32::to_ne_bytes).concat());
            capture.extend([[0x45, 0, 0, 0], [0; 4], [0; 4], from, [9; 4]].concat());
        };
        add(9, [1, 2, 3, 4], 1_000); // Before the window.
        add(10, [1, 2, 3, 4], 100);
        add(11, [9, 9, 9, 9], 60);
        add(11, [9, 9, 9, 9], 70);
        add(12, [1, 2, 3, 4], 1_000); // After it.
        capture.extend([12; 7]); // Cut off.
        let found = count(&capture, [1, 2, 3, 4].into(), 10_000_000_000..12_000_000_000).expect("a capture");
        assert_eq!(found, [Count { packets: 2, bytes: 130 }, Count { packets: 1, bytes: 100 }]);
        assert!(count(&[0; 24], [1, 2, 3, 4].into(), 0..1).is_err());
    }
}
