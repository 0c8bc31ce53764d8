//! A check of the self-test and its findings, on every system.

use crate::{error::LinkError, testbed::Testbed};

/// A comparison of a measured value with the spec.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Name of the value.
    pub what: String,
    /// Expected value and its bound.
    pub asked: String,
    /// Measured value.
    pub measured: String,
    /// Whether the value is within the bound.
    pub ok: bool,
}

/// A check of the self-test, on links of its own.
#[derive(Clone, Copy, Debug)]
pub struct SelfTest {
    /// Name of the check.
    pub name: &'static str,
    /// Function that runs the check with about this many packets of each protocol.
    pub run: fn(&Testbed, u32) -> Result<Vec<Finding>, LinkError>,
}
