//! Tests of the emulator with real packets: the self-test's checks, kills, refusals, and an
//! ordinary user.
//!
//! If the system allows no link, the tests are skipped with the reason. `NETDUEL_LINK_REQUIRED=1`
//! makes that a failure, so that CI cannot skip them unnoticed.

mod privileges;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use netduel_link::{
    DirectionSpec, LinkError, LinkSpec, Loss, Player, Privilege, ProbePlan, ProbeReport, Rate, SELF_TESTS,
    Side, Testbed, init,
};

/// The packets of each protocol in each check; `netduel-link selftest` sends twice as many.
const PACKETS: u32 = 20_000;
/// The attempts of a check. A busy machine can spoil one measurement, but a wrong link fails every
/// attempt, because the seed and thus every random decision are the same.
const ATTEMPTS: usize = 3;
/// The exit code of `netduel-link` if the link was late.
const EXIT_INVALID: i32 = 3;
/// The longest wait for an event that should happen at once.
const SOON: Duration = Duration::from_secs(20);
/// The id of an ordinary user: "nobody" on most systems.
const NOBODY: u32 = 65_534;
/// The command under test.
const COMMAND: &str = env!("CARGO_BIN_EXE_netduel-link");
/// The environment variable that makes this binary one of two programs on a link.
const ROLE: &str = "NETDUEL_LINK_TEST_ROLE";
/// The port of the test server. It is always free, because the link has namespaces of its own.
const PORT: u16 = 7_000;
const TUN: &str = "/dev/net/tun";

type Check = fn(&Testbed) -> Result<(), Failed>;

