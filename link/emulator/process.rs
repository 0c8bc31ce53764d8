//! The emulator process: it moves packets between two TUN devices as two [`Impairment`]s decide.
//!
//! The process waits, reads, asks the impairments, keeps packets until their time, writes, and
//! counts. `impairment.rs` decides about each packet.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    env, fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::setpriority_process,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_current_timer_slack},
    time::{ClockId, Timespec, clock_gettime},
};

use crate::{
    emulator::{
        histogram::Histogram,
        impairment::{Impairment, Outcome},
        ipc::{self, Reply, Request},
        report::{DROPS_MAX, DirectionReport, DroppedPacket, LinkReport, Priority},
        schedule::Nanos,
    },
    kernel::{reaper, syscalls},
    spec::{
        link_spec::{LinkSpec, MTU_BYTES_MAX},
        spec_error::SpecError,
    },
    types::{Direction, DropCause, Protocol},
};

/// The environment variable that turns a process into an emulator.
pub(crate) const MARKER: &str = "NETDUEL_LINK_EMULATOR";
/// The SCHED_FIFO priority: above every ordinary process, below the kernel's own threads (50).
const REAL_TIME_PRIORITY: i32 = 10;
/// The nice value if the system refuses SCHED_FIFO.
const RAISED_NICE: i32 = -10;
/// The packets read from one device before the next delivery of due packets: about 0.1 ms of work.
const BATCH_PACKETS: usize = 32;
/// The largest number of bytes in flight in both directions: a second of 2 Gbit/s. It bounds
/// memory.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;
/// The interval of the scheduled wake-ups, ns, which show whether the system runs the emulator in
/// time. 200 wake-ups a second cost well under 1 % of a CPU.
const HEARTBEAT: Nanos = 5_000_000;

/// Runs the emulator and exits if this process was started as one; otherwise returns.
pub(crate) fn run_if_asked() {
    if env::var_os(MARKER).is_none() {
        return;
    }
    let code = match serve() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("netduel-link emulator: {error}");
            1
        }
    };
    process::exit(code);
}

fn serve() -> io::Result<()> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let devices = ipc::receive_devices(&control)?;
    let Request::Start { spec, seed, cpu, namespaces } = ipc::receive(&control)? else {
        return Err(io::Error::other("the first request was not Start"));
    };
    let bound = cpu.map_or(Ok(()), bind);
    let priority = take_priority();
    // With one nanosecond the kernel wakes the process at the requested time, not up to 50 µs
    // later.
    set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let emulator = match bound {
        Ok(()) => Emulator::new(devices, *spec, seed, priority).map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot bind the emulator to CPU {}: {error}", cpu.unwrap_or(0))),
    };
    match emulator {
        Ok(mut emulator) => {
            ipc::send(&control, &Reply::Ok(emulator.report(false)))?;
            let ended = emulator.run(&control);
            // The remaining processes have lost their network and, if the host died, their parent.
            reaper::kill(&namespaces);
            ended
        }
        Err(message) => ipc::send(&control, &Reply::Err(message)),
    }
}

/// Binds this process to one processor.
fn bind(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Returns the processor that this process is bound to; `None` if it may use several.
fn bound_cpu() -> Option<usize> {
    let allowed = sched_getaffinity(None).ok().filter(|allowed| allowed.count() == 1)?;
    (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu))
}

fn take_priority() -> Priority {
    if syscalls::go_real_time(REAL_TIME_PRIORITY).is_ok() {
        Priority::RealTime
    } else if setpriority_process(None, RAISED_NICE).is_ok() {
        Priority::Raised
    } else {
        Priority::Normal
    }
}

struct Emulator {
    /// TUN devices of the server's end and of the client's end.
    devices: [OwnedFd; 2],
    spec: LinkSpec,
    seed: u64,
    priority: Priority,
    impairments: [Impairment; 2],
    /// Packets that wait in the queue of each direction, if the queue decides about them later.
    waiting: [VecDeque<Vec<u8>>; 2],
    counts: Counts,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    in_flight_bytes: usize,
    /// Number of packets put in flight. It orders packets that are due at the same time.
    packets_begun: u64,
    heartbeat_at: Nanos,
}

/// The counts since the schedule's start.
struct Counts {
    started: Nanos,
    cpu_before: Nanos,
    steal_before: Steal,
    directions: [DirectionReport; 2],
    lateness: Histogram,
    heartbeat: Histogram,
    drops: Vec<DroppedPacket>,
    drops_unlisted: u64,
}

/// A packet in flight, ordered by time of arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Nanos,
    number: u64,
    up: bool,
    packet: Vec<u8>,
}

impl Emulator {
    fn new(devices: [OwnedFd; 2], spec: LinkSpec, seed: u64, priority: Priority) -> Result<Self, SpecError> {
        let started = monotonic();
        let impairment = |direction| Impairment::new(&spec, seed, direction, started);
        let impairments = [impairment(Direction::Up)?, impairment(Direction::Down)?];
        let heartbeat_at = started + HEARTBEAT;
        Ok(Self {
            devices,
            spec,
            seed,
            priority,
            impairments,
            waiting: Default::default(),
            counts: Counts::since(started),
            in_flight: BinaryHeap::new(),
            in_flight_bytes: 0,
            packets_begun: 0,
            heartbeat_at,
        })
    }

