//! [`Link`]: the handle of a link, which starts programs at its ends and queries its emulator.

use std::{
    fmt,
    net::IpAddr,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    emulator::{
        ipc::{self, Reply, Request},
        process::MARKER,
        report::LinkReport,
    },
    error::LinkError,
    kernel::{
        namespace::{Namespace, NamespaceId},
        reaper, syscalls, unprivileged,
    },
    spec::link_spec::LinkSpec,
    types::{Player, Side},
    user::User,
};

/// The longest wait for an answer of the emulator. The emulator answers between two packets; only
/// the longest trace takes time to load.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The seed of the second player's link, by its distance from that of the first: 2⁶⁴ divided by the
/// golden ratio, which keeps the seeds of neighbouring repeats apart.
const SEED_DISTANCE: u64 = 0x9e37_79b9_7f4a_7c15;

/// An emulated link between two network namespaces, or one for each player of a match between the
/// same two namespaces.
///
/// Its end, by [`finish`](Self::finish), by a drop or by any death of this process, kills every
/// process in the two namespaces, and the kernel removes the namespaces.
pub struct Link {
    first: Leg,
    second: Option<Leg>,
    sides: [Namespace; 2],
    ids: [NamespaceId; 2],
    foreign: Foreign,
}

/// The user of the programs that run without privileges.
pub(crate) struct Foreign {
    /// The user; `None` is that of this process.
    pub(crate) user: Option<User>,
    /// Whether this process is root, and may choose.
    pub(crate) as_root: bool,
}

/// A link with its emulator.
struct Leg {
    player: Player,
    emulator: Child,
    control: UnixStream,
    spec: LinkSpec,
    /// Packets that the devices had dropped when the schedule started, at the server's and the
    /// client's end.
    dropped_before: [u64; 2],
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("emulator", &self.first.emulator.id()).field("ids", &self.ids).finish()
    }
}

impl Link {
    pub(crate) fn create(
        spec: &LinkSpec,
        seed: u64,
        cpu: Option<usize>,
        foreign: Foreign,
    ) -> Result<Self, LinkError> {
        spec.validate()?;
        let sides = [Namespace::create(spec.ipv6)?, Namespace::create(spec.ipv6)?];
        let identify = |side: &Namespace| side.id().map_err(LinkError::system("identify a namespace"));
        let ids = [identify(&sides[0])?, identify(&sides[1])?];
        let first = Leg::start(Player::First, spec, &sides, seed, cpu, ids)?;
        let mut link = Self { first, second: None, sides, ids, foreign };
        if let Some(spec) = &spec.second {
            let seed = seed.wrapping_add(SEED_DISTANCE);
            link.second = Some(Leg::start(Player::Second, spec, &link.sides, seed, cpu, ids)?);
        }
        Ok(link)
    }

    /// Starts a program at one end, where its address is [`Link::ip`], with the privileges of this
    /// process. For programs of the caller's own.
    ///
    /// The caller waits for the program. A program that still runs when the link ends is killed.
    ///
    /// # Errors
    /// Returns [`LinkError::Spawn`] if the program does not start.
    pub fn spawn(&self, side: Side, mut command: Command) -> Result<Child, LinkError> {
        self.enter(side, &mut command)?;
        start(command)
    }

    /// Starts a program as [`Link::spawn`] does, but without privileges: as the user of
    /// [`Testbed::user`](crate::Testbed::user), with no capability, and with no way to get one. For
    /// programs of other people.
    ///
    /// # Errors
    /// Those of [`Link::spawn`].
    pub fn spawn_unprivileged(&self, side: Side, mut command: Command) -> Result<Child, LinkError> {
        self.enter(side, &mut command)?;
        unprivileged::drop_all(&mut command, self.foreign.user.as_ref());
        start(command)
    }

    /// Starts a program as [`Link::spawn_unprivileged`] does, but for the right to read all packets
    /// of its end. If this process is root, the program runs as a user that owns no files, unless
    /// there is another.
    ///
    /// # Errors
    /// Those of [`Link::spawn`].
    pub fn spawn_capture(&self, side: Side, mut command: Command) -> Result<Child, LinkError> {
        self.enter(side, &mut command)?;
        let nobody = self.foreign.as_root.then(User::nobody);
        unprivileged::leave_capture(&mut command, self.foreign.user.as_ref().or(nobody.as_ref()));
        start(command)
    }

    /// Makes a program start at one end. What else it is told to do comes after.
    fn enter(&self, side: Side, command: &mut Command) -> Result<(), LinkError> {
        let namespace = self.side(side).handle().map_err(LinkError::system("hold a namespace"))?;
        syscalls::start_inside(command, namespace);
        Ok(())
    }

    /// Runs `work` on a thread at one end. A socket that `work` makes stays at that end.
    ///
    /// # Errors
    /// Returns the error of entering the namespace.
    pub fn inside<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> Result<T, LinkError> {
        self.side(side).run(work).map_err(LinkError::system("enter a side of the link"))
    }

    /// Returns the address of an end on the link of a player. Packets to and from this address
    /// cross that player's link.
    ///
    /// A server that listens on all addresses (`0.0.0.0` or `[::]`) serves both players.
    pub fn ip(&self, side: Side, player: Player) -> IpAddr {
        let player = if self.second.is_some() { player } else { Player::First };
        side.address(player, self.first.spec.ipv6)
    }

