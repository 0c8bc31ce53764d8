//! What the processes of a race say to each other: a plan on the command line, orders and reports as lines of JSON.

use std::{net::SocketAddr, str::FromStr};

use netduel_client::stats::live::Recent;
use netduel_protocol::game::{Heading, Position};
use netduel_transport::TransportKind;
use serde::{Deserialize, Serialize};

/// What to race.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Over what.
    pub kinds: Vec<TransportKind>,
    /// Name of the link's profile; `None` for the loopback.
    pub link: Option<String>,
    /// Decides what the link does.
    pub seed: u64,
    /// Moves a second at first.
    pub rate_hz: u32,
    /// Where the server listens, for each of `kinds`; empty until it does.
    pub addresses: Vec<SocketAddr>,
    /// The fingerprint of its certificate.
    pub pin: String,
}

impl FromStr for Plan {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// To the players. The newest counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Where to steer, each axis from −1 to 1; `None` lets the script steer.
    pub heading: Option<(f32, f32)>,
    /// Moves a second.
    pub rate_hz: u32,
}

impl Order {
    /// The heading, if a person steers.
    pub(crate) fn heading(&self) -> Option<Heading> {
        self.heading.map(|(x, y)| Heading { x, y })
    }
}

/// From the players, and of the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Everybody is connected and paired; the race is on.
    Started,
    /// Where everybody is; sixty times a second.
    Frame(Frame),
    /// Figures; ten times a second.
    Figures(Vec<LaneFigures>),
    /// Why the last half minute on this link is not to be believed; empty if it is. Once a second.
    Link(Vec<String>),
    /// It cannot go on, and why.
    Failed(String),
}

/// Where everybody is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Since the race began, in µs.
    pub at_us: u64,
    /// Where the mover is.
    pub truth: (f32, f32),
    /// What its opponent sees over each transport, in the order of the plan.
    pub lanes: Vec<LaneFrame>,
}

/// What an opponent sees over one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneFrame {
    /// The newest position known.
    pub position: (f32, f32),
    /// How old it is, in µs; `None` before the first.
    pub age_us: Option<u64>,
}

/// Figures of one transport.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneFigures {
    /// The age over the last five seconds.
    pub age: Recent,
    /// The mean age since the race began, in µs: what a comparison shows, too.
    pub age_mean_us: Option<f64>,
    /// The 99th percentile of it.
    pub age_p99_us: Option<u64>,
    /// Freezes since then.
    pub freezes: u64,
    /// Moves that never came, in percent.
    pub missing_percent: Option<f64>,
    /// What was received a second, in bytes.
    pub received_bytes_per_s: Option<f64>,
    /// The age over the last half minute: a sawtooth (s, ms).
    pub trace: Vec<[f64; 2]>,
    /// The time that the trace ends at, in s.
    pub now_s: f64,
}

/// A pair as a position.
pub(crate) fn position((x, y): (f32, f32)) -> Position {
    Position { x, y }
}
