//! The protocol between the processes of a race: a plan on the command line, then orders and
//! reports as lines of JSON.

use std::{net::SocketAddr, str::FromStr};

use netduel_client::stats::live::Recent;
use netduel_protocol::game::{Heading, Position};
use netduel_transport::TransportKind;
use serde::{Deserialize, Serialize};

/// The plan of a race.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The transports that race.
    pub kinds: Vec<TransportKind>,
    /// The name of the link profile; `None` for the loopback.
    pub link: Option<String>,
    /// The seed of the link's random decisions.
    pub seed: u64,
    /// The initial number of moves per second.
    pub rate_hz: u32,
    /// The server's address for each of `kinds`; empty until the server listens.
    pub addresses: Vec<SocketAddr>,
    /// The fingerprint of the server's key.
    pub pin: String,
}

impl FromStr for Plan {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// An order of the window to the players. The newest replaces the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The heading, each axis from −1 to 1; `None` lets the script steer.
    pub heading: Option<(f32, f32)>,
    /// The number of moves per second.
    pub rate_hz: u32,
}

impl Order {
    /// Returns the heading, if a person steers.
    pub(crate) fn heading(&self) -> Option<Heading> {
        self.heading.map(|(x, y)| Heading { x, y })
    }
}

/// A report to the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// All players are connected and matched; the race starts.
    Started,
    /// The positions of all players; sixty times a second.
    Frame(Frame),
    /// The figures of all contenders; ten times a second.
    Figures(Vec<ContenderFigures>),
    /// The reasons to reject the last half minute on this link; empty if it is valid. Once a
    /// second.
    Link(Vec<String>),
    /// The race failed; the reason.
    Failed(String),
}

/// The positions of all players at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The time since the start of the race, in µs.
    pub at_us: u64,
    /// The true position of the mover.
    pub truth: (f32, f32),
    /// The mover as each contender's watcher sees it, in the order of the plan.
    pub contenders: Vec<ContenderFrame>,
}

/// The mover as one contender's watcher sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContenderFrame {
    /// The newest known position.
    pub position: (f32, f32),
    /// The age of the position, in µs; `None` before the first move.
    pub age_us: Option<u64>,
}

/// The figures of one contender.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContenderFigures {
    /// The age over the last five seconds.
    pub age: Recent,
    /// The mean age since the start of the race, in µs. A comparison reports the same figure.
    pub age_mean_us: Option<f64>,
    /// The 99th percentile of the age since the start of the race, in µs.
    pub age_p99_us: Option<u64>,
    /// The number of freezes since the start of the race.
    pub freezes: u64,
    /// The share of missing moves, in percent.
    pub missing_percent: Option<f64>,
    /// The receive rate, in bytes per second.
    pub received_bytes_per_s: Option<f64>,
    /// The age over the last half minute as points (s, ms). It forms a sawtooth.
    pub trace: Vec<[f64; 2]>,
    /// The end time of the trace, in s.
    pub now_s: f64,
}

/// Converts a pair to a position.
pub(crate) fn position((x, y): (f32, f32)) -> Position {
    Position { x, y }
}