    /// Returns the report so far, without the list of drops.
    ///
    /// Two snapshots and [`LinkReport::since`] give the counts of a measured window.
    ///
    /// # Errors
    /// Returns [`LinkError::EmulatorGone`] if the emulator does not answer.
    pub fn snapshot(&mut self) -> Result<LinkReport, LinkError> {
        self.ask(&Request::Snapshot)
    }

    /// Restarts the schedule from its beginning and all counts from zero, now.
    ///
    /// The measured window of every run thus meets the same bad periods. Packets that wait in a
    /// queue or are in flight still arrive, in their order.
    ///
    /// # Errors
    /// Returns [`LinkError::EmulatorGone`] if the emulator does not answer.
    pub fn rewind(&mut self) -> Result<LinkReport, LinkError> {
        self.restart(None)
    }

    /// Restarts the schedule and all counts at a given time of CLOCK_MONOTONIC, ns.
    ///
    /// Links that are rewound to the opening times of their windows meet the same losses at the
    /// same moments of the windows, however long the requests take. The time may be a little before
    /// or after the call.
    ///
    /// # Errors
    /// Returns [`LinkError::EmulatorGone`] if the emulator does not answer.
    pub fn rewind_at(&mut self, monotonic_ns: u64) -> Result<LinkReport, LinkError> {
        self.restart(Some(monotonic_ns))
    }

    /// Returns the spec of the link.
    pub fn spec(&self) -> &LinkSpec {
        &self.first.spec
    }

    /// Ends the link, kills every process behind it, and returns the report with the list of drops.
    ///
    /// # Errors
    /// Returns [`LinkError::EmulatorGone`] if the emulator does not answer.
    pub fn finish(mut self) -> Result<LinkReport, LinkError> {
        self.ask(&Request::Finish)
    }

    fn side(&self, side: Side) -> &Namespace {
        &self.sides[side as usize]
    }

    fn restart(&mut self, started_ns: Option<u64>) -> Result<LinkReport, LinkError> {
        for leg in [Some(&mut self.first), self.second.as_mut()].into_iter().flatten() {
            leg.dropped_before = leg.dropped(&self.sides)?;
        }
        self.ask(&Request::Rewind { started_ns })
    }

    /// Asks the emulators of both players.
    fn ask(&mut self, request: &Request) -> Result<LinkReport, LinkError> {
        let mut report = self.first.ask(request, &self.sides)?;
        if let Some(second) = &mut self.second {
            report.second = Some(Box::new(second.ask(request, &self.sides)?));
        }
        Ok(report)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        reaper::kill(&self.ids);
    }
}

impl Leg {
    fn start(
        player: Player,
        spec: &LinkSpec,
        sides: &[Namespace; 2],
        seed: u64,
        cpu: Option<usize>,
        namespaces: [NamespaceId; 2],
    ) -> Result<Self, LinkError> {
        let devices = [
            sides[0].add_interface(Side::Server, player, spec)?,
            sides[1].add_interface(Side::Client, player, spec)?,
        ];
        let (control, theirs) =
            UnixStream::pair().map_err(LinkError::system("make a socket to the emulator"))?;
        control
            .set_read_timeout(Some(ANSWER_WITHIN))
            .map_err(LinkError::system("set a time limit on the emulator"))?;
        let emulator = start_emulator(theirs.into())?;
        let mut leg = Self { player, emulator, control, spec: spec.clone(), dropped_before: [0; 2] };
        // From here the emulator alone holds the devices, so that they close when it ends.
        ipc::send_devices(&leg.control, &devices).map_err(|cause| LinkError::EmulatorGone { cause })?;
        drop(devices);
        leg.ask(&Request::Start { spec: Box::new(spec.clone()), seed, cpu, namespaces }, sides)?;
        Ok(leg)
    }

    fn ask(&mut self, request: &Request, sides: &[Namespace; 2]) -> Result<LinkReport, LinkError> {
        let gone = |cause| LinkError::EmulatorGone { cause };
        ipc::send(&self.control, request).map_err(gone)?;
        let reply: Reply = ipc::receive(&self.control).map_err(gone)?;
        let mut report = reply.map_err(|message| LinkError::Emulator { message })?;
        let [server, client] = self.dropped(sides)?;
        report.up.device_dropped = client - self.dropped_before[1];
        report.down.device_dropped = server - self.dropped_before[0];
        Ok(report)
    }

    fn dropped(&self, sides: &[Namespace; 2]) -> Result<[u64; 2], LinkError> {
        let dropped = |side: &Namespace| {
            side.device_dropped(self.player).map_err(LinkError::system("read the device's counters"))
        };
        Ok([dropped(&sides[0])?, dropped(&sides[1])?])
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        // The emulator also ends when its socket closes, but the socket closes after this.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

fn start(mut command: Command) -> Result<Child, LinkError> {
    command.spawn().map_err(|cause| LinkError::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        cause,
    })
}

fn start_emulator(control: OwnedFd) -> Result<Child, LinkError> {
    // The path is in /proc, because a new build may have replaced the file since this process
    // started.
    Command::new("/proc/self/exe")
        .arg0("netduel-link-emulator")
        .env(MARKER, "1")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        // A Ctrl-C at the terminal must not end the network before the programs that use it.
        .process_group(0)
        .spawn()
        .map_err(LinkError::system("start the emulator"))
}
