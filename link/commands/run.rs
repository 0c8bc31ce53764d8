//! `netduel-link run`: a server and a client with a link between them.

use std::{
    fs, io,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use netduel_link::{
    Counters, Limits, Link, LinkReport, Player, Privilege, Side,
    cli::{EXIT_INVALID, RunArgs},
};

/// The longest wait for the server to listen. A slower server can be started by the client's
/// command.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);
/// The interval at which the server's sockets are checked.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The placeholder for the server's address in the client's arguments.
const SERVER_PLACE: &str = "{server}";
/// The placeholder for the server's address on the second player's link.
const SECOND_PLACE: &str = "{second}";
/// The environment variable with the server's address, for both programs.
const SERVER_VARIABLE: &str = "NETDUEL_SERVER_IP";

/// The end of one of the two programs.
enum Ended {
    Server(io::Result<ExitStatus>),
    Client(io::Result<ExitStatus>),
}

pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let mut testbed = args.link.privilege.enter()?;
    if let Some(user) = &args.user {
        testbed.run_as(user.clone())?;
    }
    if testbed.privilege() == Privilege::Root && testbed.user().is_none() {
        eprintln!("netduel-link: both programs run as root, without capabilities; --user names another user");
    }
    let link = args.link.link_in(&mut testbed)?;
    let [address, second] =
        [Player::First, Player::Second].map(|player| link.ip(Side::Server, player).to_string());
    let server = link.spawn_unprivileged(Side::Server, server_command(args, &address))?;
    let (ended, end) = sync_channel(2);
    watch(server, ended.clone(), Ended::Server);
    wait_until_listening(&link, &end)?;
    let client = link.spawn_unprivileged(Side::Client, client_command(args, &address, &second))?;
    watch(client, ended, Ended::Client);

    let status = loop {
        match end.recv().context("the programs are no longer watched")? {
            Ended::Client(status) => break status.context("cannot wait for the client")?,
            // The server served one client and ended; the client still works on its data.
            Ended::Server(Ok(status)) if status.success() => {}
            // The end of the link, at the return, kills the client.
            Ended::Server(status) => bail!("the server ended before the client, with {}", describe(status)),
        }
    };
    let report = link.finish()?;
    eprint!("{}", summary(&report));
    if let Some(file) = &args.report {
        netduel_atomic_file::write_atomic(file, serde_json::to_string_pretty(&report)?.as_bytes())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Err(invalid) = report.valid(&Limits::default()) {
        eprintln!("netduel-link: {invalid}");
        return Ok(if status.success() { ExitCode::from(EXIT_INVALID) } else { exit_code(status) });
    }
    Ok(exit_code(status))
}

fn server_command(args: &RunArgs, address: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(&args.server).stdin(Stdio::null());
    command.env(SERVER_VARIABLE, address);
    command
}

fn client_command(args: &RunArgs, address: &str, second: &str) -> Command {
    let mut words =
        args.command.iter().map(|word| word.replace(SERVER_PLACE, address).replace(SECOND_PLACE, second));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).env(SERVER_VARIABLE, address);
    command
}

/// Waits for a program on a new thread, and sends its end to `ended`.
fn watch(mut child: Child, ended: SyncSender<Ended>, who: fn(io::Result<ExitStatus>) -> Ended) {
    // The channel has room for both ends, and its receiver may be gone after the first.
    thread::spawn(move || drop(ended.send(who(child.wait()))));
}

/// Waits until a socket is open at the server's end, where no other program runs.
fn wait_until_listening(link: &Link, end: &Receiver<Ended>) -> Result<()> {
    let deadline = Instant::now() + LISTENS_WITHIN;
    let mut before = 0;
    loop {
        // A server may open several sockets, so the number must be the same twice.
        let open = link.inside(Side::Server, open_sockets)?;
        if open > 0 && open == before {
            return Ok(());
        }
        before = open;
        if let Ok(Ended::Server(status)) = end.recv_timeout(LOOK_EVERY) {
            bail!("the server ended before it listened on any port, with {}", describe(status));
        }
        if Instant::now() > deadline {
            bail!(
                "the server does not listen on any port after {} s: check its command line",
                LISTENS_WITHIN.as_secs()
            );
        }
    }
}

/// Returns the number of bound UDP and listening TCP sockets in this thread's network namespace.
fn open_sockets() -> usize {
    // Column 3 is the remote address (zero while listening), column 4 the state (0A: TCP listens;
    // 07: UDP).
    let is_open = |line: &&str| {
        let mut columns = line.split_whitespace().skip(2);
        let free = columns.next().is_some_and(|other| other.ends_with(":0000"));
        free && columns.next().is_some_and(|state| state == "0A" || state == "07")
    };
    ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok())
        .map(|table| table.lines().filter(is_open).count())
        .sum()
}

fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => ExitCode::from(code as u8),
        None => {
            eprintln!("netduel-link: the client ended with {status}");
            ExitCode::FAILURE
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Summarizes the report of the link in a few lines.
fn summary(report: &LinkReport) -> String {
    let line = |name: &str, counters: Counters| {
        let Counters { offered, offered_bytes, lost, queue_dropped, .. } = counters;
        format!(
            "{name:<5} {offered} packets, {offered_bytes} bytes, {lost} lost, {queue_dropped} dropped by the queue\n"
        )
    };
    format!(
        "{} for {:.1} s\n{}{}late  {:.2} ms at p99; emulator at {:?} priority, {:.1} % of a CPU\n",
        report.spec.name,
        report.elapsed_ms / 1e3,
        line("up", report.up.total()),
        line("down", report.down.total()),
        report.lateness.quantile_ms(0.99),
        report.priority,
        report.emulator_cpu_ms / report.elapsed_ms * 100.0
    )
}
