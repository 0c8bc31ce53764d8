//! The load generator: headless players in a process apart, driven by a plan, and the means to start, bind and account
//! such processes. It knows no results and no reports.
//!
//! `plan.rs` is what a load is to do, `event.rs` what it says meanwhile, `result.rs` what it measured. `load.rs` carries a
//! plan out: with players that move (`load_player.rs`) or that come and go (`connect_load.rs`).

pub mod affinity;
mod baseline;
mod connect_load;
pub mod descriptors;
mod event;
mod join;
mod load;
mod load_player;
mod plan;
mod process;
mod quantiles;
mod result;
mod subject;

pub use baseline::Baseline;
pub use event::LoadEvent;
pub use join::join_match;
pub use load::{run, run_with};
pub use load_player::{LoadPlayer, MoveCounts, PlayerEvent};
pub use plan::{LoadPlan, Trusted, Workload};
pub use process::{Process, Usage, this_program};
pub use quantiles::Quantiles;
pub use result::{Connects, LoadResult};
pub use subject::Subject;
