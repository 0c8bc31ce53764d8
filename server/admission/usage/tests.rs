//! The table of networks by a clock of the test's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn config() -> Config {
    Config {
        connections_per_address_max: 16,
        connections_per_address_per_s: 4,
        handshakes_max: usize::MAX,
        capacity_messages_per_s: 1_000,
        ..Config::default()
    }
}

fn networks(ip: impl Into<IpAddr>) -> Networks {
    Networks::of((ip.into(), 1).into())
}

/// Opens a burst of connections, then the rate of one second, then charges a flooder.
#[test]
fn limits_connection_rate_per_address() {
    let (config, begin, address) = (config(), Instant::now(), networks(ADDRESS));
    let mut usages = Usages::new(begin);
    let mut cycles = |now: Instant| {
        let opened = (0..1_000).take_while(|_| {
            let connected = usages.connect(address, 0, now, &config);
            assert_ne!(connected, Err(TooMany::AtOnce));
            connected.inspect(|_| usages.disconnect(address, now)).is_ok()
        });
        opened.count()
    };
    assert_eq!(cycles(begin), 32);
    assert_eq!(cycles(begin + Duration::from_secs(3)), 12);
    assert_eq!(cycles(begin + Duration::from_secs(100)), 32, "no more than it holds");
    let later = begin + Duration::from_secs(200);
    usages.connect(address, 0, later, &config).expect("room");
    usages.charge(address, later, &config);
    usages.disconnect(address, later);
    let more = (0..).take_while(|_| usages.connect(address, 0, later, &config).is_ok()).count();
    assert_eq!(more, 32 - 1 - FLOODER_COST as usize);
}

#[test]
fn forgets_idle_addresses() {
    let (config, begin) = (config(), Instant::now());
    let mut usages = Usages::new(begin);
    let mut pass = |range: std::ops::Range<usize>, now: Instant| {
        for n in range {
            let address = networks(IpAddr::from((n as u32).to_be_bytes()));
            usages.connect(address, 0, now, &config).expect("its first");
            usages.disconnect(address, now);
        }
        assert_eq!(usages.unconnected, usages.known.len());
        usages.known.len()
    };
    assert_eq!(pass(0..REMEMBERED_MAX + 100, begin), REMEMBERED_MAX);
    assert_eq!(pass(REMEMBERED_MAX..2 * REMEMBERED_MAX, begin + SWEEP_PERIOD), REMEMBERED_MAX);
    let address = networks(ADDRESS);
    usages.connect(address, 0, begin, &config).expect("room");
    usages.disconnect(address, begin + Duration::from_secs(2));
    assert!(address.each().all(|(it, _)| !usages.known.contains_key(&it)), "a full bucket is forgotten");
}

#[test]
fn leaves_handshakes_to_others() {
    let config = Config { handshakes_max: 8, ..config() };
    let (now, mut usages) = (Instant::now(), Usages::new(Instant::now()));
    let began = (0..8).take_while(|_| usages.connect(networks(ADDRESS), 1, now, &config).is_ok()).count();
    assert_eq!(began, 6);
    assert_eq!(usages.connect(networks(ADDRESS), 1, now, &config), Err(TooMany::Handshakes));
    assert_eq!(usages.connect(networks([192, 0, 2, 2]), 1, now, &config), Ok(false));
    usages.handshake_over(networks(ADDRESS));
    assert_eq!(usages.connect(networks(ADDRESS), 1, now, &config), Ok(false));
}

/// One address within a /48: in one of four /56, each of 256 networks.
fn within_48() -> impl Strategy<Value = Ipv6Addr> {
    (0..0x400_u16, 0..4_u16).prop_map(|(subnet, host)| Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, host))
}

