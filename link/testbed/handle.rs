//! [`Link`]: the handle of a link, which starts programs at its ends and queries its emulator.

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

/// The longest wait for an answer of the emulator. The emulator answers between two packets; only
/// the longest trace takes time to load.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// An emulated link between two network namespaces.
///
/// Its end, by [`finish`](Self::finish), by a drop or by any death of this process, kills every
/// process in the two namespaces, and the kernel removes the namespaces.
pub struct Link {
    emulator: Child,
    control: UnixStream,
    sides: [Namespace; 2],
    ids: [NamespaceId; 2],
    spec: LinkSpec,
    /// Packets that the devices had dropped when the schedule started, at the server's and the
    /// client's end.
    dropped_before: [u64; 2],
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("emulator", &self.emulator.id()).field("ids", &self.ids).finish()
    }
}

impl Link {
    pub(crate) fn create(spec: &LinkSpec, seed: u64, cpu: Option<usize>) -> Result<Self, LinkError> {
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
        // From here the emulator alone holds the devices, so that they close when it ends.
        ipc::send_devices(&link.control, &[server_device, client_device])
            .map_err(|cause| LinkError::EmulatorGone { cause })?;
        link.ask(&Request::Start { spec: Box::new(spec.clone()), seed, cpu, namespaces: ids })?;
        Ok(link)
    }

    /// Starts a program at one end, where its address is [`Side::ip`].
    ///
    /// The caller waits for the program. A program that still runs when the link ends is killed.
    ///
    /// # Errors
    /// Returns [`LinkError::Spawn`] if the program does not start.
    pub fn spawn(&self, side: Side, mut command: Command) -> Result<Child, LinkError> {
        let namespace = self.side(side).handle().map_err(LinkError::system("hold a namespace"))?;
        syscalls::start_inside(&mut command, namespace);
        command.spawn().map_err(|cause| LinkError::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            cause,
        })
    }

    /// Runs `work` on a thread at one end. A socket that `work` makes stays at that end.
    ///
    /// # Errors
    /// Returns the error of entering the namespace.
    pub fn inside<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> Result<T, LinkError> {
        self.side(side).run(work).map_err(LinkError::system("enter a side of the link"))
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

    /// Restarts the schedule from its beginning and all counts from zero, and returns the new,
    /// empty report.
    ///
    /// The measured window of every run thus meets the same bad periods. Packets in flight still
    /// arrive.
    ///
    /// # Errors
    /// Returns [`LinkError::EmulatorGone`] if the emulator does not answer.
    pub fn rewind(&mut self) -> Result<LinkReport, LinkError> {
        self.dropped_before = self.dropped()?;
        self.ask(&Request::Rewind)
    }

    /// Returns the spec of the link.
    pub fn spec(&self) -> &LinkSpec {
        &self.spec
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
        // The emulator also ends when its socket closes, but the socket closes after this.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
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
