//! [`Testbed`]: entered once by a process, with the privilege that it has, to make links.

use std::{fs, io, thread};

use rustix::{
    process::{DumpableBehavior, Gid, Uid, getegid, geteuid, set_dumpable_behavior},
    thread::{CapabilitySet, UnshareFlags, capabilities},
};

use crate::{
    error::LinkError,
    kernel::{namespace, privileges, syscalls},
    spec::link_spec::LinkSpec,
    testbed::handle::{Foreign, Link},
    types::{INTERFACE, Privilege},
    user::User,
};

/// A testbed: proof that this process may make links.
#[derive(Clone, Debug)]
pub struct Testbed {
    privilege: Privilege,
    /// Processor of the emulators of all links; `None` leaves the choice to the scheduler.
    emulator_cpu: Option<usize>,
    /// The user of programs that run without privileges; `None` leaves them with this process's.
    user: Option<User>,
}

impl Testbed {
    /// Enters the testbed. Call it once at the start of `main()`, after [`init`](crate::init) and
    /// before any thread.
    ///
    /// The process of root (by capabilities) does not change. The process of an ordinary user moves
    /// into a user namespace, in which it may do everything with its own network namespaces and
    /// with nothing else. Root that asks for a user namespace becomes the user behind sudo first.
    ///
    /// # Errors
    /// Returns an error with advice if the system refuses a namespace or a TUN device.
    pub fn enter(privilege: Privilege) -> Result<Self, LinkError> {
        let privilege = match privilege {
            Privilege::Root => Privilege::Root,
            Privilege::UserNamespace => enter_user_namespace()?,
            Privilege::Auto if may_make_namespaces() => Privilege::Root,
            Privilege::Auto => enter_user_namespace()?,
        };
        try_namespace()?;
        let user = if privilege == Privilege::Root { User::behind_sudo() } else { None };
        Ok(Self { privilege, emulator_cpu: None, user })
    }

    /// Returns the privilege of the testbed, which is never `Auto`.
    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// Returns the user of programs that run without privileges; `None` if it is that of this
    /// process. At first it is the user behind sudo.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Chooses the user of the programs that run without privileges on all later links.
    ///
    /// # Errors
    /// Returns [`LinkError::NotRoot`] if this process may not choose.
    pub fn run_as(&mut self, user: User) -> Result<(), LinkError> {
        if self.privilege != Privilege::Root {
            return Err(LinkError::NotRoot);
        }
        self.user = Some(user);
        Ok(())
    }

    /// Binds the emulators of all later links to one processor; `None` leaves the choice to the
    /// scheduler.
    ///
    /// An emulator that runs on the processor of the programs behind it interrupts them, and one
    /// that runs elsewhere wakes them from afar. CPU times differ by a factor of two between the
    /// two, so a comparison must not leave the choice to chance.
    pub fn bind_emulators(&mut self, cpu: Option<usize>) {
        self.emulator_cpu = cpu;
    }

    /// Makes a link. The same seed gives the same schedule of bad periods, losses and jitter,
    /// whatever the traffic.
    ///
    /// # Errors
    /// Returns an error if the spec is invalid or the system refuses a step.
    pub fn link(&self, spec: &LinkSpec, seed: u64) -> Result<Link, LinkError> {
        let foreign = Foreign { user: self.user.clone(), as_root: self.privilege == Privilege::Root };
        Link::create(spec, seed, self.emulator_cpu, foreign)
    }
}

fn may_make_namespaces() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    capabilities(None).is_ok_and(|own| own.effective.contains(needed))
}

/// Makes and drops a namespace with a TUN interface, which tells whether the system allows them.
fn try_namespace() -> Result<(), LinkError> {
    let attempt = thread::spawn(|| {
        syscalls::unshare(UnshareFlags::NEWNET)
            .map_err(|cause| LinkError::NoNamespace { cause, advice: advice() })?;
        namespace::open_tun(INTERFACE).map(drop)
    });
    attempt.join().expect("the thread above does not panic")
}

fn enter_user_namespace() -> Result<Privilege, LinkError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(LinkError::ThreadsRunning { threads });
    }
    let enter = || -> io::Result<()> {
        if let Some(user) = User::behind_sudo().filter(|_| geteuid().is_root()) {
            privileges::become_user(Uid::from_raw(user.uid), Gid::from_raw(user.gid))?;
            // The kernel hides a process that was root from its new user, and its own files in
            // /proc from itself.
            set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        }
        // The ids are read before: in the namespace every id is "nobody" until the maps are
        // written.
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        syscalls::unshare(UnshareFlags::NEWUSER)?;
        // An ordinary user may map a group only after giving up setgroups (user_namespaces(7)).
        fs::write("/proc/self/setgroups", "deny")?;
        // Programs see the user that they run as, as outside. This process has its capabilities
        // whatever its number.
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
    };
    enter().map_err(|cause| LinkError::NoNamespace { cause, advice: advice() })?;
    Ok(Privilege::UserNamespace)
}

/// Returns the advice for this system when it refuses namespaces.
fn advice() -> &'static str {
    let reads = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "This system (Ubuntu 23.10 or later) does not give user namespaces to ordinary users: run with sudo, or \
         allow them with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "This system does not give user namespaces to ordinary users: run with sudo, or allow them with \
         `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
    } else if reads("/proc/sys/user/max_user_namespaces", "0") {
        "This system allows no user namespaces: run with sudo, or allow them with \
         `sudo sysctl -w user.max_user_namespaces=10000`"
    } else {
        "Run with sudo; in a container, add `--cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun`, \
         and `--security-opt seccomp=unconfined` if that is not enough"
    }
}
