//! The screens of the window and the parts that they are made of.

pub(crate) mod arena;
pub(crate) mod figures;
pub(crate) mod game;
pub(crate) mod path;
pub(crate) mod phase;
pub(crate) mod plots;
pub(crate) mod race;
pub(crate) mod start;
