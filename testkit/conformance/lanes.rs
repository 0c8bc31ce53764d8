//! Cases about messages: order, batches, limits, and updates that replace each other.

use std::time::Duration;

use netduel_transport::{Lane, MAX_CONTROL_BYTES, MAX_STATE_BYTES, SendError, Sender, TransportKind};
use tokio::time::timeout;

use super::fixture::{PATIENCE, base_options, drive, echo_works, pair, recv, recv_while_driving, serve};

/// Messages of every small size arrive unchanged, on both lanes and in both directions.
pub(super) async fn lanes_carry_both_ways(kind: TransportKind) {
    let (mut client, mut server) = pair(kind).await;
    for round in 0..50u8 {
        for (from, to) in [(&client.sender, &mut server.receiver), (&server.sender, &mut client.receiver)] {
            for (lane, send) in [
                (Lane::Control, Sender::send_control as fn(&Sender, &[u8]) -> _),
                (Lane::State, |sender, message| sender.send_state(message).map(drop)),
            ] {
                let message = vec![round; usize::from(round) + 1];
                send(from, &message).expect("open");
                assert_eq!(recv(to).await, Ok((lane, message)));
            }
        }
    }
}

/// Queued updates leave with the flush. Each arrives in order, or is counted as superseded.
pub(super) async fn flush_sends_queued_state(kind: TransportKind) {
    const BATCH: u32 = 200; // More bytes than may wait unwritten.
    let (client, mut server) = pair(kind).await;
    let (sender, _driving) = (client.sender, drive(client.receiver));
    for round in 0..5 {
        let numbers = round * BATCH + 1..=(round + 1) * BATCH;
        let mut superseded = 0;
        for number in numbers.clone() {
            superseded += sender.queue_state(&[&number.to_be_bytes()[..], &[0; 40]].concat()).expect("open");
        }
        superseded += sender.flush().expect("open");
        let (mut newest, mut received) = (round * BATCH, 0);
        while newest < *numbers.end() {
            let mut next =
                Some(timeout(PATIENCE, server.receiver.recv()).await.expect("in time").expect("open"));
            while let Some((lane, message)) = next {
                assert_eq!(lane, Lane::State);
                let number = u32::from_be_bytes(message[..4].try_into().expect("four bytes"));
                assert!(number > newest, "{number} after {newest}");
                (newest, received) = (number, received + 1);
                next = server.receiver.try_recv().expect("open");
            }
        }
        if !kind.capabilities().state_may_drop {
            assert_eq!(received + superseded, BATCH as usize, "each arrives or is counted");
        }
    }
}

/// Queued control messages leave with the flush or with the next unqueued message, in order.
pub(super) async fn flush_keeps_control_order(kind: TransportKind) {
    let (mut client, mut server) = pair(kind).await;
    let number = |number: u32| number.to_be_bytes();
    for round in 0..3 {
        let numbers = round * 20..(round + 1) * 20;
        for count in numbers.clone().take(19) {
            client.sender.queue_control(&number(count)).expect("open");
        }
        // The first round ends with a flush, the others with an unqueued message.
        match round {
            0 => {
                client.sender.queue_control(&number(19)).expect("open");
                assert_eq!(client.sender.flush(), Ok(0));
            }
            _ => client.sender.send_control(&number(round * 20 + 19)).expect("open"),
        }
        for count in numbers {
            let received = recv_while_driving(&mut server.receiver, &mut client.receiver).await;
            assert_eq!(received, Ok((Lane::Control, number(count).to_vec())));
        }
    }
}

/// Control messages arrive once and in order among many updates.
pub(super) async fn control_keeps_order(kind: TransportKind) {
    const MESSAGES: u32 = 5_000;
    const BURST: u32 = 100;
    let (client, server) = pair(kind).await;
    let (sender, _driving) = (client.sender, drive(client.receiver));
    let mut receiver = server.receiver;
    for burst in 0..MESSAGES / BURST {
        for number in burst * BURST..(burst + 1) * BURST {
            sender.send_control(&number.to_be_bytes()).expect("open");
            sender.send_state(b"in between").expect("open");
        }
        for expected in burst * BURST..(burst + 1) * BURST {
            loop {
                match recv(&mut receiver).await.expect("open") {
                    (Lane::Control, message) => break assert_eq!(message, expected.to_be_bytes()),
                    (Lane::State, message) => assert_eq!(message, b"in between"),
                }
            }
        }
    }
}

