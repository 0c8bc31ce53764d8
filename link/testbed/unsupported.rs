//! The Linux-only part of the interface on other systems: it says that there is none.
//!
//! Everything here compiles everywhere, so that a program needs no `cfg` of its own; [`Testbed::enter`] fails,
//! and so nothing else can be reached.

use std::{
    convert::Infallible,
    env,
    process::{Child, Command},
};

use crate::{
    emulator::report::LinkReport,
    error::LinkError,
    spec::link_spec::LinkSpec,
    types::{Privilege, Side},
};

/// Proof that this process may make links; there is none on this system.
#[derive(Debug)]
pub struct Testbed(Infallible);

/// An emulated link; there is none on this system.
#[derive(Debug)]
pub struct Link(pub(crate) Infallible);

impl Testbed {
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
    pub fn spec(&self) -> &LinkSpec {
        match self.0 {}
    }

    /// Cannot be reached.
    pub fn finish(self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }
}
