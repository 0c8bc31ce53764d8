//! The subcommands of `netduel-link`, one module each.

pub(crate) mod list;
pub(crate) mod probe;
pub(crate) mod run;
pub(crate) mod selftest;