fn main() -> ExitCode {
    init();
    if let Ok(role) = env::var(ROLE) {
        return play(&role).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::from_args();
    // Links that are measured at the same time would disturb each other.
    arguments.test_threads = Some(1);
    let testbed = Testbed::enter(Privilege::Auto);
    if let Err(reason) = &testbed {
        eprintln!("skipped, because this system allows no link: {reason}");
        if env::var_os("NETDUEL_LINK_REQUIRED").is_some() {
            return ExitCode::FAILURE;
        }
    }
    let testbed: Option<&'static Testbed> = testbed.ok().map(|testbed| &*Box::leak(Box::new(testbed)));
    let self_tests = SELF_TESTS.iter().map(|test| {
        let run = move |testbed: &Testbed| {
            let mut failures = Vec::new();
            for _ in 0..ATTEMPTS {
                let findings = (test.run)(testbed, PACKETS)?;
                let Some(finding) = findings.into_iter().find(|finding| !finding.ok) else { return Ok(()) };
                failures.push(finding);
            }
            Err(format!("{failures:#?}").into())
        };
        trial(testbed, &format!("self_test::{}", test.name.replace(' ', "_")), run)
    });
    let others: [(&str, Check); 16] = [
        ("emulator_is_bound", emulator_is_bound),
        ("links_of_one_schedule_lose_alike", links_of_one_schedule_lose_alike),
        ("rewind_keeps_the_queue", rewind_keeps_the_queue),
        ("codel_holds_the_delay_of_tcp", codel_holds_the_delay_of_tcp),
        ("ipv6_crosses_the_link", ipv6_crosses_the_link),
        ("each_player_has_a_link", each_player_has_a_link),
        ("links_are_independent", links_are_independent),
        ("rewind_restarts_the_counts", rewind_restarts_the_counts),
        ("trace_drives_the_rate", trace_drives_the_rate),
        ("killed_emulator_is_an_error", killed_emulator_is_an_error),
        ("killed_host_leaves_no_process", killed_host_leaves_no_process),
        ("finish_kills_remaining_processes", finish_kills_remaining_processes),
        ("run_connects_two_programs", run_connects_two_programs),
        ("mistakes_end_with_a_reason", mistakes_end_with_a_reason),
        ("refusals_come_with_advice", refusals_come_with_advice),
        ("ordinary_user_can_make_links", ordinary_user_can_make_links),
    ];
    let trials = others
        .into_iter()
        .chain(privileges::CHECKS)
        .map(|(name, check)| trial(testbed, name, check))
        .chain(self_tests);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Makes a test, which is skipped without a testbed.
fn trial(
    testbed: Option<&'static Testbed>,
    name: &str,
    check: impl FnOnce(&Testbed) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    match testbed {
        Some(testbed) => Trial::test(name, move || check(testbed)),
        None => Trial::test(name, || Ok(())).with_ignored_flag(true),
    }
}

fn symmetric(both: DirectionSpec) -> LinkSpec {
    LinkSpec::symmetric("test", both)
}

fn quick_probe() -> ProbePlan {
    ProbePlan { packets: 200, fill_ms: 0.0, ..ProbePlan::default() }
}

fn links_are_independent(testbed: &Testbed) -> Result<(), Failed> {
    let mut near =
        testbed.link(&symmetric(DirectionSpec { delay_ms: 5.0, ..DirectionSpec::default() }), 1)?;
    let mut far =
        testbed.link(&symmetric(DirectionSpec { delay_ms: 40.0, ..DirectionSpec::default() }), 1)?;
    for _ in 0..2 {
        let p50_ms =
            |probe: ProbeReport| (probe.up.delay.quantile_ms(0.5), probe.down.delay.quantile_ms(0.5));
        let (up_ms, down_ms) = p50_ms(near.probe(&quick_probe())?);
        assert!((5.0..10.0).contains(&up_ms) && (5.0..10.0).contains(&down_ms), "{up_ms} {down_ms}");
        let (up_ms, down_ms) = p50_ms(far.probe(&quick_probe())?);
        assert!((40.0..45.0).contains(&up_ms) && (40.0..45.0).contains(&down_ms), "{up_ms} {down_ms}");
    }
    near.finish()?;
    // The end of one link does not affect the other.
    assert_eq!(far.probe(&quick_probe())?.up.lost, 0);
    Ok(())
}

fn emulator_is_bound(_: &Testbed) -> Result<(), Failed> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let on = |cpu: &str| {
        run_command(&["probe", "--profile", "delay=5ms", "--packets", "200", "--json", "--emulator-cpu", cpu])
    };
    for cpu in (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)) {
        let report: ProbeReport = serde_json::from_slice(&on(&cpu.to_string())?.stdout)?;
        assert_eq!(report.link.bound_to_cpu, Some(cpu));
    }
    for cpu in ["1023", "5000"] {
        let refused = on(cpu)?;
        let error = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.contains(&format!("cannot bind the emulator to CPU {cpu}")), "{error}");
    }
    Ok(())
}

fn rewind_restarts_the_counts(testbed: &Testbed) -> Result<(), Failed> {
    let up = DirectionSpec { loss: Loss::Iid { probability: 0.1 }, ..DirectionSpec::default() };
    let mut link = testbed.link(&LinkSpec { up, ..symmetric(DirectionSpec::default()) }, 7)?;
    for _ in 0..2 {
        let probe = link.probe(&quick_probe())?;
        assert_eq!(
            probe.up.lost as u64, probe.link.up.udp.lost,
            "the link counts the packets that the far end misses"
        );
        assert_eq!(probe.link.up.udp.offered, 200);
        assert!((5..40).contains(&probe.up.lost), "{} of 200", probe.up.lost);
    }
    let before = link.snapshot()?;
    assert_eq!(before.up.udp.offered, 0, "a probe ends with a rewind");
    let socket = link.inside(Side::Client, || UdpSocket::bind((Side::Client.ip(), 0)))??;
    // The emulator reads this many packets before it answers.
    for _ in 0..20 {
        socket.send_to(&[0; 100], (Side::Server.ip(), 9))?;
    }
    let report = link.finish()?;
    let window = report.since(&before);
    assert_eq!(window.up.udp.offered, 20);
    assert_eq!(window.up.udp.offered_bytes, 20 * 128);
    assert_eq!(report.drops.len() as u64, report.up.udp.lost);
    Ok(())
}

