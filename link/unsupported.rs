//! The Linux-only part of the interface on other systems: it says that there is none.
//!
//! Everything here compiles everywhere, so that a program needs no `cfg` of its own; [`Lab::enter`] fails,
//! and so nothing else can be reached.

use std::{
    convert::Infallible,
    env,
    process::{Child, Command},
};

use crate::{LinkError, LinkReport, LinkSpec, Privilege, ProbePlan, ProbeReport, Side};

/// Proof that this process may make links; there is none on this system.
#[derive(Debug)]
pub struct Lab(Infallible);

/// An emulated link; there is none on this system.
#[derive(Debug)]
pub struct Link(Infallible);

impl Lab {
    /// Always [`LinkError::Unavailable`].
    pub fn enter(_privilege: Privilege) -> Result<Self, LinkError> {
        Err(LinkError::Unavailable { system: env::consts::OS })
    }

    /// Cannot be reached.
    pub fn privilege(&self) -> Privilege {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn link(&self, _spec: &LinkSpec, _seed: u64) -> Result<Link, LinkError> {
        match self.0 {}
    }
}

impl Link {
    /// Cannot be reached.
    pub fn spawn(&self, _side: Side, _command: Command) -> Result<Child, LinkError> {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn inside<T: Send>(&self, _side: Side, _work: impl FnOnce() -> T + Send) -> Result<T, LinkError> {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn snapshot(&mut self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn rewind(&mut self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn probe(&mut self, _plan: &ProbePlan) -> Result<ProbeReport, LinkError> {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn spec(&self) -> &LinkSpec {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn finish(self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }
}

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

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct SelfTest {
    /// Its name.
    pub name: &'static str,
    /// Runs it with about so many packets per protocol.
    pub run: fn(&Lab, u32) -> Result<Vec<Finding>, LinkError>,
}

/// No check can be run on this system.
pub const SELF_TESTS: &[SelfTest] = &[];
