//! The system calls without a safe wrapper. This file holds all unsafe code of the crate.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io, mem,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use rustix::{
    ioctl,
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

use crate::kernel::privileges::Privileges;

/// Moves the calling thread into new namespaces. A user namespace takes the whole process, which
/// must have one thread.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    assert!(
        (UnshareFlags::NEWNET | UnshareFlags::NEWUSER).contains(flags),
        "only network and user namespaces are allowed"
    );
    // SAFETY: the call is unsafe because of CLONE_FILES alone, after which the descriptors of
    // threads differ; the assertion above excludes that flag.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Makes `command` start in the network namespace of the descriptor `namespace`.
pub(crate) fn start_inside(command: &mut Command, namespace: OwnedFd) {
    let enter = move || Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?);
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are
    // allowed; it makes one system call and allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// Makes `command` start with these privileges. What the command was told before, such as its
/// namespace, is done with those of this process.
pub(crate) fn start_with(command: &mut Command, privileges: Privileges) {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are
    // allowed; it makes system calls alone and allocates nothing.
    unsafe { command.pre_exec(move || privileges.take_on()) };
}

/// Turns an open /dev/net/tun into the TUN interface `name` of the calling thread's network
/// namespace.
///
/// The device carries IP packets without a header before them. IFF_VNET_HDR stays off, so the
/// kernel cuts large segments into packets of the MTU and fills in their checksums.
pub(crate) fn make_tun(device: &OwnedFd, name: &str) -> io::Result<()> {
    /// A `struct ifreq` in the layout that TUNSETIFF reads: name, flags, padding.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: libc::c_short,
        padding: [u8; 22],
    }
    const _: () = assert!(size_of::<Request>() == 40);
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        padding: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF takes a pointer to a struct ifreq, 40 bytes on 64-bit Linux, which
    // `Request` is; the kernel writes back into it, and it lives until the call returns.
    unsafe {
        let setter = ioctl::Updater::<{ libc::TUNSETIFF as ioctl::Opcode }, Request>::new(&mut request);
        Ok(ioctl::ioctl(device, setter)?)
    }
}

/// Puts the calling thread under SCHED_FIFO.
pub(crate) fn go_real_time(priority: i32) -> io::Result<()> {
    // SAFETY: sched_param is plain integers, for which zero is valid.
    let mut parameters: libc::sched_param = unsafe { mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the pointer is to a live sched_param, which the call only reads.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Returns the number of segments that a TCP socket has retransmitted (`tcpi_total_retrans` of
/// TCP_INFO).
///
/// # Errors
/// Returns the system's error.
pub fn tcp_retransmits(socket: impl AsFd) -> io::Result<u32> {
    // SAFETY: tcp_info is plain integers, for which zero is valid.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut bytes = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the pointers are to a live tcp_info and its size, of which the kernel fills at most
    // so much.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast::<c_void>(),
            &raw mut bytes,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(info.tcpi_total_retrans) }
}
