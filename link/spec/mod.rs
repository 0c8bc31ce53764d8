//! The request: link specs, the profiles, the command-line syntax and recorded rates.

pub(crate) mod link_spec;
pub(crate) mod parse;
pub(crate) mod profiles;
pub(crate) mod trace;
