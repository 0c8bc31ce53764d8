//! The emulator: a process of its own that moves packets between two TUN devices as two [`Pipe`]s say.
//!
//! Thin on purpose: it waits, reads, asks the pipes, keeps packets until their time, writes, and counts.
//! What becomes of a packet is decided in `pipe.rs`.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
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
    thread::set_current_timer_slack,
    time::{ClockId, Timespec, clock_gettime},
};

use crate::{
    emulator::{
        histogram::Histogram,
        impairment::{Fate, Pipe},
        ipc::{self, Reply, Request},
        report::{DROPS_MAX, Drop, LinkReport, PathReport, Priority},
        schedule::Nanos,
    },
    kernel::{reaper, syscalls},
    spec::link_spec::{LinkSpec, MTU_BYTES_MAX, SpecError},
    types::{Cause, Direction, Protocol},
};

/// Environment variable that turns a process into an emulator.
pub(crate) const MARKER: &str = "NETDUEL_LINK_EMULATOR";
/// SCHED_FIFO priority: above every ordinary process, below the kernel's own threads (50).
const REAL_TIME_PRIORITY: i32 = 10;
/// Nice value when real-time is refused.
const RAISED_NICE: i32 = -10;
/// Packets read from one device before due ones are delivered again: about 0.1 ms of work.
const BATCH_PACKETS: usize = 32;
/// Bytes in flight, both directions together: a second of 2 Gbit/s. It bounds memory.
const FLIGHT_BYTES_MAX: usize = 256 << 20;
/// The emulator means to wake at least this often, ns, to see whether it is let: 200 times a second costs
/// well under 1 % of a CPU.
const HEARTBEAT: Nanos = 5_000_000;

/// Becomes the emulator, and does not return, if this process was started as one.
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
    let Request::Start { spec, seed, namespaces } = ipc::receive(&control)? else {
        return Err(io::Error::other("the first request was not Start"));
    };
    let priority = take_priority();
    // One nanosecond: wake at the time asked for, not up to 50 µs after it.
    set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    match Emulator::new(devices, *spec, seed, priority) {
        Ok(mut emulator) => {
            ipc::send(&control, &Reply::Ok(emulator.report(false)))?;
            let ended = emulator.run(&control);
            // Whoever is left has no network any more, and, if the host died, nobody to end it.
            reaper::kill(&namespaces);
            ended
        }
        Err(error) => ipc::send(&control, &Reply::Err(error.to_string())),
    }
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
    /// The server's and the client's.
    devices: [OwnedFd; 2],
    spec: LinkSpec,
    seed: u64,
    priority: Priority,
    schedule: Schedule,
    flights: BinaryHeap<Reverse<Flight>>,
    flight_bytes: usize,
    /// Breaks ties between packets due at the same time.
    flights_begun: u64,
    heartbeat_at: Nanos,
}

/// What a rewind starts again: the pipes and all counts.
struct Schedule {
    pipes: [Pipe; 2],
    started: Nanos,
    cpu_before: Nanos,
    steal_before: Steal,
    paths: [PathReport; 2],
    lateness: Histogram,
    heartbeat: Histogram,
    drops: Vec<Drop>,
    drops_unlisted: u64,
}

/// A packet on its way. Ordered by time of arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Nanos,
    number: u64,
    up: bool,
    packet: Vec<u8>,
}

impl Emulator {
    fn new(devices: [OwnedFd; 2], spec: LinkSpec, seed: u64, priority: Priority) -> Result<Self, SpecError> {
        let schedule = Schedule::start(&spec, seed)?;
        let heartbeat_at = schedule.started + HEARTBEAT;
        Ok(Self {
            devices,
            spec,
            seed,
            priority,
            schedule,
            flights: BinaryHeap::new(),
            flight_bytes: 0,
            flights_begun: 0,
            heartbeat_at,
        })
    }

