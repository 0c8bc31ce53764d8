//! The window's handle of a race: a child process, and threads that read and write its lines. No
//! call on it blocks.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread,
};

use crate::race::{
    protocol::{Order, Plan, Report},
    testbed::subcommand,
};

/// Capacity of the report queue: two seconds of reports. A window that stalls longer slows the
/// pipe, not the race.
const REPORTS_MAX: usize = 128;
/// Capacity of the order queue: the keys of a second. The next change replaces a dropped order.
const ORDERS_MAX: usize = 32;

/// A running race. Dropping it ends the race, because the players exit when their input closes.
#[derive(Debug)]
pub(crate) struct Race {
    orders: SyncSender<Order>,
    reports: Receiver<Report>,
    last: Option<Order>,
}

impl Race {
    /// Starts a race, and calls `wake` when there is something new to paint.
    ///
    /// # Errors
    /// The system refuses a process or a thread.
    pub(crate) fn start(plan: &Plan, wake: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let mut command = subcommand("race-testbed")?;
        command.arg(serde_json::to_string(plan)?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, queued) = sync_channel::<Order>(ORDERS_MAX);
        let (report_sender, reports) = sync_channel(REPORTS_MAX);
        let stdin = child.stdin.take();
        thread::Builder::new().name("race-orders".into()).spawn(move || {
            let Some(mut stdin) = stdin else { return };
            for order in queued {
                let line = serde_json::to_string(&order).unwrap_or_default();
                if writeln!(stdin, "{line}").is_err() {
                    return; // The race is over, as its last report says.
                }
            }
        })?;
        thread::Builder::new().name("race-reports".into()).spawn(move || {
            read(&mut child, &report_sender, &wake);
            let _ = child.wait();
        })?;
        Ok(Self { orders, reports, last: None })
    }

    /// Sends an order that differs from the last one.
    pub(crate) fn send(&mut self, order: Order) {
        if self.last != Some(order) && self.orders.try_send(order).is_ok() {
            self.last = Some(order);
        }
    }

    /// Returns the next report, if there is one. A race whose process is gone has failed.
    pub(crate) fn report(&self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Report::Failed("the race process exited".into())),
        }
    }
}

fn read(child: &mut Child, sender: &SyncSender<Report>, wake: &dyn Fn()) {
    let Some(stdout) = child.stdout.take() else { return };
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let report = serde_json::from_str(&line).unwrap_or_else(|error| {
            Report::Failed(format!("the race process wrote an invalid line '{line}': {error}"))
        });
        if sender.send(report).is_err() {
            return; // The view is closed.
        }
        wake();
    }
}

/// A probe for emulated links. It runs in a child process, which answers after a moment.
#[derive(Debug)]
pub(crate) struct Probe {
    answer: Receiver<Result<(), String>>,
}

impl Probe {
    /// Starts the probe, and calls `wake` when the answer is there.
    ///
    /// # Errors
    /// The system refuses a process or a thread.
    pub(crate) fn start(wake: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let (sender, answer) = sync_channel(1);
        let mut command = subcommand("race-probe")?;
        thread::Builder::new().name("race-probe".into()).spawn(move || {
            let output = command.stdin(Stdio::null()).output();
            let _ = sender.send(match output {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => {
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    Err(stderr.trim().trim_start_matches("error: ").to_owned())
                }
                Err(error) => Err(error.to_string()),
            });
            wake();
        })?;
        Ok(Self { answer })
    }

    /// Returns the answer, once.
    pub(crate) fn answer(&self) -> Option<Result<(), String>> {
        self.answer.try_recv().ok()
    }
}
