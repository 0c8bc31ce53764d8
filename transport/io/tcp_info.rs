//! The kernel's knowledge of a TCP connection: `getsockopt(TCP_INFO)` on Linux, nothing elsewhere.
//!
//! This file and `tcp_tuning.rs` have the only unsafe code of the crate: no library that we know
//! reads the fields that Linux added to `TCP_INFO` since version 4.2.

use tokio::net::TcpStream;

use crate::PathStats;

/// Returns an empty snapshot: this system has no `TCP_INFO` that we know.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_socket: &TcpStream) -> PathStats {
    PathStats::default()
}

/// Reads the kernel's statistics of `socket`. Their bytes are the payload only.
#[cfg(target_os = "linux")]
pub(crate) fn read(socket: &TcpStream) -> PathStats {
    let Some((info, size)) = linux::tcp_info(socket) else { return PathStats::default() };
    let congestion = socket2::SockRef::from(socket).tcp_congestion().ok();
    let name = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
    PathStats {
        rtt_us: Some(info.tcpi_rtt.into()),
        min_rtt_us: (info.tcpi_min_rtt != u32::MAX).then_some(info.tcpi_min_rtt.into()),
        congestion_window_bytes: Some(u64::from(info.tcpi_snd_cwnd) * u64::from(info.tcpi_snd_mss)),
        congestion: congestion.map(|bytes| name(bytes).into()),
        // The kernel counts the packets that it believes lost *now*. Over a connection's life, the
        // retransmissions say as much.
        lost_packets: None,
        retransmitted_packets: Some(info.tcpi_total_retrans.into()),
        recovery: linux::recovery(&info, size),
        sent_packets: Some(info.tcpi_segs_out.into()),
        received_packets: Some(info.tcpi_segs_in.into()),
        sent_bytes: Some(info.tcpi_bytes_sent),
        received_bytes: Some(info.tcpi_bytes_received),
        max_packet_bytes: Some(info.tcpi_snd_mss.into()),
        tls: None,
        settings: linux::settings(socket),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        mem::{MaybeUninit, offset_of},
        os::fd::AsRawFd,
    };

    use socket2::SockRef;
    use tokio::net::TcpStream;

    use crate::{Recovery, Setting};

    /// The bytes of `tcp_info` that a kernel must fill: up to `tcpi_reord_seen` (Linux 4.19).
    /// Kernels only ever append.
    const NEEDED_BYTES: usize = offset_of!(libc::tcp_info, tcpi_reord_seen) + size_of::<u32>();

    /// The bytes of `tcp_info` of a kernel that counts timeouts (Linux 6.7).
    const WITH_TIMEOUTS_BYTES: usize = offset_of!(libc::tcp_info, tcpi_total_rto_time) + size_of::<u32>();

    /// Returns the account of loss recovery. The kernel filled `size` bytes of `info`.
    pub(super) fn recovery(info: &libc::tcp_info, size: usize) -> Recovery {
        let counts_timeouts = size >= WITH_TIMEOUTS_BYTES;
        let of_timeouts = |count: u64| counts_timeouts.then_some(count);
        Recovery {
            timeouts: of_timeouts(info.tcpi_total_rto.into()),
            timeout_recoveries: of_timeouts(info.tcpi_total_rto_recoveries.into()),
            timeout_recovery_us: of_timeouts(u64::from(info.tcpi_total_rto_time) * 1_000),
            spurious_retransmissions: Some(info.tcpi_dsack_dups.into()),
            reorderings: Some(info.tcpi_reord_seen.into()),
            busy_us: Some(info.tcpi_busy_time),
            receive_window_limited_us: Some(info.tcpi_rwnd_limited),
            send_buffer_limited_us: Some(info.tcpi_sndbuf_limited),
            ..Recovery::default()
        }
    }

    /// Returns the settings of the socket, read back from it.
    pub(super) fn settings(socket: &TcpStream) -> Vec<Setting> {
        let socket = SockRef::from(socket);
        let nodelay = socket.tcp_nodelay().map(Setting::TcpNodelay);
        let lowat = socket.tcp_notsent_lowat().map(Setting::TcpNotsentLowatBytes);
        [nodelay, lowat].into_iter().flatten().chain(Setting::buffers(&socket)).collect()
    }

    /// Returns the structure, and how many of its bytes the kernel filled. `None` if the kernel
    /// refuses, or is too old to fill every field that is always read.
    #[allow(unsafe_code)]
    pub(super) fn tcp_info(socket: &TcpStream) -> Option<(libc::tcp_info, usize)> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the descriptor is open while `socket` is borrowed. The kernel writes at most
        // `size` bytes into `info` and stores how many it wrote.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        // SAFETY: the structure is plain integers, for which zeros are valid.
        let info = unsafe { info.assume_init() };
        (outcome == 0 && size as usize >= NEEDED_BYTES).then_some((info, size as usize))
    }
}
