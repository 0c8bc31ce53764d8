//! The quota of one session: the bytes that its player may send, and its part of the messages that
//! the connections of its address may send together.

use std::sync::Arc;

use netduel_protocol::CloseCode;
use netduel_transport::{Close, RateLimit};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    networks::Networks,
    usage::{Pace, PerSecond, Usages, expelled_from_per_s},
};
use crate::config::Config;

/// The messages that a session takes from its address's share at once. The share has a lock and
/// reads the clock, which a move must not pay for. A match at 60 moves a second takes a block a
/// second. All 128 connections of an address hold 8,192 messages in blocks, a third of its share.
const BLOCK_MESSAGES: u32 = 64;

/// The rest that one session may send.
pub(crate) struct Quota {
    bytes: RateLimit,
    /// The messages left of the newest block.
    left: u32,
    /// The messages of all blocks.
    taken: PerSecond,
    is_behind: bool,
    usages: Arc<Mutex<Usages>>,
    networks: Option<Networks>,
}

impl Quota {
    pub(super) fn new(usages: Arc<Mutex<Usages>>, networks: Option<Networks>, config: &Config) -> Self {
        let bytes = RateLimit::new(config.bytes_per_s_max);
        Self { bytes, left: 0, taken: PerSecond::default(), is_behind: false, usages, networks }
    }

    /// Takes the work of `messages` with `bytes` in all. A message that leads to more work than a
    /// move may count as several.
    ///
    /// # Errors
    /// The player, or all connections of its address together, sent too much.
    pub(crate) fn take(&mut self, messages: u32, bytes: usize, config: &Config) -> Result<(), Close> {
        if !self.bytes.take(u32::try_from(bytes).unwrap_or(u32::MAX)) {
            return Err(too_many_bytes(config));
        }
        match self.left.checked_sub(messages) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.take_block(messages, config),
        }
    }

    #[cold]
    fn take_block(&mut self, messages: u32, config: &Config) -> Result<(), Close> {
        let block = messages.max(BLOCK_MESSAGES);
        let pace = match self.networks {
            Some(networks) => {
                let mut usages = self.usages.lock();
                usages.work(networks, &mut self.taken, block, Instant::now(), config)
            }
            None => Pace::Free,
        };
        self.left += block - messages;
        self.is_behind = pace == Pace::Behind;
        if pace == Pace::TooMuch { Err(too_many_of_address(config)) } else { Ok(()) }
    }

    /// Whether other sessions come first, since the address takes more than its share.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }
}

fn too_many_bytes(config: &Config) -> Close {
    let reason = format!("more than {} bytes a second: send less", config.bytes_per_s_max);
    Close::new(CloseCode::TooManyMessages.code(), reason)
}

fn too_many_of_address(config: &Config) -> Close {
    let reason = format!(
        "the connections of this address send more than {} messages a second together: send fewer",
        expelled_from_per_s(config)
    );
    Close::new(CloseCode::TooManyMessages.code(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the quotas of `count` connections of one address.
    fn quotas(count: usize, config: &Config) -> Vec<Quota> {
        let (now, networks) = (Instant::now(), Networks::of(([192, 0, 2, 1], 1).into()));
        let mut usages = Usages::new(now);
        for _ in 0..count {
            usages.connect(networks, 0, now, config).expect("room");
        }
        let usages = Arc::new(Mutex::new(usages));
        (0..count).map(|_| Quota::new(usages.clone(), Some(networks), config)).collect()
    }

    #[test]
    fn connections_share_an_address_quota() {
        // A share of 640 messages: ten blocks, and twenty until the expulsion.
        let config = Config { capacity_messages_per_s: 3_200, ..Config::default() };
        let mut open = quotas(30, &config);
        let outcomes: Vec<_> =
            open.iter_mut().map(|quota| (quota.take(1, 9, &config).is_ok(), quota.is_behind())).collect();
        // The clock may pass a full second in between, which grants more but never fewer.
        let free = outcomes.iter().take_while(|it| **it == (true, false)).count();
        assert!(free >= 10, "{outcomes:?}");
        assert!(outcomes.contains(&(true, true)), "{outcomes:?}");
        let error = open.iter_mut().find_map(|it| (0..100).find_map(|_| it.take(64, 9, &config).err()));
        let error = error.expect("too much for one address");
        assert_eq!(error.code, CloseCode::TooManyMessages.code());
        assert!(error.reason.contains("1280 messages a second together"), "{error}");
    }

    #[test]
    fn bytes_of_a_player_are_limited() {
        let config = Config { bytes_per_s_max: 10_000, ..Config::default() };
        let mut open = quotas(1, &config);
        let quota = &mut open[0];
        let taken = (0..1_000).take_while(|_| quota.take(1, 1_000, &config).is_ok()).count();
        assert!((10..20).contains(&taken), "{taken}");
        let error = quota.take(1, 10_001, &config).expect_err("more than a second's");
        assert!(error.reason.contains("more than 10000 bytes a second"), "{error}");
    }
}
