//! One end of a link: a network namespace with a TUN interface for each link in it, held by file
//! descriptor only.
//!
//! The namespace has no name. When its last descriptor is closed and its last process has ended,
//! the kernel removes the namespace and its interface.

use std::{
    fs::{self, File},
    io,
    net::IpAddr,
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
    spec::link_spec::LinkSpec,
    types::{Player, Side},
};

/// The interface index of `lo`, the first interface of every namespace.
const LOOPBACK_INDEX: u32 = 1;
/// The prefix length of IPv4 addresses, which are in 198.18.0.0/15 (reserved for benchmarks, RFC
/// 2544).
const PREFIX_BITS_IPV4: u8 = 24;
/// The prefix length of IPv6 addresses, which are in 2001:2::/48 (reserved for benchmarks, RFC
/// 5180).
const PREFIX_BITS_IPV6: u8 = 64;
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
    /// Makes a namespace without an interface to a link.
    pub(crate) fn create(ipv6: bool) -> Result<Self, LinkError> {
        // The kernel moves only the calling thread, so a temporary thread is enough.
        thread::spawn(move || {
            syscalls::unshare(UnshareFlags::NEWNET).map_err(LinkError::system("make a network namespace"))?;
            let handle = File::open("/proc/thread-self/ns/net")
                .map_err(LinkError::system("open the new network namespace"))?;
            calm_kernel(ipv6);
            let route = Route::open().map_err(LinkError::system("open a netlink socket"))?;
            route
                .set_up(LOOPBACK_INDEX, vec![])
                .map_err(LinkError::system("switch on the loopback interface"))?;
            Ok(Self { handle: handle.into(), route })
        })
        .join()
        .expect("the thread above does not panic")
    }

    /// Makes the interface of `side` to the link of a player, and returns the device of its
    /// packets.
    pub(crate) fn add_interface(
        &self,
        side: Side,
        player: Player,
        spec: &LinkSpec,
    ) -> Result<OwnedFd, LinkError> {
        let device = self
            .run(|| open_tun(player.interface()))
            .map_err(LinkError::system("enter a network namespace"))??;
        configure(&self.route, side, player, spec)
            .map_err(LinkError::system("configure the interface of the link"))?;
        Ok(device)
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
    pub(crate) fn device_dropped(&self, player: Player) -> io::Result<u64> {
        Ok(self.route.interface(player.interface())?.dropped)
    }
}

/// Opens /dev/net/tun and makes an interface of it in the namespace of this thread.
pub(crate) fn open_tun(name: &str) -> Result<OwnedFd, LinkError> {
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
    syscalls::make_tun(&device, name).map_err(LinkError::system("make the TUN interface"))?;
    Ok(device)
}

/// Sets kernel options that make runs repeatable. The link works without them, so errors (as from a
/// read-only /proc/sys) are ignored.
fn calm_kernel(ipv6: bool) {
    let of_new_interfaces = |name: &str, value: &str| {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/default/{name}"), value);
    };
    if ipv6 {
        // The only neighbour is the other end. No router, no address of the kernel's own, and no
        // search for another owner of ours.
        of_new_interfaces("router_solicitations", "0");
        of_new_interfaces("addr_gen_mode", "1");
        of_new_interfaces("accept_dad", "0");
    } else {
        of_new_interfaces("disable_ipv6", "1");
    }
    // Programs behind the link have no privileges, and need none for a port below 1024 or a ping.
    let _ = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let _ = fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    // Otherwise the second connection starts with the path metrics of the first.
    let _ = fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
}

fn configure(route: &Route, side: Side, player: Player, spec: &LinkSpec) -> io::Result<()> {
    let index = route.interface(player.interface())?.index;
    route.add_address(index, side.address(player, spec.ipv6))?;
    route.set_up(
        index,
        vec![LinkAttribute::Mtu(u32::from(spec.mtu_bytes)), LinkAttribute::TxQueueLen(DEVICE_QUEUE_PACKETS)],
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

    fn add_address(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        (message.header.family, message.header.prefix_len) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, PREFIX_BITS_IPV4),
            IpAddr::V6(_) => (AddressFamily::Inet6, PREFIX_BITS_IPV6),
        };
        message.header.index = index;
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
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
