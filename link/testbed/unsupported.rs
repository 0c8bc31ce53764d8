//! Stand-ins for the Linux-only types on other systems: [`Testbed::enter`] returns an error.
//!
//! The stand-ins let a program compile on every system without a `cfg`. No value of these types
//! exists, so no other method can be called.

use std::{
    convert::Infallible,
    env,
    net::IpAddr,
    process::{Child, Command},
};

use crate::{
    emulator::report::LinkReport,
    error::LinkError,
    spec::link_spec::LinkSpec,
    types::{Player, Privilege, Side},
    user::User,
};

/// A testbed, of which none exists on this system.
#[derive(Clone, Debug)]
pub struct Testbed(Infallible);

/// An emulated link, of which none exists on this system.
#[derive(Debug)]
pub struct Link(pub(crate) Infallible);

impl Testbed {
    /// Returns [`LinkError::Unavailable`].
    pub fn enter(_privilege: Privilege) -> Result<Self, LinkError> {
        Err(LinkError::Unavailable { system: env::consts::OS })
    }

    /// Returns never: this system has no [`Testbed`] to call it on.
    pub fn privilege(&self) -> Privilege {
        match self.0 {}
    }

    /// Returns never: this system has no [`Testbed`] to call it on.
    pub fn user(&self) -> Option<&User> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Testbed`] to call it on.
    pub fn run_as(&mut self, _user: User) -> Result<(), LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Testbed`] to call it on.
    pub fn bind_emulators(&mut self, _cpu: Option<usize>) {
        match self.0 {}
    }

    /// Returns never: this system has no [`Testbed`] to call it on.
    pub fn link(&self, _spec: &LinkSpec, _seed: u64) -> Result<Link, LinkError> {
        match self.0 {}
    }
}

impl Link {
    /// Returns never: this system has no [`Link`] to call it on.
    pub fn spawn(&self, _side: Side, _command: Command) -> Result<Child, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn spawn_unprivileged(&self, _side: Side, _command: Command) -> Result<Child, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn spawn_capture(&self, _side: Side, _command: Command) -> Result<Child, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn inside<T: Send>(&self, _side: Side, _work: impl FnOnce() -> T + Send) -> Result<T, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn snapshot(&mut self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn ip(&self, _side: Side, _player: Player) -> IpAddr {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn rewind_at(&mut self, _monotonic_ns: u64) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn rewind(&mut self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn spec(&self) -> &LinkSpec {
        match self.0 {}
    }

    /// Returns never: this system has no [`Link`] to call it on.
    pub fn finish(self) -> Result<LinkReport, LinkError> {
        match self.0 {}
    }
}