/// Returns the current time of CLOCK_MONOTONIC, ns.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Sends packets at a pace over two links at once, and compares what they lose.
fn links_of_one_schedule_lose_alike(testbed: &Testbed) -> Result<(), Failed> {
    let spec: LinkSpec = "delay=2ms,loss=10%".parse()?;
    let mut links = [testbed.link(&spec, 5)?, testbed.link(&spec, 5)?];
    let zero_ns = monotonic_ns();
    let mut sockets = Vec::new();
    for link in &mut links {
        link.rewind_at(zero_ns)?;
        sockets.push(link.inside(Side::Client, || UdpSocket::bind((Side::Client.ip(), 0)))??);
    }
    for beat in 1..=500 {
        // The middle of a slot of a millisecond.
        let at_ns = zero_ns + beat * 4_000_000 + 500_000;
        thread::sleep(Duration::from_nanos(at_ns.saturating_sub(monotonic_ns())));
        for socket in &sockets {
            socket.send_to(&[0; 100], (Side::Server.ip(), 9))?;
        }
    }
    let [mine, theirs] = links.map(|link| -> Result<Vec<u64>, LinkError> {
        let report = link.finish()?;
        assert_eq!(report.started_monotonic_ns, zero_ns);
        Ok(report.drops.iter().map(|drop| drop.at_ns / 1_000_000).collect())
    });
    let (mine, theirs) = (mine?, theirs?);
    let common = mine.iter().filter(|slot| theirs.contains(slot)).count();
    assert!(mine.len() > 25, "{} drops", mine.len());
    assert!(common as f64 > 0.8 * mine.len() as f64, "{mine:?} and {theirs:?}");
    Ok(())
}

fn rewind_keeps_the_queue(testbed: &Testbed) -> Result<(), Failed> {
    // A packet of 1,250 bytes takes 10 ms.
    let mut link = testbed.link(&"rate=1mbit,queue=50kB".parse()?, 1)?;
    let bind = |side: Side| link.inside(side, move || UdpSocket::bind((side.ip(), 0)));
    let (receiver, sender) = (bind(Side::Server)??, bind(Side::Client)??);
    receiver.set_read_timeout(Some(SOON))?;
    sender.connect(receiver.local_addr()?)?;
    for number in 0..20_u8 {
        sender.send(&[number; 1_222])?;
    }
    let sent = std::time::Instant::now();
    let offered = |link: &mut netduel_link::Link| link.snapshot().map(|report| report.up.udp.offered);
    while offered(&mut link)? < 20 {}
    link.rewind()?;
    sender.send(&[20; 1_222])?;
    let mut payload = [0; 2_048];
    for number in 0..=20 {
        receiver.recv(&mut payload)?;
        assert_eq!(payload[0], number, "the order of the packets");
    }
    assert!(sent.elapsed() >= Duration::from_millis(200), "the queue was emptied: {:?}", sent.elapsed());
    let report = link.finish()?;
    assert_eq!((report.up.udp.offered, report.up.udp.queue_dropped), (1, 0));
    Ok(())
}

