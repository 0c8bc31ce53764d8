//! A link that is up: [`Link`] starts programs on either side of it and asks its emulator what it did.

use std::{
    fmt,
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
        reaper, syscalls,
    },
    spec::link_spec::LinkSpec,
    types::Side,
};

/// Longest wait for the emulator's answer. It answers between two packets, so this is a dead one, or one
/// that has to load the longest trace.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An emulated link between two network namespaces.
///
/// When it is finished or dropped, or this process dies in any way, whatever still runs on either side is
/// killed, and the namespaces are gone.
pub struct Link {
    emulator: Child,
    control: UnixStream,
    sides: [Namespace; 2],
    ids: [NamespaceId; 2],
    spec: LinkSpec,
    /// What the devices had dropped when the schedule started; the server's, the client's.
    dropped_before: [u64; 2],
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("emulator", &self.emulator.id()).field("ids", &self.ids).finish()
    }
}

impl Link {
    pub(crate) fn create(spec: &LinkSpec, seed: u64) -> Result<Self, LinkError> {
        spec.validate()?;
        let (server, server_device) = Namespace::create(Side::Server, spec.mtu_bytes)?;
        let (client, client_device) = Namespace::create(Side::Client, spec.mtu_bytes)?;
        let identify = |side: &Namespace| side.id().map_err(LinkError::system("identify a namespace"));
        let ids = [identify(&server)?, identify(&client)?];
        let (control, theirs) =
            UnixStream::pair().map_err(LinkError::system("make a socket to the emulator"))?;
        control
            .set_read_timeout(Some(ANSWER_WITHIN))
            .map_err(LinkError::system("set a time limit on the emulator"))?;
        let emulator = start_emulator(theirs.into())?;
        let mut link = Self {
            emulator,
            control,
            sides: [server, client],
            ids,
            spec: spec.clone(),
            dropped_before: [0; 2],
        };
        // The emulator alone holds the devices after this, so that they go when it goes.
        ipc::send_devices(&link.control, &[server_device, client_device])
            .map_err(|cause| LinkError::EmulatorGone { cause })?;
        link.ask(&Request::Start { spec: Box::new(spec.clone()), seed, namespaces: ids })?;
        Ok(link)
    }

    /// Starts a program on one side. Its address there is [`Side::ip`].
    ///
    /// The caller waits for it; what is still running at the link's end is killed.
    pub fn spawn(&self, side: Side, mut command: Command) -> Result<Child, LinkError> {
        let namespace = self.side(side).handle().map_err(LinkError::system("hold a namespace"))?;
        syscalls::start_inside(&mut command, namespace);
        command.spawn().map_err(|cause| LinkError::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            cause,
        })
    }

    /// Runs `work` on a thread of this process that is on one side: a socket made in it stays on that side.
    pub fn inside<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> Result<T, LinkError> {
        self.side(side).run(work).map_err(LinkError::system("enter a side of the link"))
    }

    /// What the link did so far, without the list of single drops. Two of these and
    /// [`LinkReport::since`] count a measured window.
    pub fn snapshot(&mut self) -> Result<LinkReport, LinkError> {
        self.ask(&Request::Snapshot)
    }

    /// Starts the schedule again from its beginning, and all counts from zero: the measured window of every
    /// run then meets the same bad periods. Packets in flight still arrive. Returns the new, empty report.
    pub fn rewind(&mut self) -> Result<LinkReport, LinkError> {
        self.dropped_before = self.dropped()?;
        self.ask(&Request::Rewind)
    }

    /// What the link was asked to do.
    pub fn spec(&self) -> &LinkSpec {
        &self.spec
    }

    /// Ends the link, kills what still runs behind it, and returns all that happened on it.
    pub fn finish(mut self) -> Result<LinkReport, LinkError> {
        self.ask(&Request::Finish)
    }

    fn side(&self, side: Side) -> &Namespace {
        &self.sides[side as usize]
    }

    fn ask(&mut self, request: &Request) -> Result<LinkReport, LinkError> {
        let gone = |cause| LinkError::EmulatorGone { cause };
        ipc::send(&self.control, request).map_err(gone)?;
        let reply: Reply = ipc::receive(&self.control).map_err(gone)?;
        let mut report = reply.map_err(|message| LinkError::Emulator { message })?;
        let [server, client] = self.dropped()?;
        report.up.device_dropped = client - self.dropped_before[1];
        report.down.device_dropped = server - self.dropped_before[0];
        Ok(report)
    }

    fn dropped(&self) -> Result<[u64; 2], LinkError> {
        let dropped =
            |side: &Namespace| side.device_dropped().map_err(LinkError::system("read the device's counters"));
        Ok([dropped(&self.sides[0])?, dropped(&self.sides[1])?])
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        reaper::kill(&self.ids);
        // It ends by itself when the control socket does, but that is after this.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

fn start_emulator(control: OwnedFd) -> Result<Child, LinkError> {
    // Through /proc, because the file may have been replaced by a new build since we started.
    Command::new("/proc/self/exe")
        .arg0("netduel-link-emulator")
        .env(MARKER, "1")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        // A Ctrl-C at the terminal must not take the network away before the programs on it.
        .process_group(0)
        .spawn()
        .map_err(LinkError::system("start the emulator"))
}
