//! One end of a link: a network namespace with a TUN interface in it, held by file descriptor only.
//!
//! The namespace has no name. When its last descriptor is closed and its last process has ended,
//! the kernel removes the namespace and its interface.

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, OwnedFd},
    thread,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::LinkError,
    kernel::syscalls,
    types::{INTERFACE, Side},
};

/// The interface index of `lo`, the first interface of every namespace.
const LOOPBACK_INDEX: u32 = 1;
/// The prefix length of both addresses, which are in 198.18.0.0/15 (reserved for benchmarks, RFC
/// 2544).
const PREFIX_BITS: u8 = 24;
/// The packets that the kernel may hold for the emulator at each end. At 20,000 packets a second
/// the queue lasts half a second, far longer than any wake-up; the default of 500 packets would
/// last 25 ms.
const DEVICE_QUEUE_PACKETS: u32 = 10_000;
/// The size of the buffer for one netlink answer, bytes: a link with its statistics takes about
/// 1,500.
const NETLINK_BUFFER_BYTES: usize = 16 * 1024;

/// A network namespace.
pub(crate) struct Namespace {
    handle: OwnedFd,
    route: Route,
}

/// The identity of a network namespace: its inode on nsfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceId(u64);

impl NamespaceId {
    /// Returns the namespace of a process; `None` if the process has ended or belongs to another
    /// user.
    pub(crate) fn of_process(pid: i32) -> Option<Self> {
        let stat = rustix::fs::stat(format!("/proc/{pid}/ns/net")).ok()?;
        Some(Self(stat.st_ino))
    }
}

impl Namespace {
    /// Makes a namespace with the interface of `side`, and returns it with the device of its
    /// packets.
    pub(crate) fn create(side: Side, mtu_bytes: u16) -> Result<(Self, OwnedFd), LinkError> {
        // The kernel moves only the calling thread, so a temporary thread is enough.
        thread::spawn(move || {
            syscalls::unshare(UnshareFlags::NEWNET).map_err(LinkError::system("make a network namespace"))?;
            let handle = File::open("/proc/thread-self/ns/net")
                .map_err(LinkError::system("open the new network namespace"))?;
            calm_kernel();
            let device = open_tun()?;
            let route = Route::open().map_err(LinkError::system("open a netlink socket"))?;
            configure(&route, side, mtu_bytes)
                .map_err(LinkError::system("configure the interface of the link"))?;
            Ok((Self { handle: handle.into(), route }, device))
        })
        .join()
        .expect("the thread above does not panic")
    }

    pub(crate) fn id(&self) -> io::Result<NamespaceId> {
        Ok(NamespaceId(rustix::fs::fstat(&self.handle)?.st_ino))
    }

    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.handle.try_clone()
    }

    /// Runs `work` on a thread in the namespace. Sockets that `work` makes stay in the namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Returns the number of packets that the kernel dropped because the emulator read them too
    /// late.
    pub(crate) fn device_dropped(&self) -> io::Result<u64> {
        Ok(self.route.interface(INTERFACE)?.dropped)
    }
}

/// Opens /dev/net/tun and makes the link's interface of it.
pub(crate) fn open_tun() -> Result<OwnedFd, LinkError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|cause| {
        let advice = match cause {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => {
                "Load it with `sudo modprobe tun`; in a container, add `--device /dev/net/tun`"
            }
            Errno::ACCESS | Errno::PERM => {
                "Let users open it with `sudo chmod 0666 /dev/net/tun`, as udev does, or run with sudo; in a \
                 container, add `--device /dev/net/tun`"
            }
            _ => "See docs/links.md",
        };
        LinkError::NoTun { cause: cause.into(), advice }
    })?;
    syscalls::make_tun(&device, INTERFACE).map_err(LinkError::system("make the TUN interface"))?;
    Ok(device)
}

/// Sets kernel options that make runs repeatable. The link works without them, so errors (as from a
/// read-only /proc/sys) are ignored.
fn calm_kernel() {
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    // Otherwise the second connection starts with the path metrics of the first.
    let _ = fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
}

fn configure(route: &Route, side: Side, mtu_bytes: u16) -> io::Result<()> {
    let index = route.interface(INTERFACE)?.index;
    route.set_up(LOOPBACK_INDEX, vec![])?;
    route.add_address(index, side.ip())?;
    route.set_up(
        index,
        vec![LinkAttribute::Mtu(u32::from(mtu_bytes)), LinkAttribute::TxQueueLen(DEVICE_QUEUE_PACKETS)],
    )
}

/// A netlink socket, which stays in the namespace where it was opened.
struct Route(Socket);

struct Interface {
    index: u32,
    dropped: u64,
}

impl Route {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    fn set_up(&self, index: u32, attributes: Vec<LinkAttribute>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = attributes;
        self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK).map(drop)
    }

    fn add_address(&self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = PREFIX_BITS;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(address)),
            AddressAttribute::Address(IpAddr::V4(address)),
        ];
        self.ask(RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    fn interface(&self, name: &str) -> io::Result<Interface> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let Some(RouteNetlinkMessage::NewLink(link)) = self.ask(RouteNetlinkMessage::GetLink(message), 0)?
        else {
            return Err(io::Error::other("the netlink answer is not a link"));
        };
        let dropped = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(stats.tx_dropped),
            _ => None,
        });
        Ok(Interface { index: link.header.index, dropped: dropped.unwrap_or(0) })
    }

    /// Sends one request and returns the answer, or `None` for an acknowledgement.
    fn ask(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut buffer = vec![0; message.buffer_len()];
        message.serialize(&mut buffer);
        self.0.send(&buffer, 0)?;

        let mut answer = Vec::with_capacity(NETLINK_BUFFER_BYTES);
        self.0.recv(&mut answer, 0)?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::other(error.to_string()))?;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(None),
        }
    }
}
