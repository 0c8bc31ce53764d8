//! Warnings: reasons not to trust a figure.

use crate::data::results::LeftOut;

/// Why a figure is not to be trusted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Warning {
    /// A run did not come to its end.
    #[error("{transport} on {link}, repeat {repeat}, failed: {reason}")]
    Failed {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// Which repeat.
        repeat: u32,
        /// Why.
        reason: String,
    },
    /// A run was thrown away, and run again.
    #[error("{transport} on {link}, repeat {repeat}, was thrown away and run again: {reason}")]
    Rejected {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// Which repeat.
        repeat: u32,
        /// Why.
        reason: String,
    },
    /// No links where they were wanted.
    #[error("no emulated links: {0}")]
    NoLinks(String),
    /// A baseline that cannot run here.
    #[error("left out: {0}")]
    LeftOut(LeftOut),
    /// A link was measured to be other than it was asked to be.
    #[error("the link {link} was not what was asked for: {mismatch}")]
    LinkMismatch {
        /// Which link.
        link: String,
        /// In what.
        mismatch: String,
    },
    /// The harness sent too late for its small delays to mean anything.
    #[error(
        "{transport} on {link}: moves were sent up to {lateness_us} µs late (p99), so delays below that are the harness's own; is the machine busy?"
    )]
    SentLate {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// Lateness at p99 in µs.
        lateness_us: u64,
    },
    /// The server had no time to spare.
    #[error(
        "{transport} on {link}: the server computed for {percent:.0} % of the window, so moves queued inside it; lower --rate or --pairs"
    )]
    Saturated {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// CPU share in percent.
        percent: f64,
    },
    /// Not the congestion control that was asked for.
    #[error("{transport}: asked for {asked}, got {got}; see net.ipv4.tcp_allowed_congestion_control")]
    OtherCongestion {
        /// Over which transport.
        transport: String,
        /// Asked for.
        asked: String,
        /// In effect.
        got: String,
    },
    /// The two sides of a transport were not set alike.
    #[error("{transport}: {setting} was {players} on the players' side and {server} on the server's")]
    SettingsDiffer {
        /// Over which transport.
        transport: String,
        /// What was not alike.
        setting: String,
        /// The players' value.
        players: String,
        /// The server's.
        server: String,
    },
    /// The server put players back who keep to the rules.
    #[error("{transport} on {link}: {count} legal moves were corrected; please report this as a bug")]
    Corrected {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
        /// How many.
        count: u64,
    },
    /// Too few samples for a quantile.
    #[error(
        "{transport} on {link}: too few samples for a p99 in each run; raise --duration, --rate or --pairs"
    )]
    TooFewSamples {
        /// Over which transport.
        transport: String,
        /// On which link.
        link: String,
    },
}