proptest! {
    /// However the owner of a /48 chooses addresses, each network of it stays within its shares.
    #[test]
    fn one_customer_stays_within_its_shares(addresses in prop::collection::vec(within_48(), 1..600)) {
        let (config, now) = (config(), Instant::now());
        let mut usages = Usages::new(now);
        let mut served = Vec::new();
        let mut opened = 0;
        for address in &addresses {
            let outcome = usages.connect(networks(*address), 0, now, &config);
            opened += usize::from(outcome.is_ok());
            if outcome == Ok(false) {
                served.push(*address);
            }
        }
        // A count and a rate hold for each prefix, whatever the others are.
        for (bits, shares) in [(64, 1), (56, 2), (48, 8)] {
            let mut counts: HashMap<u128, usize> = HashMap::new();
            for address in &served {
                *counts.entry(address.to_bits() >> (128 - bits)).or_default() += 1;
            }
            prop_assert!(counts.values().all(|count| *count <= 16 * shares), "{counts:?}");
        }
        prop_assert!(opened <= 32 * 8, "{opened}");
        // Somebody else is served, and everything is forgotten at the end.
        prop_assert_eq!(usages.connect(networks([0x2001, 0xdb8, 8, 0, 0, 0, 0, 1]), 0, now, &config), Ok(false));
    }

    /// Counts return to zero, whatever the order of arrivals and ends.
    #[test]
    fn counts_return_to_zero(addresses in prop::collection::vec(within_48(), 1..100)) {
        let (config, now) = (config(), Instant::now());
        let mut usages = Usages::new(now);
        let open: Vec<_> = addresses
            .iter()
            .filter(|it| usages.connect(networks(**it), 1, now, &config).is_ok())
            .collect();
        for address in &open {
            usages.handshake_over(networks(**address));
        }
        let later = now + Duration::from_secs(3_600);
        for address in open.iter().rev() {
            usages.disconnect(networks(**address), later);
        }
        prop_assert_eq!((usages.addresses(), usages.unconnected, usages.known.len()), (0, 0, 0));
    }
}

/// The sessions of a few addresses, each of which sends by the table.
struct Senders {
    usages: Usages,
    begin: Instant,
    own: HashMap<(IpAddr, u8), PerSecond>,
}

impl Senders {
    /// Connects two sessions from each address.
    fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let begin = Instant::now();
        let mut usages = Usages::new(begin);
        for address in addresses {
            for _ in 0..2 {
                usages.connect(networks(address), 0, begin, &config()).expect("room");
            }
        }
        Self { usages, begin, own: HashMap::new() }
    }

    /// Sends from one of the two sessions of an address.
    fn sends(&mut self, address: impl Into<IpAddr>, session: u8, messages: u32, at_ms: u64) -> Pace {
        let address = address.into();
        let own = self.own.entry((address, session)).or_default();
        let now = self.begin + Duration::from_millis(at_ms);
        self.usages.work(networks(address), own, messages, now, &config())
    }
}

#[test]
fn heavy_address_waits_behind_others() {
    let light = IpAddr::from([192, 0, 2, 2]);
    let mut it = Senders::new([ADDRESS, light]);
    // A fifth of 1,000 messages, and one more.
    assert_eq!(it.sends(ADDRESS, 0, 200, 0), Pace::Free);
    assert_eq!(it.sends(ADDRESS, 0, 1, 1), Pace::Behind);
    assert_eq!(it.sends(light, 0, 60, 2), Pace::Free, "others do not wait");
    assert_eq!(it.sends(ADDRESS, 0, 1, 1_500), Pace::Behind, "the second after, too");
    assert_eq!(it.sends(ADDRESS, 0, 200, 2_500), Pace::Free);
    assert_eq!(it.sends(ADDRESS, 0, 200, 2_600), Pace::Behind);
    assert_eq!(it.sends(ADDRESS, 0, 1, 2_700), Pace::TooMuch);
    assert_eq!(it.sends(ADDRESS, 1, 60, 2_700), Pace::Behind, "below its address's average");
    assert_eq!(it.sends(light, 0, 60, 2_800), Pace::Free);
}

#[test]
fn heaviest_addresses_wait_under_load() {
    let addresses: Vec<_> = (0..20).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let mut it = Senders::new(addresses.iter().copied());
    // Six addresses take 150 each: none is over its own share, and all together are over 80 %.
    for heavy in &addresses[..6] {
        it.sends(*heavy, 0, 149, 0);
    }
    for light in &addresses[6..] {
        assert_eq!(it.sends(*light, 0, 10, 1), Pace::Free);
    }
    for heavy in &addresses[..6] {
        assert_eq!(it.sends(*heavy, 0, 1, 2), Pace::Behind);
    }
    assert_eq!(it.sends(addresses[7], 0, 10, 3), Pace::Free, "below the average");
}

#[test]
fn subnets_share_one_budget() {
    let subnets: Vec<_> =
        (0..8).map(|n| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 7, n, 0, 0, 0, 1))).collect();
    let mut it = Senders::new(subnets.iter().copied());
    let paces: Vec<_> = subnets.iter().map(|subnet| it.sends(*subnet, 0, 120, 0)).collect();
    // A /56 has two shares of 200, and is expelled from 800 on.
    assert_eq!(paces[..3], [Pace::Free; 3]);
    assert_eq!(paces[3..6], [Pace::Behind; 3]);
    assert_eq!(paces[6..], [Pace::TooMuch; 2]);
}
