//! The limits on joins: a join after early leaves is held back, and so is one with a match code
//! after many codes that nobody else gave. Pure: the time is an argument.
//!
//! An early leave is one soon after the start of a match. A player that takes each waiting player
//! and leaves at once would keep everybody from playing. The few early leaves of a person cost
//! nothing, and the player who was left may always join at once.
//!
//! A wrong guess is a join with a code that ends without an opponent. A stranger who tries codes
//! one after another would find the match of two friends.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::{config::Config, player_sender::PlayerId};

/// The early leaves that cost a connection nothing: a wrong click, and another.
const FREE_OF_CONNECTION: u32 = 2;
/// The early leaves that cost an address nothing: as many as a school's class makes in a minute.
const FREE_OF_ADDRESS: u32 = 16;
/// The time after which one early leave is forgiven.
const FORGIVEN_EVERY: Duration = Duration::from_secs(60);
/// The delay after the first early leave that counts. Each further one doubles it.
const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest delay between two joins of an address. Players share an address, so it stays
/// bearable.
const DELAY_OF_ADDRESS_MAX: Duration = Duration::from_secs(16);
/// The longest time that a join is held back; one that would be held longer is refused. It bounds
/// the joins of an address that are held at once.
pub(crate) const HELD_MAX: Duration = Duration::from_secs(64);
/// The most addresses that are remembered: about two megabytes. An attacker with more addresses
/// has no need to repeat itself from each.
const ADDRESSES_MAX: usize = 16 * 1024;

/// The reason to refuse a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooManyJoins {
    /// Too many early leaves.
    Leaves,
    /// Too many codes that nobody else gave.
    Codes,
}

/// The joins and early leaves of all connections and addresses.
#[derive(Debug, Default)]
pub(crate) struct JoinLimits {
    connections: HashMap<PlayerId, Connection>,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    leaves: EarlyLeaves,
    /// Whether the address was charged for the code of the current join.
    guesses: bool,
}

#[derive(Debug)]
struct Address {
    leaves: EarlyLeaves,
    /// The earliest time of the next join, while there are too many early leaves.
    next_join: Instant,
    /// The time at which the allowance of codes is full again.
    codes_full_at: Instant,
}

/// A count of early leaves, of which one is forgiven each [`FORGIVEN_EVERY`].
#[derive(Clone, Copy, Debug)]
struct EarlyLeaves {
    count: u32,
    last: Instant,
}

impl EarlyLeaves {
    fn none(now: Instant) -> Self {
        Self { count: 0, last: now }
    }

    fn count(&self, now: Instant) -> u32 {
        let forgiven = now.saturating_duration_since(self.last).as_secs() / FORGIVEN_EVERY.as_secs();
        self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    fn add(&mut self, now: Instant) {
        *self = Self { count: self.count(now).saturating_add(1), last: now };
    }

    /// Returns the delay of the next join: none for the first `free` leaves, then 1, 2, 4… s.
    fn delay(&self, free: u32, now: Instant) -> Duration {
        match self.count(now).saturating_sub(free) {
            0 => Duration::ZERO,
            counted => DELAY_MIN.saturating_mul(2_u32.saturating_pow(counted - 1)),
        }
    }
}

impl Address {
    fn new(now: Instant) -> Self {
        Self { leaves: EarlyLeaves::none(now), next_join: now, codes_full_at: now }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.leaves.count(now) == 0 && self.next_join <= now && self.codes_full_at <= now
    }
}

impl JoinLimits {
    /// Begins to count for a player, whose connection is from `address`.
    pub(crate) fn enter(&mut self, player: PlayerId, address: IpAddr, now: Instant) {
        let leaves = EarlyLeaves::none(now);
        self.connections.insert(player, Connection { address, leaves, guesses: false });
    }

    /// Forgets a player, but not what its address did.
    pub(crate) fn remove(&mut self, player: PlayerId) {
        self.connections.remove(&player);
    }

    /// Counts a leave of `player` soon after the start of its match.
    pub(crate) fn left_early(&mut self, player: PlayerId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&player) else { return };
        connection.leaves.add(now);
        let address = connection.address;
        if let Some(address) = self.address(address, now) {
            address.leaves.add(now);
        }
    }

    /// Returns the time at which a join of `player` may take effect; `None` is at once. A join with
    /// a code counts as a guess until [`Self::matched`].
    ///
    /// # Errors
    /// The join would be held back for longer than [`HELD_MAX`].
    pub(crate) fn join(
        &mut self,
        player: PlayerId,
        with_code: bool,
        now: Instant,
        config: &Config,
    ) -> Result<Option<Instant>, TooManyJoins> {
        let Some(connection) = self.connections.get(&player) else { return Ok(None) };
        let leaves = connection.leaves;
        let mut from = match leaves.delay(FREE_OF_CONNECTION, now) {
            Duration::ZERO => now,
            delay => now.max(leaves.last + delay),
        };
        let address = connection.address;
        let mut codes_full_at = None;
        if let Some(address) = self.address(address, now) {
            let delay = address.leaves.delay(FREE_OF_ADDRESS, now).min(DELAY_OF_ADDRESS_MAX);
            if !delay.is_zero() {
                from = from.max(address.next_join).max(address.leaves.last + delay);
            }
            if from > now + HELD_MAX {
                return Err(TooManyJoins::Leaves);
            }
            if with_code {
                let cost = Duration::from_secs(1) / config.code_guesses_per_address_per_s.max(1);
                let full_at = address.codes_full_at.max(now) + cost;
                from = from.max(full_at.checked_sub(cost * codes_at_once(config)).unwrap_or(now));
                if from > now + HELD_MAX {
                    return Err(TooManyJoins::Codes);
                }
                address.codes_full_at = full_at;
                codes_full_at = Some(full_at);
            }
            if !delay.is_zero() {
                address.next_join = from + delay;
            }
        }
        if from > now + HELD_MAX {
            return Err(TooManyJoins::Leaves);
        }
        if let Some(connection) = self.connections.get_mut(&player) {
            connection.guesses = codes_full_at.is_some();
        }
        Ok((from > now).then_some(from))
    }

    /// Records that `player` found its opponent, so that its code was no wrong guess.
    pub(crate) fn matched(&mut self, player: PlayerId, config: &Config) {
        let Some(connection) = self.connections.get_mut(&player) else { return };
        if std::mem::take(&mut connection.guesses)
            && let Some(address) = self.addresses.get_mut(&connection.address)
        {
            let cost = Duration::from_secs(1) / config.code_guesses_per_address_per_s.max(1);
            address.codes_full_at = address.codes_full_at.checked_sub(cost).unwrap_or(address.codes_full_at);
        }
    }

    /// Returns the record of an address, or `None` if there are too many of them.
    fn address(&mut self, address: IpAddr, now: Instant) -> Option<&mut Address> {
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, it| !it.is_forgotten(now));
            if self.addresses.len() >= ADDRESSES_MAX {
                return None;
            }
        }
        Some(self.addresses.entry(address).or_insert_with(|| Address::new(now)))
    }
}

/// Returns how many codes of one address may wait for a friend at once: one for each pair of the
/// address's connections.
fn codes_at_once(config: &Config) -> u32 {
    u32::try_from(config.connections_per_address_max / 2).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
