//! The networks in which the connections of one customer count together.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The prefixes of IPv6 in which an address counts, from the narrowest one, each with the number of
/// shares that it has. A share is what the limits grant one address.
///
/// Addresses within a /64 are free for its owner. A provider gives a home a /56 and a firm a /48
/// (RIPE-690), which hold 256 and 65,536 networks of 64 bits. A home has few players more than one
/// network of its has, so it gets two shares. A firm gets eight, as eight offices would.
const IPV6: [Level; 3] =
    [Level { bits: 64, shares: 1 }, Level { bits: 56, shares: 2 }, Level { bits: 48, shares: 8 }];
/// An IPv4 address, which one customer has at most.
const IPV4: [Level; 1] = [Level { bits: 32, shares: 1 }];

#[derive(Clone, Copy, Debug)]
struct Level {
    bits: u8,
    shares: u32,
}

/// A network: its first address, and the length of its prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network {
    first: IpAddr,
    bits: u8,
}

/// The networks in which one address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Networks {
    ip: IpAddr,
}

impl Networks {
    pub(super) fn of(addr: SocketAddr) -> Self {
        Self { ip: addr.ip().to_canonical() }
    }

    /// Returns the first address of the narrowest network.
    pub(super) fn narrowest(self) -> IpAddr {
        let bits = if self.ip.is_ipv4() { IPV4[0].bits } else { IPV6[0].bits };
        network(self.ip, bits).first
    }

    /// Returns the networks with their numbers of shares, the narrowest one first.
    pub(super) fn each(self) -> impl Iterator<Item = (Network, u32)> {
        let levels: &[Level] = if self.ip.is_ipv4() { &IPV4 } else { &IPV6 };
        levels.iter().map(move |level| (network(self.ip, level.bits), level.shares))
    }
}

fn network(ip: IpAddr, bits: u8) -> Network {
    let first = match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let below = 128 - u32::from(bits);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> below << below))
        }
    };
    Network { first, bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_three_ipv6_networks() {
        let networks = |ip: &str| Networks::of((ip.parse::<IpAddr>().expect("an address"), 1).into());
        let firsts = |ip: &str| {
            let each = networks(ip).each();
            each.map(|(it, shares)| format!("{}/{} {shares}", it.first, it.bits)).collect::<Vec<_>>()
        };
        assert_eq!(
            firsts("2001:db8:1:2345::6"),
            ["2001:db8:1:2345::/64 1", "2001:db8:1:2300::/56 2", "2001:db8:1::/48 8"]
        );
        assert_eq!(firsts("192.0.2.1"), ["192.0.2.1/32 1"]);
        assert_eq!(networks("::ffff:192.0.2.1"), networks("192.0.2.1"), "IPv4-mapped");
    }
}
