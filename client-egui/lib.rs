//! The window of Netduel: play, see both players, and watch the transport work.

pub mod app;
pub mod cli;
pub mod model;
pub mod net;
pub mod race;
pub mod screenshot;
pub mod settings;
mod theme;
mod views;
