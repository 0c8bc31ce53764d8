//! Commands of somebody else's programs, made to start without privileges.

use std::process::Command;

use rustix::thread::CapabilitySet;

use crate::{
    kernel::{privileges::Privileges, syscalls},
    user::User,
};

/// Makes `command` run without a privilege, as `user` or as the user of this process.
pub(crate) fn drop_all(command: &mut Command, user: Option<&User>) {
    leave(command, user, CapabilitySet::empty());
}

/// Makes `command` run as `user`, or as the user of this process, with the one capability that a
/// capture of packets takes.
pub(crate) fn leave_capture(command: &mut Command, user: Option<&User>) {
    leave(command, user, CapabilitySet::NET_RAW);
}

fn leave(command: &mut Command, user: Option<&User>, kept: CapabilitySet) {
    if let Some((name, home)) = user.and_then(|user| user.account.as_ref()) {
        command.env("HOME", home).env("USER", name).env("LOGNAME", name);
    }
    syscalls::start_with(command, Privileges::of(user, kept));
}
