//! PodSixNet: its relay in Python (`podsixnet.py`), and players that speak its wire format. A
//! message is a dictionary, encoded by rencode and ended by a terminator.

use std::{
    io,
    net::SocketAddr,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::stream;

const SCRIPT: &str = include_str!("podsixnet.py");
const PYTHON: &str = "python3";

/// The beginning of a message: a dictionary of one entry (102 + 1), and strings of 6 and 9
/// characters (128 + length).
const CONNECTED: &[u8] = b"\x67\x86action\x89connected\0---\0";
/// `{"action": "move", "data": 24 characters}` up to these.
const BEFORE: &[u8] = b"\x68\x86action\x84move\x84data\x98";
const TERMINATOR: &[u8] = b"\0---\0";

/// Checks that PodSixNet can run here.
pub(crate) fn check() -> anyhow::Result<()> {
    let install = "install Python 3 and `pip install podsixnet==0.11.0` (from Python 3.12 on also pyasyncore and pyasynchat)";
    let mut command = Command::new(PYTHON);
    let output = command
        .args(["-W", "ignore", "-c", "import PodSixNet.Server"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {PYTHON}: {install}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {install}",
        said.lines().last().unwrap_or("PodSixNet cannot be imported")
    );
    Ok(())
}

/// Returns the command of the relay. It prints the same line as every server of a run.
pub(crate) fn serve(listen: SocketAddr) -> Command {
    let mut command = Command::new(PYTHON);
    let (host, port) = (listen.ip().to_string(), listen.port().to_string());
    command.args(["-W", "ignore", "-c", SCRIPT, &host, &port]);
    command
}

/// Connects a player over TCP, and waits until the relay has confirmed the connection.
pub(crate) async fn connect(addr: SocketAddr) -> io::Result<stream::Player<TcpStream>> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut said = [0; CONNECTED.len()];
    stream.read_exact(&mut said).await?;
    if said != CONNECTED {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no PodSixNet 0.11 there"));
    }
    Ok(stream::Player::new(stream, stream::Frame { before: BEFORE, after: TERMINATOR }))
}