/// Fills a link with TCP and compares the round trips of a ping beside it, with and without CoDel.
fn codel_holds_the_delay_of_tcp(testbed: &Testbed) -> Result<(), Failed> {
    let mut typical_ms = Vec::new();
    for queue in ["500kB", "500kB/codel"] {
        let link = testbed.link(&format!("delay=5ms,rate=10mbit,queue={queue}").parse()?, 1)?;
        let listener = link.inside(Side::Server, || TcpListener::bind((Side::Server.ip(), PORT)))??;
        let address = listener.local_addr()?;
        let mut bulk = link.inside(Side::Client, || TcpStream::connect(address))??;
        // BBR would keep the queue short by itself; every kernel has reno.
        rustix::net::sockopt::set_tcp_congestion(&bulk, "reno")?;
        let (mut sink, _) = listener.accept()?;
        let bind = |side: Side| link.inside(side, move || UdpSocket::bind((side.ip(), 0)));
        let (receiver, sender) = (bind(Side::Server)??, bind(Side::Client)??);
        // Longer than the full queue takes; a ping that the queue drops is left out.
        receiver.set_read_timeout(Some(Duration::from_millis(600)))?;
        sender.connect(receiver.local_addr()?)?;
        let writer = thread::spawn(move || bulk.write_all(&vec![0; 5_000_000]));
        let reader = thread::spawn(move || std::io::copy(&mut sink, &mut std::io::sink()));
        // The connection fills the queue in a second and a half, and keeps it full.
        let mut waits = Vec::new();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(3_500) {
            let sent = std::time::Instant::now();
            sender.send(&[0; 64])?;
            let came = receiver.recv(&mut [0; 64]).is_ok();
            if came && begun.elapsed() > Duration::from_millis(1_500) {
                waits.push(sent.elapsed().as_secs_f64() * 1e3);
            }
        }
        writer.join().map_err(|_| "the sender panicked")??;
        reader.join().map_err(|_| "the receiver panicked")??;
        assert!(!waits.is_empty(), "every ping was dropped");
        waits.sort_by(f64::total_cmp);
        typical_ms.push(waits[waits.len() / 2]);
        let report = link.finish()?;
        assert_eq!(report.up.overflowed + report.up.device_dropped, 0);
    }
    let [drop_tail, codel] = typical_ms[..] else { return Err("two queues".into()) };
    assert!(drop_tail > 100.0 && codel < drop_tail / 3.0, "{drop_tail} ms, {codel} ms with CoDel");
    Ok(())
}

fn ipv6_crosses_the_link(testbed: &Testbed) -> Result<(), Failed> {
    let mut link = testbed.link(&"delay=5ms,rate=20mbit,ip=6".parse()?, 1)?;
    assert_eq!(link.ip(Side::Server, Player::First), "2001:2::1".parse::<std::net::IpAddr>()?);
    let probe = link.probe(&ProbePlan { packets: 200, fill_ms: 300.0, ..ProbePlan::default() })?;
    assert_eq!(probe.mismatches(), []);
    assert_eq!((probe.up.lost, probe.down.lost), (0, 0));
    let address = (link.ip(Side::Server, Player::First), PORT);
    let listener = link.inside(Side::Server, || TcpListener::bind(address))??;
    let mut client = link.inside(Side::Client, || TcpStream::connect(address))??;
    let (mut server, _) = listener.accept()?;
    server.write_all(b"hello")?;
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    assert_eq!(text, "hello");
    let report = link.finish()?;
    assert!(report.up.tcp.delivered > 1 && report.down.tcp.delivered > 1, "{report:?}");
    assert_eq!((report.up.other.offered, report.down.other.offered), (0, 0), "the kernel stays silent");
    Ok(())
}

fn each_player_has_a_link(testbed: &Testbed) -> Result<(), Failed> {
    let mut spec: LinkSpec = "rtt=20ms".parse()?;
    spec.second = Some(Box::new("rtt=120ms".parse()?));
    let mut link = testbed.link(&spec, 1)?;
    let server = link.inside(Side::Server, || UdpSocket::bind(("0.0.0.0", PORT)))??;
    thread::spawn(move || {
        let mut payload = [0; 64];
        while let Ok((bytes, from)) = server.recv_from(&mut payload) {
            let _ = server.send_to(&payload[..bytes], from);
        }
    });
    for (player, rtt_ms) in [(Player::First, 20), (Player::Second, 120)] {
        let address = (link.ip(Side::Server, player), PORT);
        let client = link.inside(Side::Client, || UdpSocket::bind(("0.0.0.0", 0)))??;
        client.connect(address)?;
        client.set_read_timeout(Some(SOON))?;
        let sent = std::time::Instant::now();
        client.send(&[7; 64])?;
        assert_eq!(client.recv(&mut [0; 64])?, 64, "answered from the address that was asked");
        let took = sent.elapsed().as_millis();
        assert!((rtt_ms..rtt_ms + 20).contains(&took), "{player:?}: {took} ms");
    }
    let before = link.rewind()?;
    assert_ne!(before.second.as_ref().map(|second| second.seed), Some(before.seed));
    assert_eq!(before.second.map(|second| second.up.udp.offered), Some(0));
    let report = link.finish()?;
    assert!(report.valid(&netduel_link::Limits::default()).is_ok() || report.lateness.count() < 100);
    Ok(())
}

