//! The race: processes that play the same moves over several transports at once.

pub mod lab;
pub(crate) mod link;
pub mod players;
pub(crate) mod process;
pub mod protocol;
pub(crate) mod stalls;
