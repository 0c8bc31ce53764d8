//! The example `echo` as its users run it, over every kind.

use std::process::Command;

use netduel_transport::TransportKind;

#[test]
fn echoes_over_every_kind() {
    let test = std::env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let program = profile.join("examples").join(format!("echo{}", std::env::consts::EXE_SUFFIX));
    // Cargo builds examples beside the tests of a package, but not for a single test.
    assert!(program.exists(), "build it first: cargo build -p netduel-transport --example echo");
    for kind in TransportKind::ALL {
        let output = Command::new(&program).arg(kind.name()).output().expect("started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{kind}: {output:?}");
        assert!(text.contains("control: hello"), "{kind}: {text}");
        assert!(text.ends_with("the example is over (code 256)\n"), "{kind}: {text}");
    }
}
