//! The load generator: headless players in a process of their own, driven by a plan. It also starts
//! such processes, binds them to processors and accounts for their CPU and memory. It knows no
//! results and no reports.
//!
//! `plan.rs` is what a load must do and when, `event.rs` its progress, `result.rs` its
//! measurements. `load.rs` carries out a plan, window by window (`window.rs`): with players that
//! move (`load_player.rs`), or with players that connect and leave again (`connect_load.rs`).
//! `moves.rs` keeps a row for each move on request.

pub mod affinity;
mod baseline;
mod connect_load;
mod event;
mod join;
mod load;
mod load_player;
mod moves;
mod plan;
mod process;
mod quantiles;
mod result;
mod subject;
mod window;

pub use affinity::Lane;
pub use baseline::Baseline;
pub use event::LoadEvent;
pub use join::join_match;
pub use load::{run, run_with};
pub use load_player::{LoadPlayer, MoveCounts, PlayerEvent, Sent};
pub use moves::{Fate, MOVES_KEPT_MAX, MoveRow, Moves};
pub use plan::{LoadPlan, Trusted, WindowPlan, Workload};
pub use process::{Process, Usage, this_program};
pub use quantiles::Quantiles;
pub use result::{ConnectBlock, Connects, LoadResult, PlayerFigures};
pub use subject::Subject;
