//! What the kernel knows of a TCP connection: `getsockopt(TCP_INFO)` on Linux, nothing elsewhere.
//!
//! The only unsafe code of this crate: no library we know reads the fields added since Linux 4.2.

use tokio::net::TcpStream;

use crate::PathStats;
#[cfg(target_os = "linux")]
use crate::connection::path_stats::{buffers, setting};

#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_socket: &TcpStream) -> PathStats {
    PathStats::default()
}

#[cfg(target_os = "linux")]
pub(crate) fn read(socket: &TcpStream) -> PathStats {
    let Some(info) = linux::tcp_info(socket) else { return PathStats::default() };
    let congestion = socket2::SockRef::from(socket).tcp_congestion().ok();
    PathStats {
        rtt_us: Some(info.rtt_us.into()),
        min_rtt_us: (info.min_rtt_us != u32::MAX).then_some(info.min_rtt_us.into()),
        congestion_window_bytes: Some(u64::from(info.snd_cwnd) * u64::from(info.snd_mss)),
        congestion: congestion.map(|name| String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()),
        // The kernel counts what it believes lost *now*; over a connection's life, what it sent again says as much.
        lost_packets: None,
        retransmitted_packets: Some(info.total_retrans.into()),
        throttled_messages: None,
        sent_packets: Some(info.segs_out.into()),
        received_packets: Some(info.segs_in.into()),
        sent_bytes: Some(info.bytes_sent),
        received_bytes: Some(info.bytes_received),
        max_packet_bytes: Some(info.snd_mss.into()),
        tls: None,
        settings: settings(socket),
    }
}

/// What was set on the socket, read back from it.
#[cfg(target_os = "linux")]
fn settings(socket: &TcpStream) -> Vec<(String, String)> {
    let socket = socket2::SockRef::from(socket);
    let switch = |on: bool| if on { "on" } else { "off" };
    let mut settings = Vec::new();
    settings.extend(socket.tcp_nodelay().ok().map(|on| setting("TCP_NODELAY", switch(on))));
    settings.extend(socket.tcp_notsent_lowat().ok().map(|bytes| setting("TCP_NOTSENT_LOWAT B", bytes)));
    settings.extend(buffers(&socket));
    settings
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsRawFd;

    use tokio::net::TcpStream;

    /// `struct tcp_info` of `linux/tcp.h` up to `tcpi_bytes_retrans` (Linux 4.19). The kernel only ever appends.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    pub(super) struct TcpInfo {
        state_to_flags: [u8; 8],
        rto_ato: [u32; 2],
        pub(super) snd_mss: u32,
        rcv_mss: u32,
        unacked_to_fackets: [u32; 5],
        last_times: [u32; 4],
        pmtu: u32,
        rcv_ssthresh: u32,
        pub(super) rtt_us: u32,
        rttvar_us: u32,
        snd_ssthresh: u32,
        pub(super) snd_cwnd: u32,
        advmss: u32,
        reordering: u32,
        rcv_rtt_us: u32,
        rcv_space: u32,
        pub(super) total_retrans: u32,
        pacing_rates: [u64; 2],
        bytes_acked: u64,
        pub(super) bytes_received: u64,
        pub(super) segs_out: u32,
        pub(super) segs_in: u32,
        notsent_bytes: u32,
        pub(super) min_rtt_us: u32,
        data_segs: [u32; 2],
        delivery_rate: u64,
        limited_times: [u64; 3],
        delivered: [u32; 2],
        pub(super) bytes_sent: u64,
        bytes_retrans: u64,
    }

    /// `None` if the kernel refuses, or is too old to fill every field.
    #[allow(unsafe_code)]
    pub(super) fn tcp_info(socket: &TcpStream) -> Option<TcpInfo> {
        let mut info = TcpInfo::default();
        let mut size = size_of::<TcpInfo>() as libc::socklen_t;
        // SAFETY: the descriptor is open while `socket` is borrowed; the kernel writes at most `size` bytes into
        // `info`, which is plain integers, and stores how many it wrote.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut size,
            )
        };
        (outcome == 0 && size as usize == size_of::<TcpInfo>()).then_some(info)
    }
}
