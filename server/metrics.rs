//! What operators look at: `/metrics` for Prometheus and `/health` for whoever restarts or routes, over plain HTTP.
//!
//! Nothing is counted here. Each scrape reads the server's own counters and writes them down with the exporter's recorder,
//! so the hot path knows nothing of it; only how long moves stay is written down where it is known, of a few of them
//! (`relay_latency.rs`). The exporter's own listener is not used: it accepts without a limit, and calls
//! again without a pause when the system has no descriptors left, on the one thread that the matches need.
//!
//! The address is for the operator's network alone: there is no encryption and no password.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{Observer, counters::Updates};

/// Requests at once: a scraper or two and a health check. More wait in the kernel's backlog.
const REQUESTS_MAX: usize = 8;
/// One request from its connection to its answer's last byte; scrapers give up after ten seconds, too.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often what was recorded is summed up, scraped or not: until then each figure is kept by itself, some thousands
/// of them at the rates that one thread bears.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
/// Upper ends of the histogram's buckets, in seconds: a move stays some µs, and a few ms where the server is busy.
const LATENCY_BUCKETS_S: [f64; 12] = [5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 1e-1];
const LATENCY: &str = "netduel_relay_latency_seconds";
/// After an accept failed: see the server's own.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// A bound address for operators.
pub(crate) struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Listens on `addr`.
    ///
    /// # Errors
    /// The system's refusal.
    pub(crate) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(addr).await.map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, observer: Observer) -> Infallible {
        let scrape = Arc::new(Scrape::new(observer));
        let upkeep = scrape.clone();
        let upkeep = async move {
            loop {
                tokio::time::sleep(UPKEEP_PERIOD).await;
                upkeep.recorder.handle().run_upkeep();
            }
        };
        tokio::select! {
            never = self.answer_all(scrape) => never,
            never = upkeep => never,
        }
    }

    async fn answer_all(self, scrape: Arc<Scrape>) -> Infallible {
        let room = Arc::new(Semaphore::new(REQUESTS_MAX));
        loop {
            let permit = room.clone().acquire_owned().await;
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let answered = answer(stream, scrape.clone());
                    tokio::spawn(async move {
                        let _permit = permit;
                        // Whoever asks too slowly, or goes away, has no answer; it asks again.
                        let _ = tokio::time::timeout(REQUEST_TIMEOUT, answered).await;
                    });
                }
                Err(error) => {
                    tracing::debug!("cannot accept a request for metrics: {error}");
                    tokio::time::sleep(ACCEPT_BACK_OFF).await;
                }
            }
        }
    }
}

/// One request for each connection, so that nobody holds one of the few.
async fn answer(stream: TcpStream, scrape: Arc<Scrape>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = scrape.respond(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new());
    http.serve_connection(TokioIo::new(stream), service).await
}

struct Scrape {
    observer: Observer,
    recorder: PrometheusRecorder,
}

impl Scrape {
    fn new(observer: Observer) -> Self {
        // Not the process's recorder: a test may run several servers in one.
        let builder = PrometheusBuilder::new();
        // Refused only if there are no buckets.
        let builder = builder.set_buckets_for_metric(Matcher::Full(LATENCY.into()), &LATENCY_BUCKETS_S);
        let recorder = builder.unwrap_or_default().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe_histogram!(
                LATENCY,
                "From a move's being taken in to its write's return, of some moves."
            );
            let kinds = observer.kinds().into_iter();
            observer.record_relay_latency(
                kinds.map(|kind| (kind, histogram!(LATENCY, "transport" => kind.name()))).collect(),
            );
            let describe = |name, help, _| {
                if let (name, None) = labelled(name) {
                    describe_counter!(name, help);
                }
            };
            observer.snapshot().each(describe);
            Updates::default().each(describe);
            describe_counter!("netduel_refused_total", "Connections and joins refused, by cause.");
            describe_counter!("netduel_expelled_total", "Players sent away for what they did, by cause.");
            describe_gauge!("netduel_connections", "Connected players, by transport.");
            describe_gauge!("netduel_handshakes", "Handshakes under way.");
            describe_gauge!("netduel_waiting", "Players that wait for an opponent.");
            describe_gauge!("netduel_matches", "Matches going on.");
            describe_gauge!("netduel_away", "Seats that wait for their player to come back.");
            describe_gauge!("netduel_draining", "1 once the server was told to end.");
        });
        Self { observer, recorder }
    }

    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let mut response = match (method, path) {
            (&Method::GET, "/metrics") => text(StatusCode::OK, self.render()),
            (&Method::GET, "/health") if self.observer.census().draining => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".into())
            }
            (&Method::GET, "/health") => text(StatusCode::OK, "ok\n".into()),
            (_, "/metrics" | "/health") => text(StatusCode::METHOD_NOT_ALLOWED, "GET it\n".into()),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics and /health\n".into()),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }

    fn render(&self) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            self.observer.snapshot().each(|name, _, value| match labelled(name) {
                (_, Some("")) => {} // The sum of what is labelled.
                (name, Some(cause)) => counter!(name, "cause" => cause).absolute(value),
                (name, None) => counter!(name).absolute(value),
            });
            let census = self.observer.census();
            for kind in self.observer.kinds() {
                self.observer.updates(kind).each(|name, _, value| {
                    counter!(labelled(name).0, "transport" => kind.name()).absolute(value);
                });
                let connected = census.connections.iter().find(|(of, _)| *of == kind);
                gauge!("netduel_connections", "transport" => kind.name())
                    .set(connected.map_or(0, |(_, count)| *count) as f64);
            }
            gauge!("netduel_handshakes").set(census.handshakes as f64);
            gauge!("netduel_waiting").set(census.waiting as f64);
            gauge!("netduel_matches").set(census.matches as f64);
            gauge!("netduel_away").set(census.away as f64);
            gauge!("netduel_draining").set(f64::from(u8::from(census.draining)));
        });
        self.recorder.handle().render()
    }
}

/// A counter's name for Prometheus. Those that differ only in the cause are one with a label, as sums are made there;
/// the sum itself has an empty one.
fn labelled(name: &'static str) -> (String, Option<&'static str>) {
    for family in ["refused", "expelled"] {
        if let Some(cause) = name.strip_prefix(family) {
            return (format!("netduel_{family}_total"), Some(cause.trim_start_matches('_')));
        }
    }
    (format!("netduel_{name}_total"), None)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    // The version of Prometheus' text format; anything else reads it as plain text.
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
