//! Cases about what a connection holds and reports: tasks, descriptors, addresses, path statistics.

use std::time::Duration;

use netduel_transport::{Close, Congestion, CongestionControl, Options, PortSharing, Setting, TransportKind};
use tokio::time::timeout;

use super::fixture::{PATIENCE, base_options, drive, echo_works, in_process, over_tcp, recv, serve};

/// A thousand connections leave no task and no descriptor behind.
pub(super) async fn connections_leak_nothing(kind: TransportKind) {
    const CONNECTIONS: usize = 1_000;
    let server = serve(kind, &base_options());
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut baseline = None;
    for number in 0..CONNECTIONS {
        let (client, mut accepted) = server.pair(&base_options()).await;
        client.sender.send_control(b"one of a thousand").expect("open");
        recv(&mut accepted.receiver).await.expect("a message");
        // QUIC lingers for a few round trips after its close, so the closes overlap.
        tokio::spawn(client.receiver.close(done()));
        recv(&mut accepted.receiver).await.expect_err("closed");
        if number == 0 {
            drop(accepted);
            settle(|| metrics.num_alive_tasks(), |alive| alive <= 2).await;
            baseline = Some((metrics.num_alive_tasks(), open_files()));
        }
    }
    let (tasks, files) = baseline.expect("ran");
    settle(|| metrics.num_alive_tasks(), |alive| alive <= tasks).await;
    settle(open_files, |open| open <= files).await;
}

/// Two listeners share an address only where both ask for it, and then both accept. The first one
/// takes the address for itself.
pub(super) async fn shares_addresses_only_on_request(kind: TransportKind) {
    const CONNECTIONS: usize = 32; // All of them reach one of two listeners once in two billion runs.
    let server = serve(kind, &base_options());
    let addr = server.listener.local_addr();
    assert!(kind.bind(addr, &server.identity, &base_options()).is_err(), "it is taken");
    if in_process(kind) || cfg!(not(target_os = "linux")) {
        return; // Only sockets of Linux are shared.
    }
    let sharing = |port_sharing| Options { port_sharing, ..base_options() };
    assert!(kind.bind(addr, &server.identity, &sharing(PortSharing::Further)).is_err(), "nobody shares it");
    let options = sharing(PortSharing::First);
    let first = serve(kind, &options);
    let bind = |options| kind.bind(first.listener.local_addr(), &first.identity, &options);
    let second = bind(sharing(PortSharing::Further)).expect("shared");
    for other_program in [PortSharing::Alone, PortSharing::First] {
        assert!(bind(sharing(other_program)).is_err(), "{other_program:?}");
    }
    let mut accepted = [0; 2];
    let accept = async {
        for _ in 0..CONNECTIONS {
            let (which, accepting) = tokio::select! {
                accepting = first.listener.accept() => (0, accepting),
                accepting = second.accept() => (1, accepting),
            };
            let mut connection = accepting.expect("accept").finish().await.expect("server handshake");
            assert!(recv(&mut connection.receiver).await.is_ok());
            accepted[which] += 1;
        }
    };
    let connect = async {
        for _ in 0..CONNECTIONS {
            let client = first.connect(&options).await;
            client.sender.send_control(b"hello").expect("open");
            drive(client.receiver);
        }
    };
    tokio::join!(accept, connect);
    assert!(accepted[0] > 0 && accepted[1] > 0, "{accepted:?}");
}

/// Path statistics count what was sent and name the congestion control that is in effect.
pub(super) async fn path_stats_report_what_is_in_effect(kind: TransportKind) {
    for congestion in [Congestion::Cubic, Congestion::Reno] {
        let options = Options { congestion, nodelay: false, ..base_options() };
        let (mut client, mut server) = serve(kind, &options).pair(&options).await;
        echo_works(&mut client, &mut server).await;
        for sender in [&client.sender, &server.sender] {
            let stats = sender.path_stats();
            assert_eq!(stats.tls.is_some(), kind.capabilities().encrypted);
            if in_process(kind) || !cfg!(target_os = "linux") {
                continue;
            }
            assert!(stats.rtt_us.is_some_and(|rtt| rtt > 0 && rtt < 1_000_000), "{stats:?}");
            assert!(stats.sent_bytes.is_some_and(|bytes| bytes > 10), "{stats:?}");
            assert!(stats.sent_packets.is_some_and(|packets| packets > 1), "{stats:?}");
            // A kind from outside sets what it likes.
            if over_tcp(kind) && TransportKind::ALL.contains(&kind) {
                let thin = Setting::TcpThinLinearTimeouts(options.tcp_tuned);
                assert!(stats.settings.contains(&thin), "every Linux takes it: {stats:?}");
            }
            if kind.capabilities().congestion != CongestionControl::AsAsked {
                assert_eq!(stats.congestion, None, "it has none of those");
                continue;
            }
            assert!(stats.congestion_window_bytes.is_some_and(|window| window > 1_000), "{stats:?}");
            let in_effect = stats.congestion.expect("read back");
            // The system restricts ordinary users to its allowed algorithms. The statistics report
            // the one in effect.
            let allowed = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
            if allowed.is_ok_and(|list| list.contains(congestion.name())) {
                assert_eq!(in_effect.to_string(), congestion.name());
            }
        }
    }
}

/// Waits until `good(read())`, and fails with the last reading if that does not come.
pub(super) async fn settle<T: Copy + std::fmt::Debug>(read: impl Fn() -> T, good: impl Fn(T) -> bool) {
    let polling = async {
        while !good(read()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, polling).await.is_ok(), "stays at {:?}", read());
}

/// Returns the number of descriptors of this process; `None` where the system does not show them.
pub(super) fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

pub(super) fn done() -> Close {
    Close::new(Close::FIRST_APPLICATION_CODE, "done")
}
