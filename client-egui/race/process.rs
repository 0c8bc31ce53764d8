//! A race as the window holds it: a child process, and threads that read and write its lines. Nothing here waits.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
};

use crate::race::{
    lab::ourselves,
    protocol::{Order, Plan, Report},
};

/// Reports that wait for a frame: two seconds of them. A window that stalls longer slows the pipe, not the race.
const REPORTS_MAX: usize = 128;
/// Orders that wait for the pipe: keys of a second. What does not fit is told with the next change.
const ORDERS_MAX: usize = 32;

/// A running race. Dropping it ends it: its players end when their input closes.
#[derive(Debug)]
pub(crate) struct Race {
    orders: SyncSender<Order>,
    reports: Receiver<Report>,
    last: Option<Order>,
}

impl Race {
    /// Starts one. `wake` is called when there is something new to paint.
    ///
    /// # Errors
    /// No process or no thread could be started.
    pub(crate) fn start(plan: &Plan, wake: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let mut command = ourselves("race-lab")?;
        command.arg(serde_json::to_string(plan)?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, told) = sync_channel::<Order>(ORDERS_MAX);
        let (tell, reports) = sync_channel(REPORTS_MAX);
        let stdin = child.stdin.take();
        thread::Builder::new().name("race-orders".into()).spawn(move || {
            let Some(mut stdin) = stdin else { return };
            for order in told {
                let line = serde_json::to_string(&order).unwrap_or_default();
                if writeln!(stdin, "{line}").is_err() {
                    return; // The race is over, and its last report says so.
                }
            }
        })?;
        thread::Builder::new().name("race-reports".into()).spawn(move || {
            read(&mut child, &tell, &wake);
            let _ = child.wait();
        })?;
        Ok(Self { orders, reports, last: None })
    }

    /// Tells what changed.
    pub(crate) fn tell(&mut self, order: Order) {
        if self.last != Some(order) && self.orders.try_send(order).is_ok() {
            self.last = Some(order);
        }
    }

    /// The next report, if there is one. A race whose process is gone has failed.
    pub(crate) fn report(&self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Report::Failed("the race's process ended".into())),
        }
    }
}

fn read(child: &mut Child, tell: &SyncSender<Report>, wake: &dyn Fn()) {
    let Some(stdout) = child.stdout.take() else { return };
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let report = serde_json::from_str(&line)
            .unwrap_or_else(|error| Report::Failed(format!("the race's process said '{line}': {error}")));
        if tell.send(report).is_err() {
            return; // The view is closed.
        }
        wake();
    }
}

/// Whether links can be emulated here: asked of a process of its own, and answered some moments later.
#[derive(Debug)]
pub(crate) struct Probe {
    answer: Receiver<Result<(), String>>,
}

impl Probe {
    /// Asks.
    ///
    /// # Errors
    /// No process or no thread could be started.
    pub(crate) fn start(wake: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let (tell, answer) = sync_channel(1);
        let mut command = ourselves("race-probe")?;
        thread::Builder::new().name("race-probe".into()).spawn(move || {
            let output = command.stdin(Stdio::null()).output();
            let _ = tell.send(match output {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    Err(said.trim().trim_start_matches("error: ").to_owned())
                }
                Err(error) => Err(error.to_string()),
            });
            wake();
        })?;
        Ok(Self { answer })
    }

    /// The answer, once.
    pub(crate) fn answer(&self) -> Option<Result<(), String>> {
        self.answer.try_recv().ok()
    }
}
