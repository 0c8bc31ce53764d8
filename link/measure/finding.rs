//! One check of the self-test and its findings, on every system.

use crate::{error::LinkError, testbed::Testbed};

/// One comparison of what was asked with what was measured.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was compared.
    pub what: String,
    /// What it should be, and its bound.
    pub asked: String,
    /// What it was.
    pub measured: String,
    /// Within the bound.
    pub ok: bool,
}

/// One check: some findings on links of its own.
#[derive(Clone, Copy, Debug)]
pub struct SelfTest {
    /// Its name.
    pub name: &'static str,
    /// Runs it with about so many packets per protocol.
    pub run: fn(&Testbed, u32) -> Result<Vec<Finding>, LinkError>,
}