    /// Moves packets and answers requests until the host ends.
    fn run(&mut self, control: &UnixStream) -> io::Result<()> {
        let mut buffer = vec![0; usize::from(MTU_BYTES_MAX)];
        loop {
            let asked = self.wait(control)?;
            for direction in [Direction::Up, Direction::Down] {
                self.leave_queue(direction);
            }
            self.beat();
            for direction in [Direction::Up, Direction::Down] {
                self.read_batch(direction, &mut buffer)?;
                self.leave_queue(direction);
                self.deliver_due();
            }
            if !asked {
                continue;
            }
            match ipc::receive(control) {
                Ok(Request::Snapshot) => ipc::send(control, &Reply::Ok(self.report(false)))?,
                Ok(Request::Rewind { started_ns }) => {
                    self.rewind(started_ns.unwrap_or_else(monotonic)).map_err(io::Error::other)?;
                    ipc::send(control, &Reply::Ok(self.report(false)))?;
                }
                Ok(Request::Finish) => ipc::send(control, &Reply::Ok(self.report(true)))?,
                Ok(Request::Start { .. }) => return Err(io::Error::other("started twice")),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts the schedule and all counts again. Packets that wait or are in flight still arrive,
    /// in their order.
    fn rewind(&mut self, started: Nanos) -> Result<(), SpecError> {
        for (impairment, direction) in self.impairments.iter_mut().zip([Direction::Up, Direction::Down]) {
            impairment.restart(&self.spec, self.seed, direction, started)?;
        }
        self.counts = Counts::since(started);
        Ok(())
    }

    /// Waits for a packet, the next delivery, the next packet out of a queue, the next heartbeat or
    /// a request. Returns whether a request has arrived.
    fn wait(&mut self, control: &UnixStream) -> io::Result<bool> {
        let in_flight = self.in_flight.peek().map(|Reverse(packet)| packet.at);
        let queues = self.impairments.iter_mut().filter_map(Impairment::next_leave);
        let wake_at = queues.chain(in_flight).fold(self.heartbeat_at, Nanos::min);
        let timeout = timespec(wake_at.saturating_sub(monotonic()));
        let mut ready = [
            PollFd::new(&self.devices[0], PollFlags::IN),
            PollFd::new(&self.devices[1], PollFlags::IN),
            PollFd::new(control, PollFlags::IN),
        ];
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) => Ok(!ready[2].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn beat(&mut self) {
        let now = monotonic();
        if now < self.heartbeat_at {
            return;
        }
        self.counts.heartbeat.record_ns(now - self.heartbeat_at);
        self.heartbeat_at = now + HEARTBEAT;
        for impairment in &mut self.impairments {
            impairment.idle_until(now);
        }
    }

    fn read_batch(&mut self, direction: Direction, buffer: &mut [u8]) -> io::Result<()> {
        let from = match direction {
            Direction::Up => 1,
            Direction::Down => 0,
        };
        for _ in 0..BATCH_PACKETS {
            match rustix::io::read(&self.devices[from], &mut *buffer) {
                Ok(length) => self.take_in(direction, &buffer[..length]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take_in(&mut self, direction: Direction, packet: &[u8]) {
        let Some(protocol) = protocol_of(packet, self.spec.ipv6) else {
            return; // The kernel's own packets of the other version, if it could not be switched off.
        };
        let now = monotonic();
        let counters = self.counts.directions[direction as usize].protocol_mut(protocol);
        counters.offered += 1;
        counters.offered_bytes += packet.len() as u64;
        match self.impairments[direction as usize].offer(now, packet.len()) {
            Outcome::Wait => self.waiting[direction as usize].push_back(packet.to_vec()),
            outcome => self.carry_out(outcome, direction, protocol, packet),
        }
    }

    /// Carries out what the queue of a direction has decided by now.
    fn leave_queue(&mut self, direction: Direction) {
        let now = monotonic();
        while let Some(outcome) = self.impairments[direction as usize].leave(now) {
            let Some(packet) = self.waiting[direction as usize].pop_front() else { return };
            if let Some(protocol) = protocol_of(&packet, self.spec.ipv6) {
                self.carry_out(outcome, direction, protocol, &packet);
            }
        }
    }

    fn carry_out(&mut self, outcome: Outcome, direction: Direction, protocol: Protocol, packet: &[u8]) {
        let counters = self.counts.directions[direction as usize].protocol_mut(protocol);
        match outcome {
            Outcome::Wait => {}
            Outcome::Drop { at, cause } => {
                match cause {
                    DropCause::Loss => counters.lost += 1,
                    DropCause::Queue => counters.queue_dropped += 1,
                }
                let at_ns = at.saturating_sub(self.counts.started);
                let bytes = packet.len() as u16;
                self.counts.list_drop(DroppedPacket { at_ns, direction, protocol, bytes, cause });
            }
            Outcome::Deliver { at, held, twice } => {
                counters.held += u64::from(held);
                counters.duplicated += u64::from(twice);
                for _ in 0..=u8::from(twice) {
                    self.put_in_flight(at, direction, packet);
                }
            }
        }
    }

    fn put_in_flight(&mut self, at: Nanos, direction: Direction, packet: &[u8]) {
        if self.in_flight_bytes + packet.len() > IN_FLIGHT_BYTES_MAX {
            self.counts.directions[direction as usize].overflowed += 1;
            return;
        }
        self.in_flight_bytes += packet.len();
        self.packets_begun += 1;
        let (number, up) = (self.packets_begun, direction == Direction::Up);
        self.in_flight.push(Reverse(InFlight { at, number, up, packet: packet.to_vec() }));
    }

    fn deliver_due(&mut self) {
        let mut now = monotonic();
        while self.in_flight.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.in_flight.pop() else { return };
            self.in_flight_bytes -= due.packet.len();
            let (direction, to) = if due.up { (Direction::Up, 0) } else { (Direction::Down, 1) };
            let counts = &mut self.counts.directions[direction as usize];
            if rustix::io::write(&self.devices[to], &due.packet).is_err() {
                counts.overflowed += 1;
            } else if let Some(protocol) = protocol_of(&due.packet, self.spec.ipv6) {
                let counters = counts.protocol_mut(protocol);
                counters.delivered += 1;
                counters.delivered_bytes += due.packet.len() as u64;
                self.counts.lateness.record_ns(now - due.at);
            }
            now = monotonic();
        }
    }

    fn report(&mut self, with_drops: bool) -> LinkReport {
        let counts = &mut self.counts;
        for (direction, impairment) in counts.directions.iter_mut().zip(&self.impairments) {
            direction.loss_periods = impairment.loss_periods();
        }
        let now = monotonic();
        let drops = if with_drops {
            // A drop after a queue is listed before its time.
            counts.drops.sort_by_key(|drop| drop.at_ns);
            counts.drops.clone()
        } else {
            Vec::new()
        };
        LinkReport {
            spec: self.spec.clone(),
            seed: self.seed,
            started_monotonic_ns: counts.started,
            elapsed_ms: now.saturating_sub(counts.started) as f64 / 1e6,
            up: counts.directions[Direction::Up as usize],
            down: counts.directions[Direction::Down as usize],
            lateness: counts.lateness.clone(),
            heartbeat: counts.heartbeat.clone(),
            steal_share: Steal::now().share_since(&counts.steal_before),
            emulator_cpu_ms: (clock_ns(ClockId::ProcessCPUTime) - counts.cpu_before) as f64 / 1e6,
            bound_to_cpu: bound_cpu(),
            priority: self.priority,
            drops,
            drops_unlisted: counts.drops_unlisted,
            second: None,
        }
    }
}

impl Counts {
    fn since(started: Nanos) -> Self {
        Self {
            started,
            cpu_before: clock_ns(ClockId::ProcessCPUTime),
            steal_before: Steal::now(),
            directions: Default::default(),
            lateness: Histogram::default(),
            heartbeat: Histogram::default(),
            drops: Vec::new(),
            drops_unlisted: 0,
        }
    }

    fn list_drop(&mut self, drop: DroppedPacket) {
        if self.drops.len() < DROPS_MAX {
            self.drops.push(drop);
        } else {
            self.drops_unlisted += 1;
        }
    }
}

/// Returns the protocol of an IP packet: version in the first four bits, protocol in byte 9 of
/// version 4 (RFC 791) and in byte 6 of version 6 (RFC 8200). `None` for the other version.
fn protocol_of(packet: &[u8], ipv6: bool) -> Option<Protocol> {
    let (version, place) = if ipv6 { (6, 6) } else { (4, 9) };
    if packet.first()? >> 4 != version {
        return None;
    }
    match packet.get(place)? {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => Some(Protocol::Other),
    }
}

/// The CPU time of the whole machine, in ticks, from /proc/stat.
#[derive(Default)]
struct Steal {
    stolen: u64,
    total: u64,
}

impl Steal {
    /// Reads /proc/stat; without it, no time counts as stolen.
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; user includes the
        // guests.
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .into_iter()
            .flat_map(|line| line.split_whitespace().skip(1).take(8))
            .filter_map(|field| field.parse().ok())
            .collect();
        Self { stolen: ticks.get(7).copied().unwrap_or(0), total: ticks.iter().sum() }
    }

    fn share_since(&self, before: &Self) -> f64 {
        let total = self.total.saturating_sub(before.total);
        if total == 0 { 0.0 } else { self.stolen.saturating_sub(before.stolen) as f64 / total as f64 }
    }
}

fn monotonic() -> Nanos {
    clock_ns(ClockId::Monotonic)
}

fn clock_ns(clock: ClockId) -> Nanos {
    let time = clock_gettime(clock);
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

fn timespec(nanos: Nanos) -> Timespec {
    Timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as _ }
}
