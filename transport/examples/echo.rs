//! An echo server and its client in one process, over the transport that the command line names.
//!
//! ```sh
//! cargo run -p netduel-transport --example echo            # over quic-datagram
//! cargo run -p netduel-transport --example echo -- tcp
//! ```

use std::{error::Error, net::Ipv4Addr, time::Duration};

use netduel_transport::{Close, CloseReason, Identity, Lane, Listener, Options, TransportKind};

/// The number of updates that the client sends. Kinds with unreliable state may lose some of the
/// answers.
const UPDATES: u32 = 20;
const PERIOD: Duration = Duration::from_millis(16);
const DONE: u32 = Close::FIRST_APPLICATION_CODE;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let kind: TransportKind = std::env::args().nth(1).as_deref().unwrap_or("quic-datagram").parse()?;
    let options = Options::default();
    let identity = Identity::generate(&["localhost".into()])?;
    let listener = kind.bind((Ipv4Addr::LOCALHOST, 0).into(), &identity, &options)?;
    println!("{kind}: {}, at {}", kind.summary(), listener.local_addr());

    let addr = listener.local_addr();
    let server = tokio::spawn(serve(listener));
    // Encrypted kinds check the server's certificate. The others ignore name and trust.
    let connection = kind.connect(addr, "localhost", Some(&identity.trust()), &options).await?;
    let (sender, mut receiver) = (connection.sender, connection.receiver);

    sender.send_control(b"hello")?;
    let (mut sent, mut answered) = (0, 0);
    let mut ticks = tokio::time::interval(PERIOD);
    // The receiver drives the connection, so the loop polls it all the time.
    while sent < UPDATES {
        tokio::select! {
            message = receiver.recv() => match message? {
                (Lane::Control, text) => println!("control: {}", String::from_utf8_lossy(&text)),
                (Lane::State, _) => answered += 1,
            },
            _ = ticks.tick() => {
                sender.send_state(&sent.to_be_bytes())?;
                sent += 1;
            }
        }
    }
    println!("state: {sent} sent, {answered} answered");
    println!("round trip: {:?} µs", sender.path_stats().rtt_us);
    receiver.close(Close::new(DONE, "the example is over")).await;
    println!("the server saw: {}", server.await?);
    Ok(())
}

/// Returns each message to its sender, until the connection ends.
async fn serve(listener: Listener) -> CloseReason {
    let connected = match listener.accept().await {
        Ok(incoming) => incoming.finish().await,
        Err(error) => return error.into(),
    };
    let mut connection = match connected {
        Ok(connection) => connection,
        Err(error) => return CloseReason::Transport(error.to_string().into()),
    };
    loop {
        // A message that cannot be echoed means that the connection is over, which the next `recv`
        // reports.
        let _ = match connection.receiver.recv().await {
            Ok((Lane::Control, message)) => connection.sender.send_control(&message),
            Ok((Lane::State, message)) => connection.sender.send_state(&message).map(drop),
            Err(reason) => return reason,
        };
    }
}
