//! The system under test of a run: one of Netduel's transports, or a baseline.

use std::{fmt, str::FromStr};

use netduel_transport::TransportKind;
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;

/// The relay that carries the moves between two players. Files and flags have its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// Netduel over this transport.
    Netduel(TransportKind),
    /// A relay other than Netduel's.
    Baseline(Baseline),
}

impl Subject {
    /// Returns the transport, where the subject is Netduel.
    pub fn kind(self) -> Option<TransportKind> {
        match self {
            Self::Netduel(kind) => Some(kind),
            Self::Baseline(_) => None,
        }
    }

    /// Returns the baseline, where the subject is one.
    pub fn baseline(self) -> Option<Baseline> {
        match self {
            Self::Netduel(_) => None,
            Self::Baseline(baseline) => Some(baseline),
        }
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Netduel(kind) => kind.name(),
            Self::Baseline(baseline) => baseline.name(),
        }
    }

    /// Returns a description of one line.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Netduel(kind) => kind.summary(),
            Self::Baseline(baseline) => baseline.summary(),
        }
    }

    /// Whether the messages are encrypted and authenticated on the path.
    pub fn encrypted(self) -> bool {
        match self {
            Self::Netduel(kind) => kind.capabilities().encrypted,
            Self::Baseline(baseline) => baseline.encrypted(),
        }
    }

    /// Whether the wire may drop a move.
    pub fn may_drop(self) -> bool {
        match self {
            Self::Netduel(kind) => kind.capabilities().state_may_drop,
            Self::Baseline(baseline) => baseline.may_drop(),
        }
    }

    /// Returns the bare relay of the subject's wire: the cost without a game, checks or messages.
    /// `None` for a bare relay, and for a wire that has none.
    pub fn bare_relay(self) -> Option<Baseline> {
        match self {
            Self::Baseline(baseline) => baseline.bare_relay(),
            Self::Netduel(kind) => Baseline::for_kind(kind),
        }
    }
}

impl From<TransportKind> for Subject {
    fn from(kind: TransportKind) -> Self {
        Self::Netduel(kind)
    }
}

impl From<Baseline> for Subject {
    fn from(baseline: Baseline) -> Self {
        Self::Baseline(baseline)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.parse() {
            Ok(kind) => Ok(Self::Netduel(kind)),
            Err(_) => name.parse().map(Self::Baseline),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.name().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_wires_measured() {
        let kinds = TransportKind::ALL.map(Subject::Netduel);
        let all: Vec<Subject> = kinds.into_iter().chain(Baseline::ALL.map(Subject::Baseline)).collect();
        for subject in &all {
            assert_eq!(subject.name().parse(), Ok(*subject), "no other is called so");
        }
        assert!(kinds.iter().all(|it| it.bare_relay().is_some_and(|bare| bare.bare_relay().is_none())));
    }
}
