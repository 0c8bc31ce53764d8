//! A headless player, and its statistics: the base of the bots, the benches, the reports and the
//! window.
//!
//! Call [`Player::connect`] first, then [`Player::join`]. From then on one task polls
//! [`Player::next_event`] and sends moves. [`Player::steer`] moves by the rules and predicts the
//! player's own position; a correction of the server replaces the prediction. The statistics are
//! pure and live in [`stats`].
//!
//! A connection that is lost in a match is no error: the player reconnects and resumes its seat by
//! itself, and reports [`Event::Reconnecting`] and [`Event::Resumed`].

pub mod back_off;
pub mod bot_path;
pub mod cli;
mod config;
mod connect;
mod error;
mod event;
pub mod match_code;
mod player;
mod reconnect;
pub mod recording;
pub mod stats;
pub mod ticker;

pub use config::PlayerConfig;
pub use error::PlayError;
pub use event::Event;
pub use player::{Match, Player};
