//! The use that each network makes of the server: connections, handshakes, their rate, and
//! messages. One table holds all of them, and each limit is tested in every network of an address.

use std::{collections::HashMap, time::Duration};

use netduel_transport::GcraBucket;
use tokio::time::Instant;

use super::networks::{Network, Networks};
use crate::config::Config;

/// The most networks that are remembered for their rate alone, without a connection: about two
/// megabytes. An attacker with more addresses has no need to open many connections from each; then
/// the limits on all connections together hold.
const REMEMBERED_MAX: usize = 16 * 1024;
/// The time between two searches for networks to forget. A search looks at all of them, which takes
/// a tenth of a millisecond.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);
/// The cost of a flooder: a connection that was expelled for flooding takes as much of its
/// address's burst as this many connections. Reconnecting at once is the way around the limit on
/// messages, and a handshake costs as much as a hundred messages.
const FLOODER_COST: u32 = 16;
/// The part of all handshakes in progress that stays free of any one network: a quarter, so that
/// nobody fills them alone.
const HANDSHAKES_KEPT_FREE: usize = 4;
/// The share of one address in the messages that the server can relay: a fifth. Beyond it, the
/// sessions of the address wait behind all others. Five such addresses take what there is.
const ADDRESS_PART: u64 = 5;
/// The multiple of that share at which sessions are expelled, if they send as much as the average
/// one of their address. Datagrams cost the server's sockets work however long their session waits,
/// so waiting alone bounds nothing.
const EXPELLED_FROM_SHARES: u64 = 2;
/// The part of the capacity, in percent, beyond which the addresses that send more than the average
/// one wait behind the others. The rest is for handshakes, answers and the system.
const ALL_PERCENT: u64 = 80;

/// The reason to drop a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooMany {
    AtOnce,
    TooFast,
    Handshakes,
}

/// The pace at which a session's messages are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The session's turn comes as that of any other.
    Free,
    /// The session's address takes more than its share, so others come first.
    Behind,
    /// The session's address takes so much that the session must end.
    TooMuch,
}

/// The use of all networks.
#[derive(Debug)]
pub(super) struct Usages {
    /// The networks with a connection, or with a bucket that is not full.
    known: HashMap<Network, Usage>,
    /// The known networks without a connection: [`REMEMBERED_MAX`] at most.
    unconnected: usize,
    /// The addresses with a connection.
    addresses: usize,
    swept: Option<Instant>,
    began: Instant,
    /// The messages of all addresses, and the addresses that sent them.
    messages: PerSecond,
    senders: PerSecond,
}

/// The use of one network.
#[derive(Clone, Copy, Debug)]
struct Usage {
    connections: usize,
    handshakes: usize,
    /// The connections a second.
    opened: GcraBucket,
    messages: PerSecond,
}

