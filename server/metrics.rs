//! The operator's endpoints over plain HTTP: `/metrics` for Prometheus, and `/health` for
//! supervisors and load balancers.
//!
//! This module counts nothing. Each scrape reads the server's own counters and passes them to the
//! exporter's recorder, so the hot path does not know about Prometheus. Only the relay's latency is
//! recorded where it is known, for a sample of the moves (`relay_latency.rs`).
//!
//! The exporter's own listener is not used. It accepts without a limit, and when the system has no
//! descriptors left it retries without a pause, on the one thread that the matches need.
//!
//! Bind the address for the operator's network alone: there is no encryption and no password.

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

use crate::{
    counters::{Metric, Updates},
    observer::Observer,
};

/// The most concurrent requests: a scraper or two and a health check. More wait in the kernel's
/// backlog.
const REQUESTS_MAX: usize = 8;
/// The time for one request, from its connection to the last byte of its answer. Scrapers give up
/// after ten seconds, too.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The period in which recorded latencies are summed up, with or without a scrape. Until then each
/// latency is kept by itself: some thousands at the rates that one thread sustains.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);
/// The upper bounds of the histogram's buckets, in seconds: a relay takes some µs, and a few ms
/// where the server is busy.
const LATENCY_BUCKETS_S: [f64; 12] = [5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 1e-1];
const LATENCY: &str = "netduel_relay_latency_seconds";
/// The pause after a failed accept, as in `lib.rs`.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// A bound listener for operators.
pub(crate) struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Listens on `addr`.
    ///
    /// # Errors
    /// The system refuses the address.
    pub(crate) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(addr).await.map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers requests until dropped.
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
                        // A client that is too slow or goes away gets no answer, and asks again.
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

/// Answers one request per connection, so that no client holds one of the few places.
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
        // The recorder is not the process's own, since a test may run several servers in one
        // process.
        let builder = PrometheusBuilder::new();
        // The builder refuses only an empty list of buckets.
        let builder = builder.set_buckets_for_metric(Matcher::Full(LATENCY.into()), &LATENCY_BUCKETS_S);
        let recorder = builder.unwrap_or_default().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe_histogram!(
                LATENCY,
                "Time from receiving a move to writing it to the opponent, of a sample of the moves."
            );
            let kinds = observer.kinds().into_iter();
            observer.record_relay_latency(
                kinds.map(|kind| (kind, histogram!(LATENCY, "transport" => kind.name()))).collect(),
            );
            let describe = |metric: Metric, _| {
                if metric.cause.is_none() {
                    describe_counter!(metric.name, metric.help);
                }
            };
            observer.snapshot().each(describe);
            Updates::default().each(describe);
            describe_counter!("netduel_refused_total", "Connections and joins refused, by cause.");
            describe_counter!("netduel_expelled_total", "Players expelled, by cause.");
            describe_gauge!("netduel_connections", "Connected players, by transport.");
            describe_gauge!("netduel_handshakes", "Handshakes in progress.");
            describe_gauge!("netduel_waiting", "Players in the queue.");
            describe_gauge!("netduel_matches", "Matches in progress.");
            describe_gauge!("netduel_away", "Kept seats, whose player may come back.");
            describe_gauge!("netduel_draining", "1 while the server drains, otherwise 0.");
            describe_gauge!("netduel_memory_used_ratio", "Memory in use, as a part of its limit.");
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
            (_, "/metrics" | "/health") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: use GET\n".into())
            }
            _ => text(StatusCode::NOT_FOUND, "not found: try /metrics or /health\n".into()),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }

    fn render(&self) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            self.observer.snapshot().each(|Metric { name, cause, .. }, value| match cause {
                Some(cause) => counter!(name, "cause" => cause).absolute(value),
                None => counter!(name).absolute(value),
            });
            let census = self.observer.census();
            for kind in self.observer.kinds() {
                self.observer.updates(kind).each(|metric, value| {
                    counter!(metric.name, "transport" => kind.name()).absolute(value);
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
            gauge!("netduel_memory_used_ratio").set(f64::from(self.observer.memory_percent()) / 100.0);
        });
        self.recorder.handle().render()
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    // The content type names the version of Prometheus' text format; other clients read it as plain
    // text.
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