    /// Moves packets and answers until the host is gone.
    fn run(&mut self, control: &UnixStream) -> io::Result<()> {
        let mut buffer = vec![0; usize::from(MTU_BYTES_MAX)];
        loop {
            let asked = self.wait(control)?;
            self.beat();
            for direction in [Direction::Up, Direction::Down] {
                self.read_batch(direction, &mut buffer)?;
                self.deliver_due();
            }
            if !asked {
                continue;
            }
            match ipc::receive(control) {
                Ok(Request::Snapshot) => ipc::send(control, &Reply::Ok(self.report(false)))?,
                Ok(Request::Rewind) => {
                    self.schedule = Schedule::start(&self.spec, self.seed).map_err(io::Error::other)?;
                    ipc::send(control, &Reply::Ok(self.report(false)))?;
                }
                Ok(Request::Finish) => ipc::send(control, &Reply::Ok(self.report(true)))?,
                Ok(Request::Start { .. }) => return Err(io::Error::other("started twice")),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until a packet comes, one is due, or a heartbeat is. Says whether the host asks something.
    fn wait(&self, control: &UnixStream) -> io::Result<bool> {
        let wake_at = self.flights.peek().map_or(self.heartbeat_at, |Reverse(f)| f.at.min(self.heartbeat_at));
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
        self.schedule.heartbeat.record_ns(now - self.heartbeat_at);
        self.heartbeat_at = now + HEARTBEAT;
        for pipe in &mut self.schedule.pipes {
            pipe.idle_until(now.saturating_sub(self.schedule.started));
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
        let Some(protocol) = protocol_of(packet) else {
            return; // Not IPv4: the kernel's own IPv6 chatter, where that could not be switched off.
        };
        let schedule = &mut self.schedule;
        let counters = schedule.paths[direction as usize].protocol_mut(protocol);
        counters.offered += 1;
        counters.offered_bytes += packet.len() as u64;
        let now = monotonic().saturating_sub(schedule.started);
        match schedule.pipes[direction as usize].offer(now, packet.len()) {
            Fate::Drop { at, cause } => {
                match cause {
                    Cause::Loss => counters.lost += 1,
                    Cause::Queue => counters.queue_dropped += 1,
                }
                let bytes = packet.len() as u16;
                schedule.list_drop(Drop { at_ns: at, direction, protocol, bytes, cause });
            }
            Fate::Deliver { at, held, twice } => {
                counters.held += u64::from(held);
                counters.duplicated += u64::from(twice);
                let at = schedule.started + at;
                for _ in 0..=u8::from(twice) {
                    self.begin_flight(at, direction, packet);
                }
            }
        }
    }

    fn begin_flight(&mut self, at: Nanos, direction: Direction, packet: &[u8]) {
        if self.flight_bytes + packet.len() > FLIGHT_BYTES_MAX {
            self.schedule.paths[direction as usize].overflowed += 1;
            return;
        }
        self.flight_bytes += packet.len();
        self.flights_begun += 1;
        let (number, up) = (self.flights_begun, direction == Direction::Up);
        self.flights.push(Reverse(Flight { at, number, up, packet: packet.to_vec() }));
    }

    fn deliver_due(&mut self) {
        let mut now = monotonic();
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= now) {
            let Some(Reverse(flight)) = self.flights.pop() else { return };
            self.flight_bytes -= flight.packet.len();
            let (direction, to) = if flight.up { (Direction::Up, 0) } else { (Direction::Down, 1) };
            let path = &mut self.schedule.paths[direction as usize];
            if rustix::io::write(&self.devices[to], &flight.packet).is_err() {
                path.overflowed += 1;
            } else if let Some(protocol) = protocol_of(&flight.packet) {
                let counters = path.protocol_mut(protocol);
                counters.delivered += 1;
                counters.delivered_bytes += flight.packet.len() as u64;
                self.schedule.lateness.record_ns(now - flight.at);
            }
            now = monotonic();
        }
    }

    fn report(&mut self, with_drops: bool) -> LinkReport {
        let schedule = &mut self.schedule;
        let now = monotonic();
        let drops = if with_drops {
            // A drop behind a queue is known before its time.
            schedule.drops.sort_by_key(|drop| drop.at_ns);
            schedule.drops.clone()
        } else {
            Vec::new()
        };
        LinkReport {
            spec: self.spec.clone(),
            seed: self.seed,
            started_monotonic_ns: schedule.started,
            elapsed_ms: (now - schedule.started) as f64 / 1e6,
            up: schedule.paths[Direction::Up as usize],
            down: schedule.paths[Direction::Down as usize],
            lateness: schedule.lateness.clone(),
            heartbeat: schedule.heartbeat.clone(),
            steal_share: Steal::now().share_since(&schedule.steal_before),
            emulator_cpu_ms: (clock_ns(ClockId::ProcessCPUTime) - schedule.cpu_before) as f64 / 1e6,
            priority: self.priority,
            drops,
            drops_unlisted: schedule.drops_unlisted,
        }
    }
}

impl Schedule {
    fn start(spec: &LinkSpec, seed: u64) -> Result<Self, SpecError> {
        Ok(Self {
            pipes: [Pipe::new(&spec.up, seed, Direction::Up)?, Pipe::new(&spec.down, seed, Direction::Down)?],
            started: monotonic(),
            cpu_before: clock_ns(ClockId::ProcessCPUTime),
            steal_before: Steal::now(),
            paths: Default::default(),
            lateness: Histogram::default(),
            heartbeat: Histogram::default(),
            drops: Vec::new(),
            drops_unlisted: 0,
        })
    }

    fn list_drop(&mut self, drop: Drop) {
        if self.drops.len() < DROPS_MAX {
            self.drops.push(drop);
        } else {
            self.drops_unlisted += 1;
        }
    }
}

/// The protocol of an IPv4 packet (RFC 791: version in the first four bits, protocol in byte 9).
fn protocol_of(packet: &[u8]) -> Option<Protocol> {
    if packet.first()? >> 4 != 4 {
        return None;
    }
    match packet.get(9)? {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => Some(Protocol::Other),
    }
}

/// CPU time of the whole machine, in ticks, from /proc/stat.
#[derive(Default)]
struct Steal {
    stolen: u64,
    total: u64,
}

impl Steal {
    /// Where /proc/stat cannot be read, nothing is known to be stolen.
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guests are in user already.
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
