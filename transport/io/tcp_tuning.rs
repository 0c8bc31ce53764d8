//! TCP's timers, tuned for small updates by options of the socket: on Linux, nothing elsewhere.
//!
//! This file and `tcp_info.rs` have the only unsafe code of the crate: no library that we know sets
//! the options that Linux has since version 6.15.

use tokio::net::TcpStream;

use crate::Setting;

/// Does nothing: this system has no such options that we know.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tune(_socket: &TcpStream) {}

/// Returns nothing: see [`tune`].
#[cfg(not(target_os = "linux"))]
pub(crate) fn settings(_socket: &TcpStream, _tuned: bool) -> Vec<Setting> {
    Vec::new()
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{settings, tune};

#[cfg(target_os = "linux")]
mod linux {
    use std::{io, os::fd::AsRawFd};

    use socket2::SockRef;

    use super::{Setting, TcpStream};

    /// The numbers of the options (`include/uapi/linux/tcp.h`).
    const TCP_RTO_MIN_US: libc::c_int = 45;
    const TCP_DELACK_MAX_US: libc::c_int = 46;
    /// The shortest retransmission timeout beside the round trip: the interval of updates at 60 Hz
    /// and a timer tick. Linux has 200 ms. `docs/decisions/041-tuned-tcp.md` has the measurements.
    const RTO_MIN_US: u32 = 20_000;
    /// The longest delay of an acknowledgement: a timer tick less than the timeout that waits for
    /// it. Linux has 40 ms and more.
    const DELACK_MAX_US: u32 = 16_000;

    /// Sets the timers. A kernel that refuses one keeps its own, which [`settings`] says.
    pub(crate) fn tune(socket: &TcpStream) {
        let _ = set(socket, TCP_RTO_MIN_US, RTO_MIN_US);
        let _ = set(socket, TCP_DELACK_MAX_US, DELACK_MAX_US);
        let _ = SockRef::from(socket).set_tcp_thin_linear_timeouts(true);
    }

    /// Returns the timers, read back from the socket. A kernel that does not know one has its own
    /// default, which is not reported unless the socket was tuned.
    pub(crate) fn settings(socket: &TcpStream, tuned: bool) -> Vec<Setting> {
        let thin = SockRef::from(socket).tcp_thin_linear_timeouts().ok().map(Setting::TcpThinLinearTimeouts);
        let rto = (Setting::TcpRtoMinUs as fn(u32) -> Setting, get(socket, TCP_RTO_MIN_US), RTO_MIN_US);
        let delack =
            (Setting::TcpDelackMaxUs as fn(u32) -> Setting, get(socket, TCP_DELACK_MAX_US), DELACK_MAX_US);
        let timers = [rto, delack].map(|(setting, in_effect, asked)| {
            let asked = tuned.then_some(setting(asked));
            in_effect_or_refused(in_effect.ok().map(setting), asked)
        });
        timers.into_iter().chain([thin]).flatten().collect()
    }

    /// Returns the setting in effect, with a remark if it is not the one asked for.
    fn in_effect_or_refused(in_effect: Option<Setting>, asked: Option<Setting>) -> Option<Setting> {
        let refused = |asked: &Setting, value: &str| {
            let value = format!("{value} (the kernel refused {})", asked.value());
            Setting::Other(asked.name().to_owned(), value)
        };
        match (in_effect, asked) {
            (Some(in_effect), Some(asked)) if in_effect != asked => Some(refused(&asked, &in_effect.value())),
            (None, Some(asked)) => Some(refused(&asked, "default")),
            (in_effect, _) => in_effect,
        }
    }

    #[allow(unsafe_code)]
    fn set(socket: &TcpStream, option: libc::c_int, value: u32) -> io::Result<()> {
        // SAFETY: the descriptor is open while `socket` is borrowed. The kernel reads the four
        // bytes of `value`, which outlives the call.
        let outcome = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                option,
                (&raw const value).cast(),
                size_of::<u32>() as libc::socklen_t,
            )
        };
        if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[allow(unsafe_code)]
    fn get(socket: &TcpStream, option: libc::c_int) -> io::Result<u32> {
        let (mut value, mut size) = (0u32, size_of::<u32>() as libc::socklen_t);
        // SAFETY: the descriptor is open while `socket` is borrowed. The kernel writes at most
        // `size` bytes into `value`, and both outlive the call.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                option,
                (&raw mut value).cast(),
                &raw mut size,
            )
        };
        if outcome == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn refusals_are_reported() {
            let (asked, other) = (Setting::TcpRtoMinUs(20_000), Setting::TcpRtoMinUs(200_000));
            let told = |in_effect, asked| in_effect_or_refused(in_effect, asked).map(|it| it.to_string());
            assert_eq!(in_effect_or_refused(Some(asked.clone()), Some(asked.clone())), Some(asked.clone()));
            assert_eq!(in_effect_or_refused(Some(other.clone()), None), Some(other.clone()));
            assert_eq!(in_effect_or_refused(None, None), None);
            assert_eq!(
                told(Some(other), Some(asked.clone())),
                Some("TCP_RTO_MIN_US: 200000 (the kernel refused 20000)".into())
            );
            assert_eq!(
                told(None, Some(asked)),
                Some("TCP_RTO_MIN_US: default (the kernel refused 20000)".into())
            );
        }
    }
}
