//! What a report says first: the verdict in words and the map of who wins where. Plain data, for whoever judges to fill
//! in and for `html.rs` to draw.

use netduel_transport::TransportKind;

/// What is shown first: who wins, in words and on a map. Empty where nobody judged; then the page has no such section.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// One thought each, in plain words.
    pub paragraphs: Vec<String>,
    /// Transports by links.
    pub win_map: Option<WinMap>,
}

impl Verdict {
    /// Nobody judged.
    pub fn is_empty(&self) -> bool {
        self.paragraphs.is_empty() && self.win_map.is_none()
    }
}

/// Who wins where.
#[derive(Clone, Debug)]
pub struct WinMap {
    /// Headings of the columns, such as links.
    pub columns: Vec<String>,
    /// A transport, and what it is in each column.
    pub rows: Vec<(TransportKind, Vec<WinCell>)>,
}

/// One cell of a [`WinMap`].
#[derive(Clone, Debug)]
pub struct WinCell {
    /// How it went.
    pub outcome: Outcome,
    /// By how much, as `+38 ms`.
    pub text: String,
}

/// How a transport does against the best of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Better, beyond noise.
    Win,
    /// No detectable difference.
    Tie,
    /// Worse, beyond noise.
    Lose,
    /// Nobody can tell.
    Unknown,
}

impl Outcome {
    /// The word for it, which is also its class in the style sheet.
    pub fn name(self) -> &'static str {
        match self {
            Self::Win => "win",
            Self::Tie => "tie",
            Self::Lose => "lose",
            Self::Unknown => "unknown",
        }
    }
}
