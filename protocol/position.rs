//! A position in the arena.

use bincode::{Decode, Encode};

/// A player's upper left corner, in units from the arena's. Legal from 0 to
/// [`ARENA`](crate::game::ARENA) − [`PLAYER`](crate::game::PLAYER) on each axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Position {
    /// The distance from the left, in units.
    pub x: f32,
    /// The distance from the top, in units.
    pub y: f32,
}
