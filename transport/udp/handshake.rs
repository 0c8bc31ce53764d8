//! The handshake of the `udp` kind: hello, challenge, join, welcome. `udp.rs` has its reasons.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ring::{hmac, rand::SystemRandom};
use tokio::time::Instant;

use super::{
    reliable_stream::Rtt,
    wire::{HEADER_BYTES, Token, Type, parse, write_header},
};
use crate::io::udp_demux::{AddressValidator, DatagramReceiver, DatagramSender};

/// The interval between a client's first hellos, doubled each time up to [`HELLO_INTERVAL_MAX`].
const HELLO_INTERVAL: Duration = Duration::from_millis(100);
const HELLO_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The lifetime of a challenge in µs: twice as long as a handshake may take by default.
const CHALLENGE_LIFETIME_US: u64 = 10_000_000;
/// The size of a challenge in bytes: its time in µs of the listener's clock, and the MAC.
const CHALLENGE_BYTES: usize = 8 + 32;

/// Does a client's handshake. Ends connected or with the system's refusal. The caller sets the
/// deadline.
pub(super) async fn shake_hands(
    protocol: &str,
    datagrams_out: &DatagramSender,
    datagrams_in: &mut DatagramReceiver,
    token: Token,
) -> io::Result<Rtt> {
    let mut rtt = Rtt::default();
    let mut interval = HELLO_INTERVAL;
    let mut hello = Vec::new();
    write_header(&mut hello, Type::Hello, token);
    hello.extend_from_slice(protocol.as_bytes());
    hello.resize(HEADER_BYTES + CHALLENGE_BYTES, 0);
    loop {
        datagrams_out.send(&hello);
        let sent = Instant::now();
        let answer = tokio::time::timeout(interval, async {
            loop {
                let datagram = poll_fn(|cx| datagrams_in.poll_recv(cx)).await?;
                match parse(&datagram) {
                    Some((kind, theirs, body)) if theirs == token => return Ok::<_, io::Error>((kind, body)),
                    _ => {}
                }
            }
        });
        match answer.await {
            // The hello or its answer was lost.
            Err(_) => interval = (interval * 2).min(HELLO_INTERVAL_MAX),
            Ok(answer) => match answer? {
                (Type::Challenge, challenge) if challenge.len() == CHALLENGE_BYTES => {
                    if interval == HELLO_INTERVAL {
                        rtt.measured(sent.elapsed());
                    }
                    write_header(&mut hello, Type::Join, token);
                    hello.extend_from_slice(&challenge);
                }
                // Anything else with our token can only come behind a welcome that was lost or
                // overtaken.
                (Type::Hello | Type::Challenge | Type::Join, _) => {}
                (Type::Close | Type::Closed, _) => return Err(io::ErrorKind::ConnectionRefused.into()),
                _ => return Ok(rtt),
            },
        }
    }
}

/// The server's side of the handshake. It keeps no state of a client until the client has shown
/// that it gets our answers.
pub(super) struct Challenger {
    key: hmac::Key,
    start: Instant,
    /// The name and version of the protocol that a hello must begin with.
    protocol: Box<[u8]>,
}

impl Challenger {
    pub(super) fn new(protocol: &str) -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        Ok(Self { key, start: Instant::now(), protocol: protocol.as_bytes().into() })
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns the bytes that the MAC covers: address (16) and port (2), token (4), time (8).
    fn claim(from: SocketAddr, token: Token, made_us: [u8; 8]) -> [u8; 30] {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut claim = [0; 30];
        claim[..16].copy_from_slice(&ip.octets());
        claim[16..18].copy_from_slice(&from.port().to_be_bytes());
        claim[18..22].copy_from_slice(&token);
        claim[22..].copy_from_slice(&made_us);
        claim
    }

    fn challenge(&self, from: SocketAddr, token: Token, now_us: u64) -> [u8; CHALLENGE_BYTES] {
        let made_us = now_us.to_be_bytes();
        let mac = hmac::sign(&self.key, &Self::claim(from, token, made_us));
        let mut challenge = [0; CHALLENGE_BYTES];
        challenge[..8].copy_from_slice(&made_us);
        challenge[8..].copy_from_slice(mac.as_ref());
        challenge
    }

