//! The race: processes that play the same moves over several transports at once.

pub(crate) mod link;
pub mod players;
pub(crate) mod process;
pub mod protocol;
pub(crate) mod stalls;
pub mod testbed;
