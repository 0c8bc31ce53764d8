//! Who is let in: connections of one address, how fast it opens them, and handshakes under way. How many there are in all,
//! the lobby knows.
//!
//! Everything is counted from the knock, before a byte of a handshake is answered. Who is above the limit of an address is
//! let through the handshake to be told so; above twice the limit, when the address opens connections too fast, or when
//! too many handshakes are under way, a connection is dropped unheard (over QUIC that is a CONNECTION_REFUSED).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{config::Config, counters::Counters, mutex::lock};

/// Addresses that are remembered only for how fast they opened connections: about a megabyte. Whoever has more has no need to
/// open many from each; then the limits of all together hold.
const REMEMBERED_MAX: usize = 16 * 1024;
/// What a connection that ended by an expulsion for flooding takes of its address's share: as much as this many connections.
/// Coming back at once is the way around the limit on messages, and a handshake costs as much as a hundred of them.
const FLOODER_COST: u32 = 16;

/// What one customer of a network has: an IPv4 address, or an IPv6 network of 64 bits, in which addresses are free.
fn customer(remote: SocketAddr) -> IpAddr {
    match remote.ip().to_canonical() {
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// What is counted of everybody.
#[derive(Debug, Default)]
pub(crate) struct AdmissionControl {
    addresses: Mutex<Addresses>,
    handshakes: AtomicUsize,
}

/// A token bucket for each address, as the time at which it is full again (the generic cell rate algorithm): so an address is
/// forgotten once it has no connection and that time has come.
#[derive(Debug, Default)]
struct Addresses {
    known: HashMap<IpAddr, Address>,
    /// Of them, those without a connection: [`REMEMBERED_MAX`] at most.
    unconnected: usize,
}

#[derive(Debug)]
struct Address {
    connections: usize,
    full_at: Instant,
}

/// Why an address is not heard.
#[derive(Debug, PartialEq, Eq)]
enum TooMany {
    AtOnce,
    TooFast,
}

impl Addresses {
    /// Takes a place among the connections of `address`. Returns how many there were before.
    fn connect(&mut self, address: IpAddr, now: Instant, config: &Config) -> Result<usize, TooMany> {
        let known = self.known.get(&address);
        let connections = known.map_or(0, |it| it.connections);
        if connections >= heard_max(config) {
            return Err(TooMany::AtOnce);
        }
        let full_at = known.map_or(now, |it| it.full_at.max(now)) + connection_cost(config);
        if full_at - now > holds(config) {
            return Err(TooMany::TooFast);
        }
        self.unconnected -= usize::from(known.is_some() && connections == 0);
        self.known.insert(address, Address { connections: connections + 1, full_at });
        Ok(connections)
    }

    /// Its connection flooded: see [`FLOODER_COST`].
    fn charge(&mut self, address: IpAddr, now: Instant, config: &Config) {
        if let Some(known) = self.known.get_mut(&address) {
            let charged = known.full_at.max(now) + connection_cost(config) * FLOODER_COST;
            known.full_at = charged.min(now + holds(config));
        }
    }

    fn disconnect(&mut self, address: IpAddr, now: Instant) {
        let Some(known) = self.known.get_mut(&address) else { return };
        known.connections -= 1;
        if known.connections > 0 {
            return;
        }
        self.unconnected += 1;
        let full_at = known.full_at;
        if self.unconnected > REMEMBERED_MAX {
            self.known.retain(|_, it| it.connections > 0 || it.full_at > now);
            self.unconnected = self.known.values().filter(|it| it.connections == 0).count();
        }
        if (full_at <= now || self.unconnected > REMEMBERED_MAX) && self.known.remove(&address).is_some() {
            self.unconnected -= 1;
        }
    }
}

/// What a connection takes of its address's share.
fn connection_cost(config: &Config) -> Duration {
    Duration::from_secs(1) / config.connections_per_address_per_s.max(1)
}

/// The whole share: as many connections as are heard of one address at once.
fn holds(config: &Config) -> Duration {
    connection_cost(config).saturating_mul(u32::try_from(heard_max(config)).unwrap_or(u32::MAX))
}

fn heard_max(config: &Config) -> usize {
    config.connections_per_address_max.saturating_mul(2)
}

impl AdmissionControl {
    /// Somebody knocks. `None` if nobody should listen, which is counted.
    pub(crate) fn admit(
        self: &Arc<Self>,
        remote: SocketAddr,
        config: &Config,
        counters: &Counters,
    ) -> Option<AdmissionPermit> {
        if self.handshakes() >= config.handshakes_max {
            counters.refused_handshakes.increment();
            return None;
        }
        let address = customer(remote);
        match lock(&self.addresses).connect(address, Instant::now(), config) {
            Err(TooMany::AtOnce) => {
                counters.refused_address.increment();
                None
            }
            Err(TooMany::TooFast) => {
                counters.refused_rate.increment();
                None
            }
            Ok(connected) => {
                let over_limit = connected >= config.connections_per_address_max;
                if over_limit {
                    counters.refused_address.increment();
                }
                self.handshakes.fetch_add(1, Relaxed);
                Some(AdmissionPermit { admission: self.clone(), address, over_limit, handshaking: true })
            }
        }
    }

    /// Handshakes under way.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Relaxed)
    }

    /// Addresses that somebody is connected from, or knocks from.
    pub(crate) fn addresses(&self) -> usize {
        let addresses = lock(&self.addresses);
        addresses.known.len() - addresses.unconnected
    }
}

/// A place among the connections of an address, and until [`Self::handshake_over`] among the handshakes. Dropping it
/// gives it back, however the session ended.
#[derive(Debug)]
pub(crate) struct AdmissionPermit {
    admission: Arc<AdmissionControl>,
    address: IpAddr,
    over_limit: bool,
    handshaking: bool,
}

impl AdmissionPermit {
    /// Let in only to be told that its address has too many.
    pub(crate) fn over_limit(&self) -> bool {
        self.over_limit
    }

    /// The handshake succeeded or failed.
    pub(crate) fn handshake_over(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.admission.handshakes.fetch_sub(1, Relaxed);
        }
    }

    /// It was expelled for flooding: its address has less left to come back with.
    pub(crate) fn charge_flooder(&self, config: &Config) {
        lock(&self.admission.addresses).charge(self.address, Instant::now(), config);
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        self.handshake_over();
        lock(&self.admission.addresses).disconnect(self.address, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(connections_per_address_max: usize, handshakes_max: usize) -> Config {
        let connections_per_address_per_s = u32::MAX;
        Config {
            connections_per_address_max,
            connections_per_address_per_s,
            handshakes_max,
            ..Config::default()
        }
    }

    #[test]
    fn an_address_is_told_at_its_limit_and_dropped_at_twice_it_and_others_are_let_in() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(2, 100);
        let admit =
            |ip: &str| admission.admit((ip.parse::<IpAddr>().expect("ip"), 1).into(), &config, &counters);
        let mut admitted: Vec<_> = (0..4).map(|_| admit("192.0.2.1").expect("heard")).collect();
        assert_eq!(
            admitted.iter().map(AdmissionPermit::over_limit).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("::ffff:192.0.2.1").is_none(), "the same address in other words");
        assert_eq!(counters.snapshot().refused_address, 4);
        assert!(!admit("192.0.2.2").expect("another").over_limit());

        let _here = [admit("2001:db8::1"), admit("2001:db8::ffff:2")];
        assert!(admit("2001:db8::3").expect("heard").over_limit(), "one network of 64 bits");
        assert!(!admit("2001:db8:0:1::3").expect("heard").over_limit());

        admitted.truncate(1);
        assert!(!admit("192.0.2.1").expect("heard").over_limit());
        drop(admitted);
        drop(_here);
        assert_eq!(admission.addresses(), 0, "nobody is left");
        assert_eq!(admission.handshakes(), 0);
    }

    #[test]
    fn handshakes_are_bounded_until_they_are_over() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(100, 2);
        let admit = || admission.admit(([192, 0, 2, 1], 1).into(), &config, &counters);
        let [Some(mut first), Some(_second)] = [admit(), admit()] else { panic!("not admitted") };
        assert!(admit().is_none());
        assert_eq!(counters.snapshot().refused_handshakes, 1);
        first.handshake_over();
        first.handshake_over();
        assert_eq!(admission.handshakes(), 1, "once only");
        assert!(admit().is_some());
    }

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// All that an address may have at once, and then as many as a second brings; who floods pays for more than one.
    #[test]
    fn an_address_opens_connections_no_faster_than_it_may() {
        let config = Config { connections_per_address_per_s: 4, ..config(16, 100) };
        let (mut addresses, begin) = (Addresses::default(), Instant::now());
        let mut cycles = |now: Instant| {
            let opened = (0..1_000).take_while(|_| {
                let connected = addresses.connect(ADDRESS, now, &config);
                assert_ne!(connected, Err(TooMany::AtOnce));
                connected.inspect(|_| addresses.disconnect(ADDRESS, now)).is_ok()
            });
            opened.count()
        };
        assert_eq!(cycles(begin), 32);
        assert_eq!(cycles(begin + Duration::from_secs(3)), 12);
        assert_eq!(cycles(begin + Duration::from_secs(100)), 32, "no more than it holds");
        let later = begin + Duration::from_secs(200);
        addresses.connect(ADDRESS, later, &config).expect("room");
        addresses.charge(ADDRESS, later, &config);
        addresses.disconnect(ADDRESS, later);
        let more = (0..).take_while(|_| addresses.connect(ADDRESS, later, &config).is_ok()).count();
        assert_eq!(more, 32 - 1 - FLOODER_COST as usize);
    }

    #[test]
    fn who_is_gone_is_forgotten_once_its_share_is_whole_and_never_are_too_many_remembered() {
        let config = Config { connections_per_address_per_s: 4, ..config(16, 100) };
        let (mut addresses, begin) = (Addresses::default(), Instant::now());
        let nth = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        let mut pass = |range: std::ops::Range<usize>, now: Instant| {
            for n in range {
                addresses.connect(nth(n), now, &config).expect("its first");
                addresses.disconnect(nth(n), now);
            }
            assert_eq!(addresses.unconnected, addresses.known.len());
            addresses.known.len()
        };
        assert_eq!(pass(0..REMEMBERED_MAX + 100, begin), REMEMBERED_MAX);
        assert_eq!(pass(REMEMBERED_MAX..2 * REMEMBERED_MAX, begin + Duration::from_secs(1)), REMEMBERED_MAX);
        addresses.connect(ADDRESS, begin, &config).expect("room");
        addresses.disconnect(ADDRESS, begin + Duration::from_secs(2));
        assert!(!addresses.known.contains_key(&ADDRESS), "its share is whole");
    }
}