    /// Returns the age of a challenge in µs. `None` if it is not one of ours, not this client's, or
    /// too old.
    pub(super) fn age_us(
        &self,
        from: SocketAddr,
        token: Token,
        challenge: &[u8],
        now_us: u64,
    ) -> Option<u64> {
        let challenge: &[u8; CHALLENGE_BYTES] = challenge.try_into().ok()?;
        let (made_us, mac) = challenge.split_first_chunk::<8>()?;
        hmac::verify(&self.key, &Self::claim(from, token, *made_us), mac).ok()?;
        let age_us = now_us.saturating_sub(u64::from_be_bytes(*made_us));
        (age_us <= CHALLENGE_LIFETIME_US).then_some(age_us)
    }
}

impl AddressValidator for Arc<Challenger> {
    fn validate(&mut self, from: SocketAddr, datagram: &[u8], answer: &mut Vec<u8>) -> bool {
        let Some((&[kind, ref token @ ..], body)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return false;
        };
        match Type::parse(kind) {
            Some(Type::Hello) if body.starts_with(&self.protocol) && body.len() >= CHALLENGE_BYTES => {
                write_header(answer, Type::Challenge, *token);
                answer.extend_from_slice(&self.challenge(from, *token, self.now_us()));
                false
            }
            Some(Type::Join) => self.age_us(from, *token, body, self.now_us()).is_some(),
            // The connection is over on this side. The answer lets the remote stop resending.
            Some(Type::Close) => {
                write_header(answer, Type::Closed, *token);
                false
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = "test-udp/1";

    fn hello(token: Token) -> Vec<u8> {
        let mut hello = Vec::new();
        write_header(&mut hello, Type::Hello, token);
        hello.extend_from_slice(PROTOCOL.as_bytes());
        hello.resize(HEADER_BYTES + CHALLENGE_BYTES, 0);
        hello
    }

    #[test]
    fn admits_only_validated_addresses() {
        let mut challenger = Arc::new(Challenger::new(PROTOCOL).expect("random numbers"));
        let (client, other): (SocketAddr, SocketAddr) =
            (([10, 0, 0, 1], 7).into(), ([10, 0, 0, 1], 8).into());
        let token = [1, 2, 3, 4];
        let mut answer = Vec::new();
        assert!(
            !challenger.validate(client, &hello(token), &mut answer),
            "a hello alone is nothing to remember"
        );
        assert_eq!(answer.len(), hello(token).len(), "nothing is gained by forging an address");
        assert_eq!(answer[0], Type::Challenge as u8);

        let mut join = answer.clone();
        join[0] = Type::Join as u8;
        let mut silent = Vec::new();
        assert!(challenger.validate(client, &join, &mut silent));
        assert!(!challenger.validate(other, &join, &mut silent), "the challenge is another's");
        for place in 1..join.len() {
            let mut changed = join.clone();
            changed[place] ^= 1;
            assert!(!challenger.validate(client, &changed, &mut silent), "byte {place} was changed");
            assert!(!challenger.validate(client, &join[..place], &mut silent), "cut at {place}");
        }
        assert!(silent.is_empty());
    }

    #[test]
    fn challenge_expires() {
        let challenger = Challenger::new(PROTOCOL).expect("random numbers");
        let client = ([10, 0, 0, 1], 7).into();
        let challenge = challenger.challenge(client, [0; 4], 500);
        let age_us = |now_us| challenger.age_us(client, [0; 4], &challenge, now_us);
        assert_eq!(age_us(500 + CHALLENGE_LIFETIME_US), Some(CHALLENGE_LIFETIME_US));
        assert_eq!(age_us(501 + CHALLENGE_LIFETIME_US), None);
    }

    #[test]
    fn answers_only_hellos() {
        let mut challenger = Arc::new(Challenger::new(PROTOCOL).expect("random numbers"));
        let client = ([10, 0, 0, 1], 7).into();
        let mut answer = Vec::new();
        let short = &hello([0; 4])[..HEADER_BYTES + CHALLENGE_BYTES - 1];
        for datagram in [&[][..], &[Type::Hello as u8], short, &[0; 1200], &[0xff; 60]] {
            assert!(!challenger.validate(client, datagram, &mut answer));
            assert!(answer.is_empty());
        }
    }
}
