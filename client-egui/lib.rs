//! The window of Netduel: play, see both players, and watch the transport work.
//!
//! `app.rs` is the window and knows the screens: `start_view.rs`, `game_view.rs`, `race_view.rs`. `network.rs` is the
//! interface's end of the network thread, which is `session.rs` and `table.rs`; nothing on the interface's side waits.
//! `embedded.rs` is a server and a bot of our own. `motion.rs` says what is drawn where. A race runs in processes of its
//! own: `race.rs` holds them, `race_lab.rs` makes the link, `race_link.rs` says whether it was late, `race_players.rs`
//! plays, `race_feed.rs` is what they say.
//! No statistics are computed here: that is `client/stats/live.rs`.

pub mod app;
mod arena;
pub mod embedded;
mod figures_view;
pub mod flags;
mod game_view;
pub mod grade;
pub mod motion;
pub mod network;
mod path_view;
mod phase_view;
mod plots;
mod race;
pub mod race_feed;
pub mod race_lab;
mod race_link;
pub mod race_players;
mod race_stalls;
mod race_view;
mod recording;
pub mod screenshot;
mod session;
pub mod settings;
mod start_view;
mod table;
mod theme;
