//! Admission control: limits on the connections and handshakes of each network, on clients that
//! have not proved their address, and on newcomers while memory is short. The limit on all
//! connections is in `lobby.rs`.
//!
//! A connection counts from the moment at which its client has proved its address: from TCP's
//! handshake, from the first datagram with a cookie, or from the end of a QUIC handshake. A claimed
//! address costs its owner nothing, since a stranger may have forged it. All claims share one
//! bucket. Beyond it, a client must prove its address first.
//!
//! Above the limit of its address, a connection completes the handshake and is refused with a
//! reason. The server drops a connection without an answer (over QUIC with CONNECTION_REFUSED)
//! above twice that limit, if its address opens connections too fast, or if too many handshakes are
//! in progress.

mod memory;
mod networks;
mod quota;
mod usage;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use netduel_transport::{GcraBucket, Proved};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{config::Config, counters::Counters};
pub use memory::MemoryReading;
use memory::MemoryWatch;
pub(crate) use memory::read_memory;
use networks::Networks;
pub(crate) use quota::Quota;
use usage::{TooMany, Usages};

/// The handshakes that clients with a mere claim may begin at once, and those a second after. A
/// handshake takes up to half a millisecond of a thread, so forged claims take less than a
/// fiftieth of one. Players come a few at a time; in a rush they prove their address first, for a
/// round trip.
const CLAIMS_BURST: u32 = 64;
const CLAIMS_PER_S: u32 = 32;
/// The most handshakes in progress of clients with a mere claim: few of all that may be in
/// progress ([`Config::handshakes_max`]), since a forged one stays until its timeout.
const CLAIMED_HANDSHAKES_MAX: usize = 32;

/// The counts of all networks, claims and handshakes.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    usages: Arc<Mutex<Usages>>,
    claims: Mutex<Claims>,
    handshakes: AtomicUsize,
    pub(crate) memory: MemoryWatch,
}

impl Default for AdmissionControl {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            usages: Arc::new(Mutex::new(Usages::new(now))),
            claims: Mutex::new(Claims { bucket: GcraBucket::full(now), handshakes: 0 }),
            handshakes: AtomicUsize::new(0),
            memory: MemoryWatch::default(),
        }
    }
}

/// The clients that have not proved their address.
#[derive(Debug)]
struct Claims {
    bucket: GcraBucket,
    handshakes: usize,
}

impl Claims {
    /// Counts the handshake of a client with a claim. Returns `false` if there are too many.
    fn begin(&mut self, now: Instant) -> bool {
        let cost = Duration::from_secs(1) / CLAIMS_PER_S;
        let begins =
            self.handshakes < CLAIMED_HANDSHAKES_MAX && self.bucket.take(cost, cost * CLAIMS_BURST, now);
        self.handshakes += usize::from(begins);
        begins
    }
}

/// The decision about a client that has arrived.
pub(crate) enum Admission {
    /// The client may begin its handshake.
    Admitted(AdmissionPermit),
    /// The client must prove its address first.
    ProofDemanded,
    /// The client must be dropped. The cause is counted.
    Refused,
}

impl AdmissionControl {
    /// Decides about a client: one that has proved its address, or one with a mere claim.
    pub(crate) fn admit(
        self: &Arc<Self>,
        client: Option<Proved>,
        config: &Config,
        counters: &Counters,
    ) -> Admission {
        if self.memory.is_short() {
            counters.refused_memory.increment();
            return Admission::Refused;
        }
        if self.handshakes() >= config.handshakes_max {
            counters.refused_handshakes.increment();
            return Admission::Refused;
        }
        let charged = match client {
            None if self.claims.lock().begin(Instant::now()) => None,
            None => return Admission::ProofDemanded,
            Some(client) => match self.charge(client, 1, config, counters) {
                Some(charged) => Some(charged),
                None => return Admission::Refused,
            },
        };
        self.handshakes.fetch_add(1, Relaxed);
        Admission::Admitted(AdmissionPermit {
            admission: self.clone(),
            networks: charged.map(|(networks, _)| networks),
            over_limit: charged.is_some_and(|(_, over_limit)| over_limit),
            handshaking: true,
        })
    }

    /// Counts a connection of a proved address. Returns its networks, and whether they have one too
    /// many. `None`, with the cause counted, if there is no room even to say so.
    fn charge(
        &self,
        client: Proved,
        handshakes: usize,
        config: &Config,
        counters: &Counters,
    ) -> Option<(Networks, bool)> {
        let networks = Networks::of(client.addr());
        let counted = self.usages.lock().connect(networks, handshakes, Instant::now(), config);
        match counted {
            Err(TooMany::AtOnce) | Ok(true) => counters.refused_address.increment(),
            Err(TooMany::TooFast) => counters.refused_rate.increment(),
            Err(TooMany::Handshakes) => counters.refused_handshakes.increment(),
            Ok(false) => {}
        }
        Some((networks, counted.ok()?))
    }

    /// Returns the number of handshakes in progress.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Relaxed)
    }

    /// Returns the number of addresses with a connection, or with a handshake after a proof.
    pub(crate) fn addresses(&self) -> usize {
        self.usages.lock().addresses()
    }
}

/// Returns the narrowest network in which a client counts.
pub(crate) fn customer(client: Proved) -> IpAddr {
    Networks::of(client.addr()).narrowest()
}

