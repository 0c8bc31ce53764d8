//! The window of Netduel: plays a match or a race, and shows what each transport makes of the
//! moves.
//!
//! [`app`] switches between the screens of `views`. [`net`] is the network thread: nothing on the
//! interface's side blocks on it. [`race`] runs a race in processes of this program. [`model`]
//! holds the pure computations. `netduel_client::stats::live` computes the statistics, not this
//! crate.

pub mod app;
pub mod cli;
pub mod model;
pub mod net;
pub mod race;
pub mod screenshot;
pub mod settings;
mod theme;
mod views;
