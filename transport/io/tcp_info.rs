//! The kernel's knowledge of a TCP connection: `getsockopt(TCP_INFO)` on Linux, nothing elsewhere.
//!
//! This file has the only unsafe code of the crate: no library that we know reads the fields that
//! Linux added to `TCP_INFO` since version 4.2.

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
    let Some(info) = linux::tcp_info(socket) else { return PathStats::default() };
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
        throttled_messages: None,
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

    use crate::Setting;

    /// The bytes of `tcp_info` that a kernel must fill: up to `tcpi_bytes_sent` (Linux 4.19).
    /// Kernels only ever append.
    const NEEDED_BYTES: usize = offset_of!(libc::tcp_info, tcpi_bytes_sent) + size_of::<u64>();

    /// Returns the settings of the socket, read back from it.
    pub(super) fn settings(socket: &TcpStream) -> Vec<Setting> {
        let socket = SockRef::from(socket);
        let nodelay = socket.tcp_nodelay().map(Setting::TcpNodelay);
        let lowat = socket.tcp_notsent_lowat().map(Setting::TcpNotsentLowatBytes);
        [nodelay, lowat].into_iter().flatten().chain(Setting::buffers(&socket)).collect()
    }

    /// Returns `None` if the kernel refuses, or is too old to fill every field that is read.
    #[allow(unsafe_code)]
    pub(super) fn tcp_info(socket: &TcpStream) -> Option<libc::tcp_info> {
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
        (outcome == 0 && size as usize >= NEEDED_BYTES).then_some(info)
    }
}
