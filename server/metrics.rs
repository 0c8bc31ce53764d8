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
//! One task answers all requests, in turns of the low-priority queue. It accepts without a pause: a
//! connection that sends nothing gives way to newer ones, so that `/health` always has a place.
//!
//! Bind the address for the operator's network alone: there is no encryption and no password.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use netduel_transport::Supervised;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::yield_now,
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    counters::{Metric, Updates},
    observer::Observer,
};

/// The most open connections: a scraper or two, a health check, and room for some that say nothing.
/// A further one takes the place of the oldest.
const CONNECTIONS_MAX: usize = 32;
/// The time for the head of a request. Scrapers send it at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// The time for one request, from its connection to the last byte of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest head of a request in bytes: the least that hyper takes. A scraper's has some 200.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// The time for which a rendered answer is sent again: rendering takes 0.1 ms of the thread, and
/// Prometheus asks once in some seconds.
const RENDER_PERIOD: Duration = Duration::from_secs(1);
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
pub(crate) struct MetricsListener {
    listener: Arc<TcpListener>,
    /// Names of this host that requests may carry, beside its addresses and `localhost`.
    names: Vec<String>,
}

impl MetricsListener {
    /// Listens on `addr` for requests to an address, to `localhost` or to one of `names`.
    ///
    /// # Errors
    /// The system refuses the address.
    pub(crate) async fn bind(addr: SocketAddr, names: Vec<String>) -> io::Result<Self> {
        Ok(Self { listener: Arc::new(TcpListener::bind(addr).await?), names })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Starts the task that answers requests.
    pub(crate) fn serve(self, observer: &Observer) {
        let Self { listener, names } = self;
        let (scrape, queue) = (Arc::new(Scrape::new(observer.clone(), names)), observer.low_priority());
        observer.supervise(Supervised::spawn("metrics", move || {
            let (listener, scrape, queue) = (listener.clone(), scrape.clone(), queue.clone());
            async move { match queue.run(answer_all(&listener, &scrape)).await {} }
        }));
    }
}

/// An open connection, until its request is answered.
type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn answer_all(listener: &TcpListener, scrape: &Arc<Scrape>) -> Infallible {
    let mut open: Vec<Answering> = Vec::new();
    let mut upkeep = interval(UPKEEP_PERIOD);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if open.len() == CONNECTIONS_MAX {
                        drop(open.remove(0));
                    }
                    open.push(Box::pin(answer(stream, scrape.clone())));
                    yield_now().await; // The next one takes a turn of its own.
                }
                Err(error) => {
                    tracing::debug!("cannot accept a request for metrics: {error}");
                    sleep(ACCEPT_BACK_OFF).await;
                }
            },
            () = any_answered(&mut open) => {}
            _ = upkeep.tick() => scrape.recorder.handle().run_upkeep(),
        }
    }
}

/// Waits until a connection is over, and removes it.
async fn any_answered(open: &mut Vec<Answering>) {
    poll_fn(|cx| {
        let before = open.len();
        open.retain_mut(|answering| answering.as_mut().poll(cx).is_pending());
        if open.len() < before { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Answers one request per connection, so that no client holds one of the few places.
async fn answer(stream: TcpStream, scrape: Arc<Scrape>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = scrape.respond(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new());
    http.header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX_BYTES);
    // A client that is too slow or goes away gets no answer, and asks again.
    let _ = timeout(REQUEST_TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await;
}

struct Scrape {
    observer: Observer,
    recorder: PrometheusRecorder,
    names: Vec<String>,
    /// The last rendered answer, and its time.
    rendered: Mutex<Option<(Instant, Bytes)>>,
}

impl Scrape {
    fn new(observer: Observer, names: Vec<String>) -> Self {
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
            describe_gauge!("netduel_tasks_down", "Tasks that panicked and have not started again yet.");
            describe_gauge!(
                "netduel_certificate_expires_seconds",
                "Seconds until the certificate expires, negative after that."
            );
        });
        Self { observer, recorder, names, rendered: Mutex::default() }
    }

    fn respond<T>(&self, request: &Request<T>) -> Response<Full<Bytes>> {
        crate::faults::strike("metrics");
        // A browser sends the name that its page asked for. A stranger's page can make its own name
        // point here, and would then read the answer. It cannot do so with an address.
        let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
        if host.is_some_and(|host| !self.is_ours(host)) {
            let said = "misdirected request: ask for an address, localhost or a name of --metrics-host\n";
            return text(StatusCode::MISDIRECTED_REQUEST, said);
        }
        let mut response = match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => text(StatusCode::OK, self.rendered()),
            (&Method::GET, "/health") => match self.observer.trouble() {
                Some(trouble) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
                None => text(StatusCode::OK, "ok\n"),
            },
            (_, "/metrics" | "/health") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: use GET\n")
            }
            _ => text(StatusCode::NOT_FOUND, "not found: try /metrics or /health\n"),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }

    /// Whether a request's Host header may mean this server.
    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default().trim_end_matches('.'),
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Returns the metrics, rendered within the last [`RENDER_PERIOD`].
    fn rendered(&self) -> Bytes {
        let mut rendered = self.rendered.lock();
        let kept = rendered.take().filter(|(at, _)| at.elapsed() < RENDER_PERIOD);
        let (at, text) = kept.unwrap_or_else(|| (Instant::now(), self.render().into()));
        *rendered = Some((at, text.clone()));
        text
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
            let down = self.observer.health().iter().filter(|task| task.down).count();
            gauge!("netduel_tasks_down").set(down as f64);
            if let Some(left_s) = self.observer.certificate_expires_in_s(SystemTime::now()) {
                gauge!("netduel_certificate_expires_seconds").set(left_s);
            }
        });
        self.recorder.handle().render()
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    // The content type names the version of Prometheus' text format; other clients read it as plain
    // text.
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use crate::{Config, Server};

    use super::*;

    #[tokio::test]
    async fn answers_to_own_names_only() {
        let observer = Server::new(vec![], Config::default()).observer();
        let scrape = Scrape::new(observer, vec!["metrics.example".into()]);
        for ours in ["127.0.0.1", "127.0.0.1:9464", "10.1.2.3", "[::1]:9464", "localhost", "LocalHost:1"] {
            assert!(scrape.is_ours(ours), "{ours}");
        }
        assert!(scrape.is_ours("Metrics.Example:9464") && scrape.is_ours("metrics.example."));
        for others in ["evil.example", "localhost.evil.example:9464", "", "[evil", "127.0.0.1.evil.example"] {
            assert!(!scrape.is_ours(others), "{others}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn renders_once_a_second() {
        let server = Server::new(vec![], Config::default());
        let scrape = Scrape::new(server.observer(), vec![]);
        let accepted = |text: Bytes| {
            let text = String::from_utf8(text.to_vec()).expect("text");
            text.lines().find_map(|line| line.strip_prefix("netduel_accepted_total ").map(str::to_owned))
        };
        assert_eq!(accepted(scrape.rendered()).as_deref(), Some("0"));
        server.observer().lobby.counters.accepted.increment();
        assert_eq!(accepted(scrape.rendered()).as_deref(), Some("0"), "it is sent again");
        tokio::time::advance(RENDER_PERIOD).await;
        assert_eq!(accepted(scrape.rendered()).as_deref(), Some("1"));
    }
}
