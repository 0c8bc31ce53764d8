//! Connects to a server and exchanges hello and welcome.

use netduel_protocol::{ClientMessage, MAX_MESSAGE_BYTES, ServerMessage, VERSION};
use netduel_transport::{Connection, Sender};

use crate::{config::PlayerConfig, error::PlayError};

/// A connection that has exchanged hello and welcome.
pub(crate) struct Welcomed {
    pub(crate) connection: Connection,
    pub(crate) clock: u64,
    pub(crate) payload_max_bytes: usize,
}

/// Connects and exchanges hello and welcome. Sends `next` right behind the hello, which saves its
/// round trip.
pub(crate) async fn hello(
    config: &PlayerConfig,
    next: Option<ClientMessage<'_>>,
) -> Result<Welcomed, PlayError> {
    let PlayerConfig { addr, server_name, kind, trust, options, .. } = config;
    let mut connection = kind.connect(*addr, server_name, trust.as_ref(), options).await?;
    send(&connection.sender, &ClientMessage::Hello { version: VERSION })?;
    if let Some(next) = next {
        send(&connection.sender, &next)?;
    }
    let welcome = tokio::time::timeout(options.handshake_timeout, connection.receiver.recv());
    let (_, bytes) = welcome.await.map_err(|_| PlayError::NoWelcome(options.handshake_timeout))??;
    match netduel_protocol::decode(&bytes)? {
        ServerMessage::Welcome { clock, payload_max_bytes, .. } => {
            Ok(Welcomed { connection, clock, payload_max_bytes: payload_max_bytes.into() })
        }
        other => Err(PlayError::BadServer(format!("{other:?} before the welcome").into())),
    }
}

/// Sends a message on the control lane.
pub(crate) fn send(sender: &Sender, message: &ClientMessage<'_>) -> Result<(), PlayError> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let bytes = netduel_protocol::encode(message, &mut buffer)
        .and_then(|bytes| netduel_protocol::Message::validate(message).map(|()| bytes))
        .map_err(|error| PlayError::CannotSend(error.to_string()))?;
    Ok(sender.send_control(bytes)?)
}
