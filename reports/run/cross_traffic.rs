//! A bulk transfer beside the game: one TCP connection that takes the remaining capacity of the
//! link, like a download in the same household. Each end is a process on its side of the link.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use netduel_link::{Link, Side};
use netduel_loadgen::{Process, this_program};

/// The time within which the sending end must listen.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The bytes of one write: many packets.
const CHUNK_BYTES: usize = 64 << 10;

/// A transfer that runs until the value is dropped.
pub(crate) struct CrossTraffic {
    _source: Process,
    _sink: Process,
}

impl CrossTraffic {
    /// Starts a transfer from the side of the server to the side of the players.
    pub(crate) fn start(link: &Link) -> anyhow::Result<Self> {
        let spawn = |what, side, mut command: Command| {
            command.env("RUST_LOG", "off");
            Process::start(what, command, |command| Ok(link.spawn(side, command)?))
        };
        let mut source = this_program("cross-traffic")?;
        source.args(["--listen", &Side::Server.ip().to_string()]);
        let source = spawn("source of the bulk transfer", Side::Server, source)?;
        let address = source.line(READY_TIMEOUT)?.context("the source of the bulk transfer ended")?;
        let mut sink = this_program("cross-traffic")?;
        sink.args(["--fetch", &address]);
        Ok(Self { _source: source, _sink: spawn("sink of the bulk transfer", Side::Client, sink)? })
    }
}

/// The flags of one end of a transfer.
#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct CrossTrafficArgs {
    /// Listen on this address, and send to the first connection
    #[arg(long)]
    listen: Option<IpAddr>,
    /// Connect to this address, and receive
    #[arg(long)]
    fetch: Option<SocketAddr>,
}

/// Sends or receives until the other end closes.
///
/// # Errors
/// The connection cannot be made.
pub fn cross_traffic(args: &CrossTrafficArgs) -> anyhow::Result<()> {
    if let Some(ip) = args.listen {
        let listener = TcpListener::bind((ip, 0))?;
        println!("{}", listener.local_addr()?);
        let (mut connection, _) = listener.accept()?;
        let chunk = vec![0; CHUNK_BYTES];
        while connection.write_all(&chunk).is_ok() {}
    } else if let Some(address) = args.fetch {
        let mut connection = TcpStream::connect(address)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        while connection.read(&mut chunk).is_ok_and(|bytes| bytes > 0) {}
    }
    Ok(())
}