/// A permit counts one connection of an address, and one handshake until [`Self::handshake_over`].
/// Dropping the permit releases both, however the session ended.
#[derive(Debug)]
pub(crate) struct AdmissionPermit {
    admission: Arc<AdmissionControl>,
    /// The networks that the connection counts in; `None` until the client has proved its address.
    networks: Option<Networks>,
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
        if !std::mem::take(&mut self.handshaking) {
            return;
        }
        self.admission.handshakes.fetch_sub(1, Relaxed);
        match self.networks {
            Some(networks) => self.admission.usages.lock().handshake_over(networks),
            None => self.admission.claims.lock().handshakes -= 1,
        }
    }

    /// Counts the connection for the address that its handshake has proved, unless it counts
    /// already. [`Self::over_limit`] then says whether it may stay.
    pub(crate) fn prove(&mut self, client: Proved, config: &Config, counters: &Counters) {
        self.handshake_over();
        if self.networks.is_none() {
            let charged = self.admission.charge(client, 0, config, counters);
            self.networks = charged.map(|(networks, _)| networks);
            self.over_limit = charged.is_none_or(|(_, over_limit)| over_limit);
        }
    }

    /// Charges the address for a connection that was expelled for flooding.
    pub(crate) fn charge_flooder(&self, config: &Config) {
        if let Some(networks) = self.networks {
            self.admission.usages.lock().charge(networks, Instant::now(), config);
        }
    }

    /// Returns the quota of the connection's session.
    pub(crate) fn quota(&self, config: &Config) -> Quota {
        Quota::new(self.admission.usages.clone(), self.networks, config)
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        self.handshake_over();
        if let Some(networks) = self.networks {
            self.admission.usages.lock().disconnect(networks, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use netduel_transport::Proof;

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

    fn proved(ip: &str) -> Proved {
        let addr = SocketAddr::new(ip.parse().expect("an address"), 1);
        Proved::by(Proof::TcpHandshake, addr)
    }

    fn permit(admission: Admission) -> Option<AdmissionPermit> {
        match admission {
            Admission::Admitted(permit) => Some(permit),
            Admission::ProofDemanded | Admission::Refused => None,
        }
    }

    #[test]
    fn limits_connections_per_address() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(2, 100);
        let admit = |ip: &str| permit(admission.admit(Some(proved(ip)), &config, &counters));
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
        let admit = || permit(admission.admit(Some(proved("192.0.2.1")), &config, &counters));
        let [Some(mut first), Some(_second)] = [admit(), admit()] else { panic!("not admitted") };
        assert!(admit().is_none());
        assert_eq!(counters.snapshot().refused_handshakes, 1);
        first.handshake_over();
        first.handshake_over();
        assert_eq!(admission.handshakes(), 1, "once only");
        assert!(admit().is_some());
    }

    /// Forged first packets name the victim, and fail at once.
    #[test]
    fn claims_cost_their_address_nothing() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = Config { connections_per_address_per_s: 8, ..config(128, 256) };
        let mut demanded = 0;
        for _ in 0..300 {
            match admission.admit(None, &config, &counters) {
                Admission::Admitted(permit) => drop(permit),
                Admission::ProofDemanded => demanded += 1,
                Admission::Refused => panic!("a claim is never refused"),
            }
        }
        assert!(demanded >= 300 - 2 * CLAIMS_BURST, "{demanded}");
        // The victim has its whole burst still.
        let victim = || admission.admit(Some(proved("192.0.2.1")), &config, &counters);
        let admitted = (0..256).filter(|_| permit(victim()).is_some()).count();
        assert_eq!(admitted, 256);
        assert_eq!(admission.handshakes(), 0);
    }

    #[test]
    fn claims_hold_few_handshakes() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(128, 256);
        let claim = || permit(admission.admit(None, &config, &counters));
        let mut held: Vec<_> = std::iter::from_fn(claim).collect();
        assert_eq!(held.len(), CLAIMED_HANDSHAKES_MAX);
        assert!(matches!(admission.admit(None, &config, &counters), Admission::ProofDemanded));
        // The end of a handshake proves the address, which counts from then on.
        let mut permit = held.pop().expect("held");
        permit.prove(proved("192.0.2.1"), &config, &counters);
        assert!(!permit.over_limit());
        assert_eq!((admission.addresses(), admission.handshakes()), (1, CLAIMED_HANDSHAKES_MAX - 1));
        drop(permit);
        drop(held);
        assert_eq!((admission.addresses(), admission.handshakes()), (0, 0));
        assert_eq!(admission.claims.lock().handshakes, 0);
    }

    #[test]
    fn proved_claim_may_be_over_limit() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(1, 256);
        let _first = permit(admission.admit(Some(proved("192.0.2.1")), &config, &counters));
        let mut claims = [(); 2].map(|()| permit(admission.admit(None, &config, &counters)).expect("room"));
        for claim in &mut claims {
            claim.prove(proved("192.0.2.1"), &config, &counters);
        }
        assert!(claims.iter().all(AdmissionPermit::over_limit), "told, or beyond even that");
        assert_eq!(counters.snapshot().refused_address, 2);
    }

    #[test]
    fn refuses_newcomers_while_memory_is_short() {
        let (admission, counters) = (Arc::new(AdmissionControl::default()), Counters::default());
        let config = config(128, 256);
        let admit = || permit(admission.admit(Some(proved("192.0.2.1")), &config, &counters));
        let mut used_bytes = 79;
        for (expected, next) in [(true, 80), (false, 79), (true, 0)] {
            admission.memory.note(Some(MemoryReading { used_bytes, limit_bytes: 100 }));
            assert_eq!(admit().is_some(), expected, "{used_bytes} %");
            used_bytes = next;
        }
        assert_eq!(counters.snapshot().refused_memory, 1);
    }
}
