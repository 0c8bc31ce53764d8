//! The handshake of the `udp` kind: the proof of the client's address (`io/cookie.rs`), then a
//! welcome.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc};

use super::{
    reliable_stream::Rtt,
    wire::{HEADER_BYTES, Token, Type, parse, write_header},
};
use crate::io::{
    cookie::{Challenger, RETRY_INTERVAL, RETRY_INTERVAL_MAX, fetch_join},
    udp_demux::{AddressValidator, DatagramReceiver, DatagramSender},
};

/// Does a client's handshake. Ends connected or with the system's refusal. The caller sets the
/// deadline.
pub(super) async fn shake_hands(
    protocol: &str,
    datagrams_out: &DatagramSender,
    datagrams_in: &mut DatagramReceiver,
    token: Token,
) -> io::Result<Rtt> {
    let (join, measured) = fetch_join(protocol, datagrams_out, datagrams_in, token).await?;
    let mut rtt = Rtt::default();
    if let Some(measured) = measured {
        rtt.measured(measured);
    }
    let mut interval = RETRY_INTERVAL;
    loop {
        datagrams_out.send(&join);
        let answer = tokio::time::timeout(interval, async {
            loop {
                let datagram = poll_fn(|cx| datagrams_in.poll_recv(cx)).await?;
                match parse(&datagram) {
                    Some((Type::Hello | Type::Challenge | Type::Join, ..)) | None => {}
                    Some((kind, theirs, _)) if theirs == token => return Ok::<_, io::Error>(kind),
                    Some(_) => {}
                }
            }
        });
        match answer.await {
            // The join or its answer was lost.
            Err(_) => interval = (interval * 2).min(RETRY_INTERVAL_MAX),
            Ok(answer) => match answer? {
                Type::Close | Type::Closed => return Err(io::ErrorKind::ConnectionRefused.into()),
                // Anything else with our token can only come behind a welcome that was lost or
                // overtaken.
                _ => return Ok(rtt),
            },
        }
    }
}

/// An address validator that admits joins whose challenge is good.
pub(super) struct JoinsOnly(pub(super) Arc<Challenger>);

impl AddressValidator for JoinsOnly {
    fn validate(&mut self, from: SocketAddr, datagram: &[u8], answer: &mut Vec<u8>) -> bool {
        let Some((&[kind, ref token @ ..], _)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return false;
        };
        match Type::parse(kind) {
            Some(Type::Hello) => {
                self.0.answer_hello(from, datagram, answer);
                false
            }
            Some(Type::Join) => self.0.join(from, datagram).is_some_and(|join| join.rest.is_empty()),
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

    #[test]
    fn answers_a_close_in_fewer_bytes() {
        let challenger = Challenger::new("test-udp/1").expect("random numbers");
        let mut validator = JoinsOnly(Arc::new(challenger));
        let client = ([10, 0, 0, 1], 7).into();
        let mut answer = Vec::new();
        for kind in 0..=u8::MAX {
            answer.clear();
            let datagram = [kind, 1, 2, 3, 4];
            assert!(!validator.validate(client, &datagram, &mut answer));
            let closed = kind == Type::Close as u8;
            assert_eq!(answer.is_empty(), !closed, "{kind:#x}");
            assert!(answer.len() <= datagram.len());
        }
    }
}
