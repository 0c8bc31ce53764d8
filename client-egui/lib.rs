//! x
pub mod embedded; pub mod motion; pub mod network; mod session; mod table;
