//! Everything asked of the Linux kernel: namespaces, TUN devices, processes and raw system calls.

pub(crate) mod namespace;
pub(crate) mod privileges;
pub(crate) mod reaper;
pub(crate) mod syscalls;
pub(crate) mod unprivileged;
