//! An in-process transport, for tests and simulations: no socket, no loss, no encryption, and the
//! same contract.
//!
//! An address is a port in a table of this process, so that everything that takes an address works
//! unchanged.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;

use crate::{
    Arrival, BoxFuture, Close, CloseReason, CloseState, ConnectError, Connection, Handshake, Identity,
    KindInfo, Lane, Listen, Options, PathStats, Proof, Proved, ReceiveHalf, SendHalf, Target, Transport,
    TransportKind, io::outbox::CONTROL_QUEUE_BYTES,
};

/// The largest number of connections that wait to be accepted.
const BACKLOG: usize = 1024;

pub(crate) const MEMORY: Memory = Memory;

pub(crate) struct Memory;

/// The listeners of this process, by port.
static LISTENERS: LazyLock<Mutex<HashMap<u16, mpsc::Sender<Connection>>>> = LazyLock::new(Mutex::default);

fn listeners() -> MutexGuard<'static, HashMap<u16, mpsc::Sender<Connection>>> {
    LISTENERS.lock()
}

impl Transport for Memory {
    fn info(&self) -> &'static KindInfo {
        TransportKind::Memory.info()
    }

    fn bind(
        &self,
        _: TransportKind,
        addr: SocketAddr,
        _: &Identity,
        _: &Options,
    ) -> io::Result<Box<dyn Listen>> {
        let mut listeners = listeners();
        let port = match addr.port() {
            0 => (1..=u16::MAX)
                .find(|port| !listeners.contains_key(port))
                .ok_or(io::ErrorKind::AddrNotAvailable)?,
            port => port,
        };
        if listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (connections, incoming) = mpsc::channel(BACKLOG);
        listeners.insert(port, connections);
        Ok(Box::new(MemoryListen {
            addr: (addr.ip(), port).into(),
            incoming: tokio::sync::Mutex::new(incoming),
        }))
    }

    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        _: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let refused = || ConnectError::Unreachable {
                addr: to.addr,
                kind: to.kind,
                error: io::ErrorKind::ConnectionRefused.into(),
            };
            let listener = listeners().get(&to.addr.port()).cloned().ok_or_else(refused)?;
            let (ours, theirs) = pair(to.addr);
            listener.send(theirs).await.map_err(|_| refused())?;
            Ok(ours)
        })
    }
}

struct MemoryListen {
    addr: SocketAddr,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Connection>>,
}

impl Listen for MemoryListen {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let connection = self.incoming.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            let handshake: Handshake = Box::pin(async move { Ok(connection) });
            Ok(Arrival::Proved(Proved::by(Proof::SameProcess, self.addr), handshake))
        })
    }
}

impl Drop for MemoryListen {
    fn drop(&mut self) {
        listeners().remove(&self.addr.port());
    }
}

fn pair(addr: SocketAddr) -> (Connection, Connection) {
    let (left, right) = (Arc::<Mailbox>::default(), Arc::<Mailbox>::default());
    let end = |inbox: &Arc<Mailbox>, outbox: &Arc<Mailbox>| {
        let half = Arc::new(Half { inbox: inbox.clone(), outbox: outbox.clone() });
        Connection::new(TransportKind::Memory, addr, half.clone(), Box::new(MemoryReceiver(half)))
    };
    (end(&left, &right), end(&right, &left))
}

/// The messages that wait for one side.
#[derive(Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    /// The state of the side that reads.
    close_state: CloseState,
}

#[derive(Default)]
struct Waiting {
    control: VecDeque<Bytes>,
    control_bytes: usize,
    state: Option<Bytes>,
    /// The close frame, which comes after everything else.
    close: Option<Close>,
}

impl Mailbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

struct Half {
    inbox: Arc<Mailbox>,
    outbox: Arc<Mailbox>,
}

impl SendHalf for Half {
    fn close_state(&self) -> &CloseState {
        &self.inbox.close_state
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        let mut waiting = self.outbox.waiting();
        if waiting.control_bytes + message.len() > CONTROL_QUEUE_BYTES {
            return Err(CloseReason::ControlLaneFull(waiting.control_bytes));
        }
        waiting.control_bytes += message.len();
        waiting.control.push_back(Bytes::copy_from_slice(message));
        drop(waiting);
        self.outbox.close_state.wake();
        Ok(())
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let replaced = self.outbox.waiting().state.replace(Bytes::copy_from_slice(message));
        self.outbox.close_state.wake();
        Ok(usize::from(replaced.is_some()))
    }

    fn queued_bytes(&self) -> usize {
        self.outbox.waiting().control_bytes
    }

    fn send_close(&self, close: &Close) {
        self.outbox.waiting().close = Some(close.clone());
        self.outbox.close_state.wake();
    }

    fn path_stats(&self) -> PathStats {
        PathStats::default()
    }
}

struct MemoryReceiver(Arc<Half>);

impl ReceiveHalf for MemoryReceiver {
    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        let mut waiting = self.0.inbox.waiting();
        if let Some(message) = waiting.control.pop_front() {
            waiting.control_bytes -= message.len();
            return Poll::Ready(Ok((Lane::Control, message)));
        }
        if let Some(message) = waiting.state.take() {
            return Poll::Ready(Ok((Lane::State, message)));
        }
        match waiting.close.take() {
            Some(close) => Poll::Ready(Err(CloseReason::Remote(close))),
            None => Poll::Pending,
        }
    }

    fn flush_close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
