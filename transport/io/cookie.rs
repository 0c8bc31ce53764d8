//! The proof of a client's address on kinds over plain datagrams: hello, challenge, join.
//!
//! The server answers a *hello* with a *challenge*: its time and a MAC over that time, the client's
//! address and the token, under a key of the listener's own. It keeps no state. Only a *join* that
//! brings the challenge back makes a connection, since only who receives at an address can read
//! what was sent there. A forged source address therefore costs the server no memory, and gets no
//! more bytes than it sent.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use tokio::time::Instant;

use super::udp_demux::{DatagramReceiver, DatagramSender};

/// The client's random number of a connection.
pub(crate) type Token = [u8; 4];
/// The size of a datagram's type and token, in bytes.
pub(crate) const HEADER_BYTES: usize = 5;
/// The type of a hello: the protocol's name, and zeros up to the size of the challenge that answers
/// it.
pub(crate) const HELLO: u8 = 0xd0;
/// The type of a challenge: the time and the MAC.
pub(crate) const CHALLENGE: u8 = 0xd1;
/// The type of a join: the challenge, sent back, and what the kind puts behind it.
pub(crate) const JOIN: u8 = 0xd2;
/// The interval between a client's first datagrams, doubled each time up to
/// [`RETRY_INTERVAL_MAX`].
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(100);
pub(crate) const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The lifetime of a challenge in µs: twice as long as a handshake may take by default.
const CHALLENGE_LIFETIME_US: u64 = 10_000_000;
/// The size of a challenge in bytes: its time in µs of the listener's clock, and the MAC.
const CHALLENGE_BYTES: usize = 8 + 32;

/// Returns a client's token for a new connection.
pub(crate) fn new_token() -> io::Result<Token> {
    let mut token = Token::default();
    SystemRandom::new().fill(&mut token).map_err(|_| no_random_numbers())?;
    Ok(token)
}

/// Returns the error of a system without random numbers.
pub(crate) fn no_random_numbers() -> io::Error {
    io::Error::other("the system has no random numbers")
}

/// Makes `out` a datagram of this type. The caller appends the body.
pub(crate) fn write_header(out: &mut Vec<u8>, kind: u8, token: Token) {
    out.clear();
    out.push(kind);
    out.extend_from_slice(&token);
}

/// Gets a challenge from the server. Returns the join that proves this side's address, and the
/// round-trip time if it could be measured. The caller sets the deadline.
///
/// # Errors
/// The system's refusal.
pub(crate) async fn fetch_join(
    protocol: &str,
    datagrams_out: &DatagramSender,
    datagrams_in: &mut DatagramReceiver,
    token: Token,
) -> io::Result<(Vec<u8>, Option<Duration>)> {
    let mut interval = RETRY_INTERVAL;
    let mut hello = Vec::new();
    write_header(&mut hello, HELLO, token);
    hello.extend_from_slice(protocol.as_bytes());
    hello.resize(HEADER_BYTES + CHALLENGE_BYTES, 0);
    loop {
        datagrams_out.send(&hello);
        let sent = Instant::now();
        let challenge = tokio::time::timeout(interval, async {
            loop {
                let datagram = poll_fn(|cx| datagrams_in.poll_recv(cx)).await?;
                match split(&datagram) {
                    Some((CHALLENGE, theirs, challenge))
                        if theirs == token && challenge.len() == CHALLENGE_BYTES =>
                    {
                        return Ok::<_, io::Error>(challenge.to_vec());
                    }
                    _ => {}
                }
            }
        });
        match challenge.await {
            // The hello or its answer was lost.
            Err(_) => interval = (interval * 2).min(RETRY_INTERVAL_MAX),
            Ok(challenge) => {
                let mut join = hello;
                write_header(&mut join, JOIN, token);
                join.extend_from_slice(&challenge?);
                // The answer to a repeated hello may be that to the first.
                return Ok((join, (interval == RETRY_INTERVAL).then(|| sent.elapsed())));
            }
        }
    }
}

/// Returns type, token and body of a datagram.
fn split(datagram: &[u8]) -> Option<(u8, Token, &[u8])> {
    let (&[kind, a, b, c, d], body) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    Some((kind, [a, b, c, d], body))
}

/// The server's side of the proof. It keeps no state of a client.
pub(crate) struct Challenger {
    key: hmac::Key,
    start: Instant,
    /// The name and version of the protocol that a hello must begin with.
    protocol: Box<[u8]>,
}

/// A join whose challenge came back from the address that it was sent to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Join<'a> {
    pub(crate) token: Token,
    /// The time since the challenge was made.
    pub(crate) age: Duration,
    /// The bytes behind the challenge.
    pub(crate) rest: &'a [u8],
}

