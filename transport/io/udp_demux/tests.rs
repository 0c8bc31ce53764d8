//! Tests of remotes on one socket, unknown addresses, and bounds.

use std::future::poll_fn;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A validator that admits the senders of "open", answers "?" with "!", and fails at "panic".
struct OpenSesame;

impl AddressValidator for OpenSesame {
    fn validate(&mut self, _: SocketAddr, datagram: &[u8], answer: &mut Vec<u8>) -> bool {
        if datagram == b"?" {
            answer.push(b'!');
        }
        assert_ne!(datagram, b"panic", "asked for by a test");
        datagram == b"open"
    }
}

fn demux() -> Demux {
    Demux::bind(([127, 0, 0, 1], 0).into(), OpenSesame, &Options::default()).expect("bind")
}

async fn client(demux: &Demux) -> (Arc<DatagramSender>, DatagramReceiver) {
    connect(demux.local_addr(), &Options::default()).expect("a socket")
}

async fn recv(receiver: &mut DatagramReceiver) -> Bytes {
    let datagram = tokio::time::timeout(PATIENCE, poll_fn(|cx| receiver.poll_recv(cx))).await;
    datagram.expect("in time").expect("received")
}

#[tokio::test]
async fn datagrams_reach_their_remote() {
    let demux = demux();
    let (mut a, b) = (client(&demux).await, client(&demux).await);
    a.0.send(b"?");
    assert_eq!(recv(&mut a.1).await, &b"!"[..]);
    let mut remotes = Vec::new();
    for (sender, _) in [&a, &b] {
        sender.send(b"nonsense");
        sender.send(b"open");
        remotes.push(demux.next_incoming().await.expect("a client"));
    }
    a.0.send(b"from a");
    b.0.send(b"from b");
    for (remote, says) in remotes.iter_mut().zip(["from a", "from b"]) {
        assert_eq!(recv(&mut remote.receiver).await, &b"open"[..]);
        assert_eq!(recv(&mut remote.receiver).await, says.as_bytes());
        remote.sender.send(b"hello");
    }
    assert_eq!(recv(&mut a.1).await, &b"hello"[..]);
    let stats = remotes[0].sender.path_stats();
    assert_eq!((stats.sent_packets, stats.sent_bytes), (Some(1), Some(5 + 28)));
    assert_eq!((stats.received_packets, stats.received_bytes), (Some(2), Some(10 + 2 * 28)));
}

#[tokio::test]
async fn remotes_outlive_a_panic() {
    let demux = demux();
    let mut known = client(&demux).await;
    known.0.send(b"open");
    let mut remote = demux.next_incoming().await.expect("a client");
    assert_eq!(recv(&mut remote.receiver).await, &b"open"[..]);

    let stranger = client(&demux).await;
    stranger.0.send(b"panic");
    let struck = async {
        while demux.health().panics == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, struck).await.expect("it panics");
    assert_eq!(demux.health(), TaskHealth { name: "udp socket", panics: 1, down: true });
    known.0.send(b"still here");
    remote.sender.send(b"and here");
    assert_eq!(recv(&mut remote.receiver).await, &b"still here"[..]);
    assert_eq!(recv(&mut known.1).await, &b"and here"[..]);
    stranger.0.send(b"open");
    demux.next_incoming().await.expect("newcomers are admitted again");
    assert!(!demux.health().down);
}

#[tokio::test]
async fn closed_remote_is_unknown_again() {
    let demux = demux();
    let (sender, mut receiver) = client(&demux).await;
    sender.send(b"open");
    drop(demux.next_incoming().await.expect("a client"));
    sender.send(b"?");
    assert_eq!(recv(&mut receiver).await, &b"!"[..]);
    sender.send(b"open");
    demux.next_incoming().await.expect("a second client");
}

#[tokio::test]
async fn inbox_keeps_newest_and_drops_oversized() {
    let demux = demux();
    let (sender, _inlet) = client(&demux).await;
    sender.send(b"open");
    let mut remote = demux.next_incoming().await.expect("a client");
    let count = 3 * INBOX_DATAGRAMS;
    for number in 0..count {
        sender.send(&number.to_be_bytes());
        sender.send(&[0; DATAGRAM_BYTES_MAX + 1]);
        tokio::task::yield_now().await;
    }
    // Another stranger's answer tells that all of it was read.
    let (stranger, mut answer) = client(&demux).await;
    stranger.send(b"?");
    recv(&mut answer).await;
    let mut inbox = Vec::new();
    for _ in 0..INBOX_DATAGRAMS {
        inbox.push(recv(&mut remote.receiver).await);
    }
    assert_eq!(inbox.last(), Some(&Bytes::copy_from_slice(&(count - 1).to_be_bytes())));
    assert!(inbox.iter().all(|datagram| datagram.len() == size_of::<usize>()));
    let nothing = poll_fn(|cx| Poll::Ready(remote.receiver.poll_recv(cx).is_pending())).await;
    assert!(nothing, "bounded");
}

#[tokio::test]
async fn handshakes_under_way_are_bounded() {
    let half_open_max = 2;
    let demux =
        Demux::bind_bounded(([127, 0, 0, 1], 0).into(), OpenSesame, &Options::default(), half_open_max)
            .expect("bind");
    let mut clients = Vec::new();
    for _ in 0..=half_open_max {
        let client = client(&demux).await;
        client.0.send(b"open");
        clients.push(client);
    }
    let (last, answers) = &mut clients[half_open_max];
    last.send(b"?");
    assert_eq!(recv(answers).await, &b"!"[..], "still a stranger");
    drop(demux.next_incoming().await.expect("the first").half_open);
    last.send(b"open");
    demux.next_incoming().await.expect("the second");
    let mut third = demux.next_incoming().await.expect("the third, now that there is room");
    assert_eq!(recv(&mut third.receiver).await, &b"open"[..]);
}
