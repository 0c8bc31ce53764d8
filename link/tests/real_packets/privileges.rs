//! Tests of the privileges that programs behind a link have: none, whoever starts them; and of the
//! files that they could replace.

use std::{
    env, fs,
    os::unix::{fs::FileTypeExt, process::CommandExt},
    process::{Command, Output, Stdio},
    thread,
};

use libtest_mimic::Failed;
use netduel_link::{DirectionSpec, Privilege, Side, Testbed};

use crate::{
    COMMAND, Check, EXIT_INVALID, NOBODY, ROLE, copy_into, readable_folder, run_command, symmetric,
    with_open_tun,
};

/// The number of the capability to read all packets.
const CAP_NET_RAW: u32 = 13;
/// The commands that print the user, the groups, and the capabilities that a program has.
const WHO: &str = "id -u; id -G; grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs):' /proc/self/status";

/// The checks of this file, by name.
pub(crate) const CHECKS: [(&str, Check); 4] = [
    ("programs_have_no_privileges", programs_have_no_privileges),
    ("ordinary_programs_keep_their_user", ordinary_programs_keep_their_user),
    ("captures_have_one_capability", captures_have_one_capability),
    ("reports_replace_no_device", reports_replace_no_device),
];

/// Returns what [`WHO`] prints of a user without privileges.
fn without_privileges(user: u32, groups: &str) -> String {
    let sets = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map(|set| format!("Cap{set}:\t{:016x}\n", 0));
    format!("{user}\n{groups}\n{}NoNewPrivs:\t1\n", sets.concat())
}

/// Starts `link run` with a server and a client that print who they are, and returns both texts.
fn who_runs(set_up: impl FnOnce(&mut Command)) -> Result<[String; 2], Failed> {
    let folder = readable_folder()?;
    let own = copy_into(&folder, env::current_exe()?)?;
    let server = format!("({WHO}) >&2; {ROLE}=server exec '{}'", own.display());
    let client = format!("{WHO}; {ROLE}=client exec '{}' \"$NETDUEL_SERVER_IP\"", own.display());
    let mut command = Command::new(copy_into(&folder, COMMAND)?);
    command.current_dir("/").env_remove("SUDO_UID").env_remove("SUDO_GID").arg("run");
    set_up(&mut command);
    command.args(["--profile", "lan", "--server", &server, "--", "sh", "-c", &client]);
    let Output { status, stdout, stderr } = command.output()?;
    let [client, server] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if !matches!(status.code(), Some(0 | EXIT_INVALID)) || !client.contains("met at") {
        return Err(format!("{status}: {client}{server}").into());
    }
    Ok([server, client])
}

fn programs_have_no_privileges(testbed: &Testbed) -> Result<(), Failed> {
    if testbed.privilege() != Privilege::Root {
        println!("skipped: only root has privileges that its programs could have");
        return Ok(());
    }
    let nobody = format!("{NOBODY}:1234");
    let as_nobody = without_privileges(NOBODY, "1234");
    let groups = Command::new("id").arg("-G").output()?.stdout;
    let as_root = without_privileges(0, String::from_utf8(groups)?.trim());
    type Case<'a> = (&'a str, &'a [&'a str], Option<[&'a str; 2]>, &'a str);
    let cases: [Case<'_>; 4] = [
        ("root itself", &[], None, &as_root),
        ("the user behind sudo", &[], Some(["65534", "1234"]), &as_nobody),
        ("a named user", &["--user", &nobody], Some(["1000", "1000"]), &as_nobody),
        ("root in a user namespace", &["--user-namespace"], None, "CapEff:\t0000000000000000\n"),
    ];
    for (case, flags, sudo, expected) in cases {
        let texts = who_runs(|command| {
            command.args(flags);
            if let Some([user, group]) = sudo {
                command.env("SUDO_UID", user).env("SUDO_GID", group);
            }
        })?;
        for text in texts {
            assert!(text.contains(expected), "{case}: {text}\nexpected: {expected}");
        }
    }
    Ok(())
}

fn ordinary_programs_keep_their_user(testbed: &Testbed) -> Result<(), Failed> {
    let expected = without_privileges(NOBODY, &NOBODY.to_string());
    if testbed.privilege() != Privilege::Root {
        println!("skipped: only root becomes another user");
        return Ok(());
    }
    let by_user = || {
        who_runs(|command| {
            command.uid(NOBODY).gid(NOBODY);
        })
    };
    for text in with_open_tun(by_user)?? {
        assert!(text.contains(&expected), "{text}\nexpected: {expected}");
    }
    // Root that asks for a user namespace becomes the user behind sudo.
    let behind_sudo = || {
        who_runs(|command| {
            command.arg("--user-namespace").env("SUDO_UID", "65534").env("SUDO_GID", "65534");
        })
    };
    for text in with_open_tun(behind_sudo)?? {
        assert!(text.contains(&expected), "{text}\nexpected: {expected}");
    }
    Ok(())
}

fn captures_have_one_capability(testbed: &Testbed) -> Result<(), Failed> {
    let link = testbed.link(&symmetric(DirectionSpec::default()), 1)?;
    let mut command = Command::new("sh");
    command.args(["-c", WHO]).stdout(Stdio::piped());
    let output = link.spawn_capture(Side::Server, command)?.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let only = format!("{:016x}", 1 << CAP_NET_RAW);
    for set in ["Prm", "Eff", "Bnd"] {
        assert!(text.contains(&format!("Cap{set}:\t{only}\n")), "{text}");
    }
    if testbed.privilege() == Privilege::Root {
        assert!(text.starts_with(&format!("{NOBODY}\n{NOBODY}\n")), "{text}");
    }
    Ok(())
}

/// The devices are the test's own: a mistake must not take the machine's.
fn reports_replace_no_device(_: &Testbed) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let (null, pipe) = (folder.path().join("null"), folder.path().join("pipe"));
    if !Command::new("mknod").arg(&null).args(["c", "1", "3"]).output()?.status.success() {
        println!("skipped: only root makes devices");
        return Ok(());
    }
    let listens = &format!("{ROLE}=server '{}'", env::current_exe()?.display());
    let run = |report: &str| {
        run_command(&["run", "--profile", "lan", "--report", report, "--server", listens, "--", "true"])
    };
    run(null.to_str().ok_or("utf-8")?)?;
    assert!(fs::symlink_metadata(&null)?.file_type().is_char_device());
    let output = run("/dev/stdout")?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["seed"], 1);
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    let reading = pipe.clone();
    let reader = thread::spawn(move || fs::read(reading));
    run(pipe.to_str().ok_or("utf-8")?)?;
    let piped = reader.join().map_err(|_| "the reader panicked")??;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&piped)?["seed"], 1);
    assert!(fs::symlink_metadata(&pipe)?.file_type().is_fifo());
    Ok(())
}
