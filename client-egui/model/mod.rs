//! Pure models of what the window shows: positions between updates, grades of figures, and
//! recordings.

pub mod interpolation;
pub(crate) mod recording;
pub mod thresholds;
