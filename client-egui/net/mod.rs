//! The network thread: connection, queue, match and the local server.

pub mod backend;
pub mod local_server;
mod match_loop;
pub mod messages;
mod session;