fn trace_drives_the_rate(testbed: &Testbed) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("12-mbit.mahimahi");
    let lines: String = (1..=1_000).map(|ms| format!("{ms}\n")).collect();
    fs::write(&file, lines)?;
    let both = DirectionSpec { rate: Some(Rate::Trace(file)), ..DirectionSpec::default() };
    let probe =
        testbed.link(&symmetric(both), 1)?.probe(&ProbePlan { packets: 100, ..ProbePlan::default() })?;
    let rate = probe.up.mbit_per_s.ok_or("the rate was not measured")?;
    assert!((rate / 12.0 - 1.0).abs() < 0.1, "{rate} Mbit/s");
    Ok(())
}

fn killed_emulator_is_an_error(testbed: &Testbed) -> Result<(), Failed> {
    let mut link = testbed.link(&symmetric(DirectionSpec::default()), 1)?;
    let emulator = children_named("netduel-link-emulator")?.pop().ok_or("the emulator was not found")?;
    Command::new("kill").args(["-9", &emulator.to_string()]).status()?;
    assert!(matches!(link.snapshot(), Err(LinkError::EmulatorGone { .. })));
    Ok(())
}

/// Returns the children of this process whose first argument is `name`.
fn children_named(name: &str) -> Result<Vec<u32>, Failed> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let (Ok(arguments), Ok(status)) =
            (fs::read_to_string(path.join("cmdline")), fs::read_to_string(path.join("status")))
        else {
            continue;
        };
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if arguments.starts_with(name) && parent.is_some_and(|parent| parent.trim() == own) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Checks that the error stream ends, which every process that the link started holds open.
fn killed_host_leaves_no_process(_: &Testbed) -> Result<(), Failed> {
    let mut host = Command::new(COMMAND)
        .args([
            "run",
            "--profile",
            "lan",
            "--server",
            "echo up; (setsid sleep 1000) & sleep 1000",
            "--",
            "true",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(stdout), Some(mut stderr)) = (host.stdout.take(), host.stderr.take()) else {
        return Err("the streams are pipes".into());
    };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    assert_eq!(line, "up\n");
    host.kill()?;
    assert_eq!(host.wait()?.signal(), Some(9));

    let (ended, end) = sync_channel(1);
    thread::spawn(move || ended.send(stderr.read_to_string(&mut String::new())));
    end.recv_timeout(SOON).map_err(|_| "a process survives its killed host")??;
    Ok(())
}

fn finish_kills_remaining_processes(testbed: &Testbed) -> Result<(), Failed> {
    let link = testbed.link(&symmetric(DirectionSpec::default()), 1)?;
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut left = link.spawn(Side::Client, command)?;
    assert!(left.try_wait()?.is_none());
    link.finish()?;
    assert_eq!(left.wait()?.signal(), Some(9));
    Ok(())
}

fn run_command(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(COMMAND).args(arguments).output()?)
}

fn run_connects_two_programs(_: &Testbed) -> Result<(), Failed> {
    let own = env::current_exe()?;
    let server = format!("{ROLE}=server '{}'", own.display());
    let client = format!("{ROLE}=client");
    let mut refused = Vec::new();
    for _ in 0..ATTEMPTS {
        let output = Command::new(COMMAND)
            .args(["run", "--profile", "delay=10ms", "--server", &server, "--", "env", &client])
            .args([own.as_os_str(), "{server}".as_ref()])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("met at 198.18.0.2"), "{output:?}");
        match output.status.code() {
            Some(0) => return Ok(()),
            Some(EXIT_INVALID) => refused.push(output), // The pair met, but the machine was too busy for the link.
            _ => return Err(format!("{output:?}").into()),
        }
    }
    Err(format!("{refused:?}").into())
}

