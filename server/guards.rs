//! Who is let in: connections of one address, and handshakes under way. How many there are in all, the lobby knows.
//!
//! Both are counted from the knock, before a byte of a handshake is answered. Who is above the limit of an address is let
//! through the handshake to be told so; above twice the limit, or when too many handshakes are under way, a connection is
//! dropped unheard (over QUIC that is a CONNECTION_REFUSED).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{Config, counters::Counters};

/// What one customer of a network has: an IPv4 address, or an IPv6 network of 64 bits, in which addresses are free.
fn customer(remote: SocketAddr) -> IpAddr {
    match remote.ip().to_canonical() {
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// What is counted of everybody.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// Holds only addresses with a connection, so it is bounded as the sessions are.
    connections: Mutex<HashMap<IpAddr, usize>>,
    handshakes: AtomicUsize,
}

impl Guards {
    /// Somebody knocks. `None` if nobody should listen, which is counted.
    pub(crate) fn admit(
        self: &Arc<Self>,
        remote: SocketAddr,
        config: &Config,
        counters: &Counters,
    ) -> Option<Admission> {
        if self.handshakes() >= config.handshakes_max {
            counters.refused_handshakes.increment();
            return None;
        }
        let address = customer(remote);
        let max = config.connections_per_address_max;
        let mut connections = self.connections();
        let connected = connections.get(&address).copied().unwrap_or_default();
        if connected >= max {
            counters.refused_address.increment();
        }
        if connected >= max.saturating_mul(2) {
            return None;
        }
        connections.insert(address, connected + 1);
        self.handshakes.fetch_add(1, Relaxed);
        Some(Admission { guards: self.clone(), address, over_limit: connected >= max, handshaking: true })
    }

    /// Handshakes under way.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Relaxed)
    }

    /// Addresses that somebody is connected from, or knocks from.
    pub(crate) fn addresses(&self) -> usize {
        self.connections().len()
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections of an address, and until [`Self::handshake_over`] among the handshakes. Dropping it
/// gives it back, however the session ended.
#[derive(Debug)]
pub(crate) struct Admission {
    guards: Arc<Guards>,
    address: IpAddr,
    over_limit: bool,
    handshaking: bool,
}

impl Admission {
    /// Let in only to be told that its address has too many.
    pub(crate) fn over_limit(&self) -> bool {
        self.over_limit
    }

    /// The handshake succeeded or failed.
    pub(crate) fn handshake_over(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.guards.handshakes.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.handshake_over();
        let mut connections = self.guards.connections();
        if let Some(count) = connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(connections_per_address_max: usize, handshakes_max: usize) -> Config {
        Config { connections_per_address_max, handshakes_max, ..Config::default() }
    }

    #[test]
    fn an_address_is_told_at_its_limit_and_dropped_at_twice_it_and_others_are_let_in() {
        let (guards, counters) = (Arc::new(Guards::default()), Counters::default());
        let config = config(2, 100);
        let admit =
            |ip: &str| guards.admit((ip.parse::<IpAddr>().expect("ip"), 1).into(), &config, &counters);
        let mut admitted: Vec<_> = (0..4).map(|_| admit("192.0.2.1").expect("heard")).collect();
        assert_eq!(
            admitted.iter().map(Admission::over_limit).collect::<Vec<_>>(),
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
        assert!(guards.connections().is_empty(), "nothing is kept of who is gone");
        assert_eq!(guards.handshakes(), 0);
    }

    #[test]
    fn handshakes_are_bounded_until_they_are_over() {
        let (guards, counters) = (Arc::new(Guards::default()), Counters::default());
        let config = config(100, 2);
        let admit = || guards.admit(([192, 0, 2, 1], 1).into(), &config, &counters);
        let [Some(mut first), Some(_second)] = [admit(), admit()] else { panic!("not admitted") };
        assert!(admit().is_none());
        assert_eq!(counters.snapshot().refused_handshakes, 1);
        first.handshake_over();
        first.handshake_over();
        assert_eq!(guards.handshakes(), 1, "once only");
        assert!(admit().is_some());
    }
}