/// A reader that stalls gets the newest update afterwards, and the sender keeps no queue for it.
pub(super) async fn stalled_reader_gets_newest_state(kind: TransportKind) {
    const UPDATES: u32 = 200_000;
    const GROWTH_MAX_BYTES: usize = 6 << 20; // A fifth of the bytes sent.
    let update = |number: u32| {
        let mut bytes = vec![0; 150];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let (client, server) = pair(kind).await;
    let (sender, _driving) = (client.sender, drive(client.receiver));
    let mut receiver = server.receiver;
    let before = resident_bytes();
    for number in 0..UPDATES {
        sender.send_state(&update(number)).expect("open");
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        assert!(after.saturating_sub(before) < GROWTH_MAX_BYTES, "grew from {before} to {after} bytes");
    }
    // The reader wakes up. Where the wire may drop updates, the sender keeps sending, as a game
    // does.
    let newest = update(UPDATES);
    sender.send_state(&newest).expect("open");
    let mut previous = 0;
    loop {
        match timeout(Duration::from_millis(100), receiver.recv()).await {
            Ok(message) => {
                let (lane, message) = message.expect("open");
                assert_eq!(lane, Lane::State);
                let number = u32::from_be_bytes(message[..4].try_into().expect("four bytes"));
                if !kind.capabilities().state_may_drop {
                    assert!(number >= previous, "{number} came after {previous}");
                }
                previous = number;
                if number == UPDATES {
                    break;
                }
            }
            Err(_) if kind.capabilities().state_may_drop => drop(sender.send_state(&newest).expect("open")),
            Err(_) => panic!("the newest update never arrived"),
        }
    }
}

/// The largest messages and empty ones pass. A larger one is refused and the connection stays open.
pub(super) async fn message_limits_hold(kind: TransportKind) {
    let (mut client, mut server) = pair(kind).await;
    let (control, state) = (vec![7; MAX_CONTROL_BYTES], vec![8; MAX_STATE_BYTES]);
    client.sender.send_control(&control).expect("open");
    let received = recv_while_driving(&mut server.receiver, &mut client.receiver).await;
    assert_eq!(received, Ok((Lane::Control, control.clone())));
    client.sender.send_state(&state).expect("open");
    let received = recv_while_driving(&mut server.receiver, &mut client.receiver).await;
    assert_eq!(received, Ok((Lane::State, state.clone())));
    client.sender.send_control(&[]).expect("open");
    let received = recv_while_driving(&mut server.receiver, &mut client.receiver).await;
    assert_eq!(received, Ok((Lane::Control, vec![])));

    let refused = |size: usize, max: usize| SendError::TooLarge { size, max };
    let larger = [control, vec![7]].concat();
    assert_eq!(client.sender.send_control(&larger), Err(refused(MAX_CONTROL_BYTES + 1, MAX_CONTROL_BYTES)));
    let larger = [state, vec![8]].concat();
    assert_eq!(client.sender.send_state(&larger), Err(refused(MAX_STATE_BYTES + 1, MAX_STATE_BYTES)));
    echo_works(&mut client, &mut server).await;
}

/// A message that directly follows the handshake arrives.
pub(super) async fn first_message_arrives(kind: TransportKind) {
    let server = serve(kind, &base_options());
    for _ in 0..20 {
        let client = async {
            let client = server.connect(&base_options()).await;
            client.sender.send_control(b"hello at once").expect("open");
            client
        };
        let (_client, mut accepted) = tokio::join!(client, server.accept());
        assert_eq!(recv(&mut accepted.receiver).await, Ok((Lane::Control, b"hello at once".to_vec())));
    }
}

pub(super) fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}