impl Usages {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            known: HashMap::new(),
            unconnected: 0,
            addresses: 0,
            swept: None,
            began,
            messages: PerSecond::default(),
            senders: PerSecond::default(),
        }
    }

    /// Counts a new connection in each of its networks, and its handshake where that is still to
    /// come. Returns whether the connection is one too many, which is told so and closed.
    ///
    /// # Errors
    /// A network has no room even for that. Then nothing is counted.
    pub(super) fn connect(
        &mut self,
        networks: Networks,
        handshakes: usize,
        now: Instant,
        config: &Config,
    ) -> Result<bool, TooMany> {
        let one_more = |(network, shares): (Network, u32)| {
            let known = self.known.get(&network).copied();
            let mut usage = known.unwrap_or(Usage::unused(now));
            if usage.connections >= scaled(handshaking_max(config), shares) {
                return Err(TooMany::AtOnce);
            }
            if usage.handshakes + handshakes > handshakes_max(config) {
                return Err(TooMany::Handshakes);
            }
            if !usage.opened.take(connection_cost(config) / shares, burst(config), now) {
                return Err(TooMany::TooFast);
            }
            let over_limit = usage.connections >= scaled(config.connections_per_address_max, shares);
            let unconnected = known.is_some_and(|it| it.connections == 0);
            usage.connections += 1;
            usage.handshakes += handshakes;
            Ok((network, usage, over_limit, unconnected))
        };
        let changes = networks.each().map(one_more).collect::<Result<Vec<_>, _>>()?;
        self.addresses += usize::from(changes.first().is_some_and(|(_, usage, ..)| usage.connections == 1));
        let mut is_one_too_many = false;
        for (network, usage, over_limit, unconnected) in changes {
            is_one_too_many |= over_limit;
            self.unconnected -= usize::from(unconnected);
            self.known.insert(network, usage);
        }
        Ok(is_one_too_many)
    }

    /// Counts the end of a handshake.
    pub(super) fn handshake_over(&mut self, networks: Networks) {
        for (network, _) in networks.each() {
            if let Some(usage) = self.known.get_mut(&network) {
                usage.handshakes -= 1;
            }
        }
    }

    /// Charges [`FLOODER_COST`] to an address whose connection flooded.
    pub(super) fn charge(&mut self, networks: Networks, now: Instant, config: &Config) {
        for (network, shares) in networks.each() {
            if let Some(usage) = self.known.get_mut(&network) {
                usage.opened.charge(connection_cost(config) * FLOODER_COST / shares, burst(config), now);
            }
        }
    }

    /// Counts the end of a connection. A network is forgotten once it has no connection and its
    /// bucket is full.
    pub(super) fn disconnect(&mut self, networks: Networks, now: Instant) {
        for (number, (network, _)) in networks.each().enumerate() {
            let Some(usage) = self.known.get_mut(&network) else { continue };
            usage.connections -= 1;
            if usage.connections > 0 {
                continue;
            }
            let is_full = usage.opened.is_full(now);
            self.unconnected += 1;
            self.addresses -= usize::from(number == 0);
            if self.unconnected > REMEMBERED_MAX {
                self.sweep(now);
            }
            let forget = is_full || self.unconnected > REMEMBERED_MAX;
            if forget && self.known.remove(&network).is_some() {
                self.unconnected -= 1;
            }
        }
    }

    /// Forgets all networks without a connection whose bucket is full, once a period.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP_PERIOD) {
            return;
        }
        self.swept = Some(now);
        self.known.retain(|_, it| it.connections > 0 || !it.opened.is_full(now));
        self.unconnected = self.known.values().filter(|it| it.connections == 0).count();
    }

    /// Counts messages of one session, among its `own` and in the networks of its address. Returns
    /// the session's pace.
    pub(super) fn work(
        &mut self,
        networks: Networks,
        own: &mut PerSecond,
        messages: u32,
        now: Instant,
        config: &Config,
    ) -> Pace {
        let second = now.saturating_duration_since(self.began).as_secs();
        self.messages.add(messages, second);
        own.add(messages, second);
        let capacity = u64::from(config.capacity_messages_per_s);
        let mut pace = Pace::Free;
        for (number, (network, shares)) in networks.each().enumerate() {
            let Some(usage) = self.known.get_mut(&network) else { continue };
            let is_sender = usage.messages.add(messages, second);
            let (running, per_s) = (u64::from(usage.messages.running), u64::from(usage.messages.per_s()));
            let share = capacity * u64::from(shares) / ADDRESS_PART;
            let is_average = u64::from(own.running) * usage.connections as u64 >= running;
            if running > share * EXPELLED_FROM_SHARES && is_average {
                pace = Pace::TooMuch;
            } else if per_s > share && pace == Pace::Free {
                pace = Pace::Behind;
            }
            if number > 0 {
                continue;
            }
            self.senders.add(u32::from(is_sender), second);
            let all = u64::from(self.messages.per_s());
            let is_above_average = per_s * u64::from(self.senders.per_s()) >= all;
            if all > capacity * ALL_PERCENT / 100 && is_above_average && pace == Pace::Free {
                pace = Pace::Behind;
            }
        }
        pace
    }

    /// Returns the number of addresses with a connection.
    pub(super) fn addresses(&self) -> usize {
        self.addresses
    }
}

impl Usage {
    fn unused(now: Instant) -> Self {
        Self { connections: 0, handshakes: 0, opened: GcraBucket::full(now), messages: PerSecond::default() }
    }
}

/// The events of the running second, and of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerSecond {
    second: u64,
    running: u32,
    last: u32,
}

impl PerSecond {
    /// Adds `count` events. Returns whether they are the second's first.
    fn add(&mut self, count: u32, second: u64) -> bool {
        if second != self.second {
            self.last = if second == self.second + 1 { self.running } else { 0 };
            (self.second, self.running) = (second, 0);
        }
        let is_first = self.running == 0;
        self.running = self.running.saturating_add(count);
        is_first
    }

    /// Returns the events of a second: the running one, or the one before if it had more.
    fn per_s(self) -> u32 {
        self.running.max(self.last)
    }
}

/// Returns the messages a second from which the sessions of one address are expelled.
pub(super) fn expelled_from_per_s(config: &Config) -> u64 {
    u64::from(config.capacity_messages_per_s) * EXPELLED_FROM_SHARES / ADDRESS_PART
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

/// Returns the most handshakes in progress of one network, however large.
fn handshakes_max(config: &Config) -> usize {
    config.handshakes_max - config.handshakes_max / HANDSHAKES_KEPT_FREE
}

fn scaled(limit: usize, shares: u32) -> usize {
    limit.saturating_mul(usize::try_from(shares).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
