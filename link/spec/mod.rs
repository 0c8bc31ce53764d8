//! The request: link specs, the profiles, the command-line syntax and recordings.

pub(crate) mod link_spec;
pub(crate) mod loss;
pub(crate) mod parse;
pub(crate) mod path_trace;
pub(crate) mod profiles;
pub(crate) mod spec_error;
pub(crate) mod trace;