/// Plays one of the two programs.
fn play(role: &str) -> std::io::Result<()> {
    if role == "server" {
        let (mut connection, client) = TcpListener::bind((Side::Server.ip(), PORT))?.accept()?;
        return connection.write_all(format!("met at {}", client.ip()).as_bytes());
    }
    let server = env::args().nth(1).ok_or_else(|| std::io::Error::other("no address was given"))?;
    let mut text = String::new();
    TcpStream::connect((server, PORT))?.read_to_string(&mut text)?;
    println!("{text}");
    Ok(())
}

fn mistakes_end_with_a_reason(_: &Testbed) -> Result<(), Failed> {
    let listens = &format!("{ROLE}=server '{}'", env::current_exe()?.display());
    let cases: [(&[&str], i32, &str); 6] = [
        (&["probe", "--profile", "wfi"], 2, "did you mean \"wifi\"?"),
        (&["probe", "--profile", "loss=150%"], 2, "0 % to 100 %"),
        (&["probe", "--profile", "rate=1mbit,queue=1kB"], 2, "below one packet"),
        (&["probe", "--profile", "no-such.toml"], 2, "cannot read the profile"),
        (&["run", "--profile", "lan", "--server", "exit 5", "--", "true"], 1, "exit status: 5"),
        (&["run", "--profile", "lan", "--server", listens, "--", "no-such-program"], 1, "no-such-program"),
    ];
    for (arguments, code, reason) in cases {
        let output = run_command(arguments)?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
    Ok(())
}

/// Checks each refusal in a namespace of its own, which leaves the system unchanged.
fn refusals_come_with_advice(testbed: &Testbed) -> Result<(), Failed> {
    if testbed.privilege() != Privilege::Root || Command::new("unshare").arg("-V").output().is_err() {
        eprintln!("skipped: refusals can be set up only by root with util-linux");
        return Ok(());
    }
    let cases = [
        (["-m", "mount -t tmpfs none /dev/net"], "", "modprobe tun"),
        (
            ["-Ur", "echo 0 > /proc/sys/user/max_user_namespaces"],
            "--user-namespace",
            "sysctl -w user.max_user_namespaces",
        ),
    ];
    for ([new, refusal], option, advice) in cases {
        let script = format!("{refusal} && '{COMMAND}' probe --profile lan {option}");
        let output = Command::new("unshare").args([new, "sh", "-c", &script]).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(advice), "{error}");
    }
    Ok(())
}

fn ordinary_user_can_make_links(testbed: &Testbed) -> Result<(), Failed> {
    if testbed.privilege() == Privilege::UserNamespace {
        return Ok(()); // All other tests have shown it.
    }
    let folder = readable_folder()?;
    let command = copy_into(&folder, COMMAND)?;
    let probe = || {
        Command::new(&command)
            .args(["probe", "--profile", "delay=20ms", "--packets", "200", "--json"])
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
    };
    let mode = fs::metadata(TUN)?.permissions();
    if mode.mode() & 0o006 != 0o006 {
        let refused = probe()?;
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && error.contains("chmod 0666 /dev/net/tun"), "{error}");
    }
    let output = with_open_tun(probe)??;
    let report: ProbeReport = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let p50_ms = report.up.delay.quantile_ms(0.5);
    assert!((20.0..40.0).contains(&p50_ms), "{p50_ms} ms at p50");
    assert_eq!((report.up.lost, report.down.lost), (0, 0));
    Ok(())
}

/// Makes a folder that every user may read: others may have no access to the build's.
fn readable_folder() -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn copy_into(folder: &tempfile::TempDir, program: impl AsRef<Path>) -> Result<PathBuf, Failed> {
    let program = program.as_ref();
    let copy = folder.path().join(program.file_name().ok_or("a program has a name")?);
    fs::copy(program, &copy)?;
    Ok(copy)
}

/// Runs `work` while every user may open the device, as udev lets them on any desktop or server.
fn with_open_tun<T>(work: impl FnOnce() -> T) -> Result<T, Failed> {
    let mode = fs::metadata(TUN)?.permissions();
    fs::set_permissions(TUN, fs::Permissions::from_mode(0o666))?;
    let done = work();
    fs::set_permissions(TUN, mode)?;
    Ok(done)
}