impl Challenger {
    pub(crate) fn new(protocol: &str) -> io::Result<Self> {
        let key =
            hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| no_random_numbers())?;
        Ok(Self { key, start: Instant::now(), protocol: protocol.as_bytes().into() })
    }

    /// Writes the challenge into `answer` if the datagram is a hello of this protocol. The answer
    /// is never longer than the hello.
    pub(crate) fn answer_hello(&self, from: SocketAddr, datagram: &[u8], answer: &mut Vec<u8>) {
        match split(datagram) {
            Some((HELLO, token, body))
                if body.starts_with(&self.protocol) && body.len() >= CHALLENGE_BYTES =>
            {
                write_header(answer, CHALLENGE, token);
                answer.extend_from_slice(&self.challenge(from, token, self.now_us()));
            }
            _ => {}
        }
    }

    /// Returns the join in a datagram. `None` if it is no join, or if its challenge is not one of
    /// ours, not this address's, or too old.
    pub(crate) fn join<'a>(&self, from: SocketAddr, datagram: &'a [u8]) -> Option<Join<'a>> {
        let (JOIN, token, body) = split(datagram)? else { return None };
        let (challenge, rest) = body.split_first_chunk::<CHALLENGE_BYTES>()?;
        let age = self.age(from, token, challenge, self.now_us())?;
        Some(Join { token, age, rest })
    }

    fn now_us(&self) -> u64 {
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

    /// Returns the age of a challenge. `None` if it is not one of ours, not this client's, or too
    /// old.
    fn age(
        &self,
        from: SocketAddr,
        token: Token,
        challenge: &[u8; CHALLENGE_BYTES],
        now_us: u64,
    ) -> Option<Duration> {
        let (made_us, mac) = challenge.split_first_chunk::<8>()?;
        hmac::verify(&self.key, &Self::claim(from, token, *made_us), mac).ok()?;
        let age_us = now_us.saturating_sub(u64::from_be_bytes(*made_us));
        (age_us <= CHALLENGE_LIFETIME_US).then(|| Duration::from_micros(age_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = "test-udp/1";

    fn hello(token: Token) -> Vec<u8> {
        let mut hello = Vec::new();
        write_header(&mut hello, HELLO, token);
        hello.extend_from_slice(PROTOCOL.as_bytes());
        hello.resize(HEADER_BYTES + CHALLENGE_BYTES, 0);
        hello
    }

    fn challenger() -> Challenger {
        Challenger::new(PROTOCOL).expect("random numbers")
    }

    #[test]
    fn admits_only_proved_addresses() {
        let challenger = challenger();
        let (client, other): (SocketAddr, SocketAddr) =
            (([10, 0, 0, 1], 7).into(), ([10, 0, 0, 1], 8).into());
        let token = [1, 2, 3, 4];
        let mut answer = Vec::new();
        assert_eq!(challenger.join(client, &hello(token)), None, "a hello alone is nothing to remember");
        challenger.answer_hello(client, &hello(token), &mut answer);
        assert_eq!(answer.len(), hello(token).len(), "nothing is gained by forging an address");
        assert_eq!(answer[0], CHALLENGE);

        let mut join = answer.clone();
        join[0] = JOIN;
        let proved = challenger.join(client, &join).expect("proved");
        assert_eq!((proved.token, proved.rest), (token, &[][..]));
        let longer = [&join[..], b"and more"].concat();
        assert_eq!(challenger.join(client, &longer).expect("proved").rest, b"and more");
        assert_eq!(challenger.join(other, &join), None, "the challenge is another's");
        for place in 0..join.len() {
            let mut changed = join.clone();
            changed[place] ^= 1;
            assert_eq!(challenger.join(client, &changed), None, "byte {place} was changed");
            assert_eq!(challenger.join(client, &join[..place]), None, "cut at {place}");
        }
    }

    #[test]
    fn challenge_expires() {
        let challenger = challenger();
        let client = ([10, 0, 0, 1], 7).into();
        let challenge = challenger.challenge(client, [0; 4], 500);
        let age = |now_us| challenger.age(client, [0; 4], &challenge, now_us);
        let lifetime = Duration::from_micros(CHALLENGE_LIFETIME_US);
        assert_eq!(age(500 + CHALLENGE_LIFETIME_US), Some(lifetime));
        assert_eq!(age(501 + CHALLENGE_LIFETIME_US), None);
    }

    #[test]
    fn answers_only_hellos() {
        let challenger = challenger();
        let client = ([10, 0, 0, 1], 7).into();
        let mut answer = Vec::new();
        let short = &hello([0; 4])[..HEADER_BYTES + CHALLENGE_BYTES - 1];
        let mut other_protocol = hello([0; 4]);
        other_protocol[HEADER_BYTES] ^= 1;
        for datagram in [&[][..], &[HELLO], short, &other_protocol, &[0; 1200], &[0xff; 60]] {
            challenger.answer_hello(client, datagram, &mut answer);
            assert!(answer.is_empty());
        }
    }
}
