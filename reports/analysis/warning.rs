//! Warnings: reasons not to trust a figure.

use crate::data::results::LeftOut;

/// A warning: a reason not to trust a figure.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Warning {
    /// A run did not come to its end.
    #[error("{transport} on {link}, repeat {repeat}, failed: {reason}")]
    Failed {
        /// The transport.
        transport: String,
        /// The link.
        link: String,
        /// The repeat.
        repeat: u32,
        /// The reason.
        reason: String,
    },
    /// A run was discarded and repeated.
    #[error("{transport} on {link}, repeat {repeat}, was discarded and repeated: {reason}")]
    Rejected {
        /// The transport.
        transport: String,
        /// The link.
        link: String,
        /// The repeat.
        repeat: u32,
        /// The reason.
        reason: String,
    },
    /// Emulated links were planned and are not available.
    #[error("no emulated links: {0}")]
    NoLinks(String),
    /// A baseline cannot run here.
    #[error("left out: {0}")]
    LeftOut(LeftOut),
    /// A link measured differently from its specification.
    #[error("the link {link} differs from its specification: {mismatch}")]
    LinkMismatch {
        /// The link.
        link: String,
        /// The difference.
        mismatch: String,
    },
    /// The harness sent too late for its small delays to be meaningful.
    #[error(
        "{transport} on {link}: the harness sent moves up to {lateness_us} µs late (p99), so \
         delays below that are not reliable; leave the machine idle and run again"
    )]
    SentLate {
        /// The transport.
        transport: String,
        /// The link.
        link: String,
        /// The lateness at p99, in µs.
        lateness_us: u64,
    },
    /// The server was saturated.
    #[error(
        "{transport} on {link}: the server computed for {percent:.0} % of the window, so moves \
         queued inside it; lower --rate or --pairs"
    )]
    Saturated {
        /// The transport.
        transport: String,
        /// The link.
        link: String,
        /// The CPU share in percent.
        percent: f64,
    },
    /// Another congestion control than the requested one was in effect.
    #[error(
        "{transport}: {asked} was requested and {got} was in effect; see net.ipv4.tcp_allowed_congestion_control"
    )]
    OtherCongestion {
        /// The transport.
        transport: String,
        /// The requested congestion control.
        asked: String,
        /// The congestion control in effect.
        got: String,
    },
    /// The two sides of a transport had different settings.
    #[error("{transport}: {setting} was {players} on the players' side and {server} on the server's")]
    SettingsDiffer {
        /// The transport.
        transport: String,
        /// The setting.
        setting: String,
        /// The players' value.
        players: String,
        /// The server's value.
        server: String,
    },
    /// The server corrected legal moves.
    #[error("{transport} on {link}: the server corrected {count} legal moves; please report this as a bug")]
    Corrected {
        /// The transport.
        transport: String,
        /// The link.
        link: String,
        /// The number of corrected moves.
        count: u64,
    },
    /// A quantile has too few samples.
    #[error(
        "{transport} on {link}: too few samples for a p99 in each run; raise --duration, --rate or --pairs"
    )]
    TooFewSamples {
        /// The transport.
        transport: String,
        /// The link.
        link: String,
    },
}
