//! Cases of encrypted kinds: trusted certificates, pins, and resumed TLS sessions.

use netduel_transport::{ConnectError, Identity, Options, TransportKind, Trust};

use super::fixture::{Server, base_options, echo_works, serve};

/// An encrypted kind accepts a trusted certificate or a pinned one, and reports every other as a
/// typed error.
pub(super) async fn accepts_only_trusted_certificates(kind: TransportKind) {
    if !kind.capabilities().encrypted {
        return;
    }
    let options = base_options();
    let server = serve(kind, &options);
    let addr = server.listener.local_addr();
    let stranger = Identity::generate(&["localhost".into()]).expect("identity");
    let attempt = async |name: &'static str, trust: Option<Trust>| {
        let accepting = async { server.listener.accept().await.expect("accept").finish().await };
        let connecting = kind.connect(addr, name, trust.as_ref(), &options);
        if trust.is_none() { connecting.await } else { tokio::join!(connecting, accepting).0 }
    };

    assert!(matches!(attempt("localhost", None).await, Err(ConnectError::NoTrust(_))));
    let untrusted = attempt("localhost", Some(stranger.trust())).await;
    assert!(matches!(untrusted, Err(ConnectError::Untrusted(_))), "{untrusted:?}");
    let wrong_name = attempt("example.org", Some(server.identity.trust())).await;
    assert!(matches!(wrong_name, Err(ConnectError::Untrusted(_))), "{wrong_name:?}");
    match attempt("localhost", Some(Trust::pin(stranger.fingerprint()))).await {
        Err(ConnectError::PinMismatch { expected, presented }) => {
            assert_eq!(expected, stranger.fingerprint().to_string());
            assert_eq!(presented, server.identity.fingerprint().to_string());
        }
        other => panic!("{other:?}"),
    }

    let file = tempfile::NamedTempFile::new().expect("file");
    server.identity.save_certificate(file.path()).expect("saved");
    assert!(attempt("127.0.0.1", Some(Trust::from_file(file.path()).expect("loaded"))).await.is_ok());
    let pin = server.identity.fingerprint().to_string().parse().expect("a fingerprint");
    assert!(attempt("any.name", Some(Trust::pin(pin))).await.is_ok(), "a pin needs no name");
}

/// A listener presents the certificate that its identity has by then. A renewed one satisfies the
/// clients of the old one, by pin and by file, and another key satisfies neither. Connections go
/// on.
pub(super) async fn new_handshakes_get_the_new_certificate(kind: TransportKind) {
    if !kind.capabilities().encrypted {
        return;
    }
    let options = base_options();
    let server = serve(kind, &options);
    let first = [server.identity.trust(), Trust::pin(server.identity.fingerprint())];
    let (mut client, mut accepted) = server.pair(&options).await;
    let attempt = async |trust: &Trust| {
        let accepting = async { server.listener.accept().await.expect("accept").finish().await };
        let connecting = kind.connect(server.listener.local_addr(), "localhost", Some(trust), &options);
        tokio::join!(connecting, accepting).0
    };

    let now = std::time::SystemTime::now();
    let renewed = server.identity.renewed(now).expect("self-made");
    server.identity.replace(&renewed);
    for trust in &first {
        assert!(attempt(trust).await.is_ok(), "{trust:?}");
    }
    let other = Identity::generate(&["localhost".into()]).expect("identity");
    server.identity.replace(&other);
    assert!(matches!(attempt(&first[0]).await, Err(ConnectError::Untrusted(_))));
    match attempt(&first[1]).await {
        Err(ConnectError::PinMismatch { presented, .. }) => {
            assert_eq!(presented, other.fingerprint().to_string());
        }
        unexpected => panic!("{unexpected:?}"),
    }
    assert!(attempt(&Trust::pin(other.fingerprint())).await.is_ok());
    echo_works(&mut client, &mut accepted).await;
}

/// Connects with `trust` and returns whether the client and the server report a resumed session.
async fn resumed(server: &Server, trust: &Trust, options: &Options) -> [Option<bool>; 2] {
    let (kind, addr) = (server.listener.kind(), server.listener.local_addr());
    let connecting = async { kind.connect(addr, "localhost", Some(trust), options).await };
    let (client, mut accepted) = tokio::join!(connecting, server.accept());
    let mut client = client.expect("client handshake");
    // The server's message arrives after its session ticket.
    echo_works(&mut client, &mut accepted).await;
    [client.sender.resumed(), accepted.sender.resumed()]
}

/// TLS sessions are resumed only where both sides ask for it.
pub(super) async fn resumes_only_on_request(kind: TransportKind) {
    let encrypted = kind.capabilities().encrypted;
    let both = |resumed: bool| [encrypted.then_some(resumed); 2];
    let (off, on) = (base_options(), Options { resumption: true, ..base_options() });
    for (server_options, client_options) in [(&off, &off), (&off, &on), (&on, &off), (&on, &on)] {
        let server = serve(kind, server_options);
        let trust = server.identity.trust();
        let asked = server_options.resumption && client_options.resumption;
        assert_eq!(resumed(&server, &trust, client_options).await, both(false), "the first is full");
        // Each ticket is valid once, and each connection delivers the next one.
        for _ in 0..3 {
            assert_eq!(resumed(&server, &trust.clone(), client_options).await, both(asked));
        }
        assert_eq!(resumed(&server, &trust, &off).await, both(false), "not asked for any more");
    }
}

/// No TLS session outlives its trust or the certificate that was pinned.
pub(super) async fn sessions_end_with_their_trust(kind: TransportKind) {
    if !kind.capabilities().encrypted {
        return;
    }
    let options = Options { resumption: true, ..base_options() };
    let server = serve(kind, &options);
    let pin = server.identity.fingerprint();
    let trust = Trust::pin(pin);
    assert_eq!(resumed(&server, &trust, &options).await, [Some(false); 2]);
    assert_eq!(resumed(&server, &trust, &options).await, [Some(true); 2]);
    assert_eq!(resumed(&server, &Trust::pin(pin), &options).await, [Some(false); 2], "a new trust has none");

    // Both servers reject the pin of the other.
    let other = serve(kind, &options);
    let attempt = async |server: &Server, trust: &Trust| {
        let accepting = async { server.listener.accept().await.expect("accept").finish().await };
        let connecting = kind.connect(server.listener.local_addr(), "localhost", Some(trust), &options);
        tokio::join!(connecting, accepting).0
    };
    let other_pin = Trust::pin(other.identity.fingerprint());
    for (server, trust) in [(&server, &other_pin), (&other, &trust)] {
        for _ in 0..2 {
            match attempt(server, trust).await {
                Err(ConnectError::PinMismatch { presented, .. }) => {
                    assert_eq!(presented, server.identity.fingerprint().to_string());
                }
                unexpected => panic!("{unexpected:?}"),
            }
        }
    }
    // Two attempts share one trust at the same time. Each error names the fingerprint of its own
    // server.
    let third = serve(kind, &options);
    let (a, b) = tokio::join!(attempt(&other, &trust), attempt(&third, &trust));
    for (result, server) in [(a, &other), (b, &third)] {
        let Err(ConnectError::PinMismatch { presented, .. }) = result else { panic!("{result:?}") };
        assert_eq!(presented, server.identity.fingerprint().to_string());
    }
    assert!(attempt(&server, &trust).await.is_ok(), "the right one is still welcome");
}
