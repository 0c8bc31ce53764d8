//! The compared subject: a transport with its settings, or a baseline.

use std::{fmt, time::Duration};

use netduel_loadgen::Subject;
use netduel_server::RelayPolicy;
use netduel_transport::{Congestion, CongestionControl, Options, Socket, TransportKind};
use serde::{Deserialize, Serialize};

/// A transport with its settings, or a baseline, which has no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contender {
    /// The transport of all players.
    pub transport: Subject,
    /// The recipients of a move.
    pub relay: RelayPolicy,
    /// The requested congestion control.
    pub congestion: Congestion,
    /// Whether Nagle's algorithm stays on (TCP only).
    pub nagle: bool,
    /// Whether TLS sessions are resumed, for transports with TLS.
    pub resumption: bool,
    /// Whether TCP's timers are tuned for small updates (TCP and TLS only).
    pub tuned: bool,
    /// The packets after which QUIC acknowledges; `None` for our default (QUIC only).
    pub ack_packets: Option<u32>,
    /// Whether the server relays only the newest move of a burst.
    pub newest_of_burst: bool,
    /// The time without an acknowledgement after which ENet pings, in ms; `None` for ENet's own
    /// default (ENet only).
    pub enet_ping_ms: Option<u32>,
    /// Whether the server sends a certificate chain of realistic size, for transports with TLS.
    pub long_chain: bool,
}

/// The suffix of a transport's name if its timers are tuned.
pub const TUNED_SUFFIX: &str = "-tuned";

impl Contender {
    /// Returns the contender with the default settings, with which all others are compared.
    pub fn plain(transport: impl Into<Subject>) -> Self {
        let transport = transport.into();
        let (relay, congestion) = (RelayPolicy::default(), Congestion::default());
        Self {
            transport,
            relay,
            congestion,
            nagle: false,
            resumption: false,
            tuned: false,
            ack_packets: None,
            newest_of_burst: false,
            enet_ping_ms: None,
            long_chain: false,
        }
    }

    /// Returns the transport options of these settings.
    pub fn options(&self) -> Options {
        let Self { congestion, nagle, resumption, tuned, ack_packets, enet_ping_ms, .. } = *self;
        let defaults = Options::default();
        Options {
            protocol: netduel_protocol::NAME.into(),
            congestion,
            nodelay: !nagle,
            resumption,
            tcp_tuned: tuned,
            ack_packets: ack_packets.unwrap_or(defaults.ack_packets),
            enet_ping: enet_ping_ms.map_or(defaults.enet_ping, |ms| Duration::from_millis(ms.into())),
            ..defaults
        }
    }

    /// Whether the two share a standing: the same transport, and the same choice of timers. A tuned
    /// TCP competes as a transport of its own. Other settings are compared within their standing.
    pub fn same_standing(&self, other: &Self) -> bool {
        (self.transport, self.tuned) == (other.transport, other.tuned)
    }

    /// Returns the standing's contender with the default settings.
    pub fn standing(&self) -> Self {
        Self { tuned: self.tuned, ..Self::plain(self.transport) }
    }

    /// Whether all settings are the defaults of the contender's standing.
    pub fn is_plain(&self) -> bool {
        *self == self.standing()
    }

    /// Returns the contender without the settings that do nothing on its transport.
    #[must_use]
    pub fn settled(self) -> Self {
        let plain = Self::plain(self.transport);
        let Some(kind) = self.transport.kind() else { return plain };
        let capabilities = kind.capabilities();
        let tcp = kind.socket() == Socket::Tcp;
        let as_asked = capabilities.congestion == CongestionControl::AsAsked;
        let defaults = Options::default();
        let stock_ping_ms = defaults.enet_ping.as_millis();
        Self {
            congestion: if as_asked { self.congestion } else { plain.congestion },
            nagle: self.nagle && tcp,
            resumption: self.resumption && capabilities.encrypted,
            tuned: self.tuned && tcp,
            ack_packets: self.ack_packets.filter(|packets| is_quic(kind) && *packets != defaults.ack_packets),
            enet_ping_ms: (self.enet_ping_ms)
                .filter(|ms| kind == TransportKind::Enet && u128::from(*ms) != stock_ping_ms),
            // A resumed session sends no certificate.
            long_chain: self.long_chain && capabilities.encrypted && !self.resumption,
            ..self
        }
    }

    /// Returns the settings that differ from the defaults of the standing.
    fn settings(&self) -> Vec<String> {
        let plain = Self::plain(self.transport);
        let settings = [
            (self.relay != plain.relay).then(|| self.relay.to_string()),
            (self.congestion != plain.congestion).then(|| self.congestion.to_string()),
            self.nagle.then(|| "nagle".into()),
            self.resumption.then(|| "resumed".into()),
            self.ack_packets.map(|packets| format!("ack{packets}")),
            self.newest_of_burst.then(|| "newest".into()),
            self.enet_ping_ms.map(|ms| format!("ping{ms}")),
            self.long_chain.then(|| "chain".into()),
        ];
        settings.into_iter().flatten().collect()
    }
}

/// Writes the standing and its other settings: "tcp", "tcp-tuned", "tcp +nagle", "quic-stream
/// +bbr".
impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.tuned { TUNED_SUFFIX } else { "" };
        write!(f, "{}{suffix}", self.transport)?;
        self.settings().iter().try_for_each(|setting| write!(f, " +{setting}"))
    }
}

/// Returns every contender with each value of a setting.
pub(crate) fn with_each<T: Copy>(
    contenders: &[Contender],
    values: &[T],
    set: impl Fn(&mut Contender, T),
) -> Vec<Contender> {
    let with = |contender: &Contender, value: T| {
        let mut contender = *contender;
        set(&mut contender, value);
        contender
    };
    contenders.iter().flat_map(|it| values.iter().map(|value| with(it, *value)).collect::<Vec<_>>()).collect()
}

/// Returns the contenders without the settings that do nothing. One that thereby repeats another
/// is left out.
pub(crate) fn settled(contenders: &[Contender]) -> Vec<Contender> {
    let mut all: Vec<Contender> = Vec::new();
    for &contender in contenders {
        let settled = contender.settled();
        let repeats_another =
            settled != contender && (contenders.contains(&settled) || all.contains(&settled));
        if !repeats_another {
            all.push(settled);
        }
    }
    all
}

/// Whether the transport is one of QUIC's.
fn is_quic(kind: TransportKind) -> bool {
    matches!(kind, TransportKind::QuicStream | TransportKind::QuicUni | TransportKind::QuicDatagram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_settings_without_effect() {
        let all = [TransportKind::Tcp, TransportKind::QuicStream, TransportKind::Udp].map(Contender::plain);
        let varied = with_each(&all, &[false, true], |it, tuned| it.tuned = tuned);
        let varied = with_each(&varied, &[Some(2), Some(10)], |it, packets| it.ack_packets = packets);
        let names: Vec<String> = settled(&varied).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["tcp", "tcp-tuned", "quic-stream +ack2", "quic-stream", "udp"]);
    }

    #[test]
    fn keeps_contenders_given_twice() {
        let twice =
            with_each(&[Contender::plain(TransportKind::Tcp)], &[false, false], |it, on| it.nagle = on);
        assert_eq!(settled(&twice).len(), 2, "the check of the flags finds them");
    }
}
