//! The privileges of a program of somebody else's: none, or one capability.

use std::io;

use rustix::{
    io::Errno,
    process::{Gid, Uid},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, configure_capability_in_ambient_set,
        remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::user::User;

/// The privileges that a program is left with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Privileges {
    user: Option<(Uid, Gid)>,
    kept: CapabilitySet,
}

impl Privileges {
    /// Returns those of `user`, or of the user of this process, with these capabilities.
    pub(crate) fn of(user: Option<&User>, kept: CapabilitySet) -> Self {
        let user = user.map(|user| (Uid::from_raw(user.uid), Gid::from_raw(user.gid)));
        Self { user, kept }
    }

    /// Gives up all other privileges of the calling thread, for good. Runs between fork and exec:
    /// it makes system calls alone, and allocates nothing.
    pub(crate) fn take_on(self) -> io::Result<()> {
        let Self { user, kept } = self;
        self.bound()?;
        if let Some((uid, gid)) = user {
            set_keep_capabilities(!kept.is_empty())?;
            become_user(uid, gid)?;
        }
        // Ambient capabilities are those that a program keeps which has no privileges of its own.
        clear_ambient_capability_set()?;
        set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: kept })?;
        if !kept.is_empty() {
            configure_capability_in_ambient_set(kept, true)?;
        }
        // From here no program file gives privileges back: no setuid bit, no file capability, and
        // no root.
        Ok(set_no_new_privs(true)?)
    }

    /// Empties the bounding set but for what is kept.
    fn bound(self) -> io::Result<()> {
        let all = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
        for capability in all.filter(|it| !self.kept.contains(*it)) {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // The kernel has no more capabilities than these.
                Err(Errno::INVAL) => break,
                // A process without the right to change the set has none to lose by it.
                Err(Errno::PERM) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Makes the calling thread one of this user, without further groups.
pub(crate) fn become_user(uid: Uid, gid: Gid) -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}
