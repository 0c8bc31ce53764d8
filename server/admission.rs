//! Admission control: per-address connection and rate limits, and the limit on concurrent
//! handshakes. The limit on all connections is in `lobby.rs`.
//!
//! A connection counts from its first packet, before a byte of a handshake is answered. Above the
//! limit of its address, a connection completes the handshake and is refused with a reason. The
//! server drops a connection without an answer (over QUIC with CONNECTION_REFUSED) above twice that
//! limit, if its address opens connections too fast, or if too many handshakes are in progress.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use netduel_transport::GcraBucket;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{config::Config, counters::Counters};

/// The most addresses that are remembered for their rate alone, without a connection: about a
/// megabyte. An attacker with more addresses has no need to open many connections from each; then
/// the limits on all connections together hold.
const REMEMBERED_MAX: usize = 16 * 1024;
/// The cost of a flooder: a connection that was expelled for flooding takes as much of its
/// address's burst as this many connections. Reconnecting at once is the way around the limit on
/// messages, and a handshake costs as much as a hundred messages.
const FLOODER_COST: u32 = 16;

/// Returns the network that one customer has: an IPv4 address, or an IPv6 network of 64 bits, in
/// which addresses are free.
fn customer(remote: SocketAddr) -> IpAddr {
    match remote.ip().to_canonical() {
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// The counts of all addresses and handshakes.
#[derive(Debug, Default)]
pub(crate) struct AdmissionControl {
    addresses: Mutex<Addresses>,
    handshakes: AtomicUsize,
}

/// The connections and the rate limit of each address. An address is forgotten once it has no
/// connection and its bucket is full.
#[derive(Debug, Default)]
struct Addresses {
    known: HashMap<IpAddr, Address>,
    /// The known addresses without a connection: [`REMEMBERED_MAX`] at most.
    unconnected: usize,
}

#[derive(Debug)]
struct Address {
    connections: usize,
    /// The address's connections per second.
    bucket: GcraBucket,
}

/// The reason to drop a connection.
#[derive(Debug, PartialEq, Eq)]
enum TooMany {
    AtOnce,
    TooFast,
}

impl Addresses {
    /// Counts a new connection of `address`. Returns the number of its connections before.
    fn connect(&mut self, address: IpAddr, now: Instant, config: &Config) -> Result<usize, TooMany> {
        let known = self.known.get(&address);
        let connections = known.map_or(0, |it| it.connections);
        if connections >= handshaking_max(config) {
            return Err(TooMany::AtOnce);
        }
        let mut bucket = known.map_or(GcraBucket::full(now), |it| it.bucket);
        if !bucket.take(connection_cost(config), burst(config), now) {
            return Err(TooMany::TooFast);
        }
        self.unconnected -= usize::from(known.is_some() && connections == 0);
        self.known.insert(address, Address { connections: connections + 1, bucket });
        Ok(connections)
    }

    /// Charges [`FLOODER_COST`] to an address whose connection flooded.
    fn charge(&mut self, address: IpAddr, now: Instant, config: &Config) {
        if let Some(known) = self.known.get_mut(&address) {
            known.bucket.charge(connection_cost(config) * FLOODER_COST, burst(config), now);
        }
    }

    fn disconnect(&mut self, address: IpAddr, now: Instant) {
        let Some(known) = self.known.get_mut(&address) else { return };
        known.connections -= 1;
        if known.connections > 0 {
            return;
        }
        self.unconnected += 1;
        let bucket = known.bucket;
        if self.unconnected > REMEMBERED_MAX {
            self.known.retain(|_, it| it.connections > 0 || !it.bucket.is_full(now));
            self.unconnected = self.known.values().filter(|it| it.connections == 0).count();
        }
        if (bucket.is_full(now) || self.unconnected > REMEMBERED_MAX) && self.known.remove(&address).is_some()
        {
            self.unconnected -= 1;
        }
    }
}

/// Returns the cost of a connection, as time in which the bucket refills.
fn connection_cost(config: &Config) -> Duration {
    Duration::from_secs(1) / config.connections_per_address_per_s.max(1)
}

/// Returns the burst: as many connections as one address may have and handshake at once.
fn burst(config: &Config) -> Duration {
    connection_cost(config).saturating_mul(u32::try_from(handshaking_max(config)).unwrap_or(u32::MAX))
}

fn handshaking_max(config: &Config) -> usize {
    config.connections_per_address_max.saturating_mul(2)
}

impl AdmissionControl {
    /// Admits a connection from `remote`. Returns `None`, and counts the cause, if the connection
    /// must be dropped.
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
        match self.addresses.lock().connect(address, Instant::now(), config) {
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

    /// Returns the number of handshakes in progress.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Relaxed)
    }

    /// Returns the number of addresses with a connection or a handshake.
    pub(crate) fn addresses(&self) -> usize {
        let addresses = self.addresses.lock();
        addresses.known.len() - addresses.unconnected
    }
}

/// A permit counts one connection of an address, and one handshake until [`Self::handshake_over`].
/// Dropping the permit releases both, however the session ended.
#[derive(Debug)]
pub(crate) struct AdmissionPermit {
    admission: Arc<AdmissionControl>,
    address: IpAddr,
    over_limit: bool,
    handshaking: bool,
}

impl AdmissionPermit {
    /// Whether the connection was admitted only to be refused with a reason, since its address has
    /// too many.
    pub(crate) fn over_limit(&self) -> bool {
        self.over_limit
    }

    /// Releases the handshake, which succeeded or failed.
    pub(crate) fn handshake_over(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.admission.handshakes.fetch_sub(1, Relaxed);
        }
    }

    /// Charges the address for a connection that was expelled for flooding.
    pub(crate) fn charge_flooder(&self, config: &Config) {
        self.admission.addresses.lock().charge(self.address, Instant::now(), config);
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        self.handshake_over();
        self.admission.addresses.lock().disconnect(self.address, Instant::now());
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
    fn limits_connections_per_address() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(2, 100);
        let admit =
            |ip: &str| admission.admit((ip.parse::<IpAddr>().expect("ip"), 1).into(), &config, &counters);
        let mut admitted: Vec<_> = (0..4).map(|_| admit("192.0.2.1").expect("admitted")).collect();
        assert_eq!(
            admitted.iter().map(AdmissionPermit::over_limit).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("::ffff:192.0.2.1").is_none(), "the same address, IPv4-mapped");
        assert_eq!(counters.snapshot().refused_address, 4);
        assert!(!admit("192.0.2.2").expect("another").over_limit());

        let _here = [admit("2001:db8::1"), admit("2001:db8::ffff:2")];
        assert!(admit("2001:db8::3").expect("admitted").over_limit(), "one network of 64 bits");
        assert!(!admit("2001:db8:0:1::3").expect("admitted").over_limit());

        admitted.truncate(1);
        assert!(!admit("192.0.2.1").expect("admitted").over_limit());
        drop(admitted);
        drop(_here);
        assert_eq!(admission.addresses(), 0, "no address has a connection");
        assert_eq!(admission.handshakes(), 0);
    }

    #[test]
    fn limits_concurrent_handshakes() {
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

    /// Opens a burst of connections, then the rate of one second, then charges a flooder.
    #[test]
    fn limits_connection_rate_per_address() {
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
    fn forgets_idle_addresses() {
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
        assert!(!addresses.known.contains_key(&ADDRESS), "a full bucket is forgotten");
    }
}
