//! The server: its socket, its routes, and its end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Path as Captures, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::{Either, select};
use futures_util::stream;
use kiln_compare::Ranking;
use tokio::sync::watch;

use crate::access::{Access, Decision};
use crate::connection::{Answer, ConnectionInfo, LimitedListener, Limits};
use crate::error::{Result, ServeError};
use crate::page::{self, View};
use crate::respond;
use crate::run_page;
use crate::site::Site;
use crate::token::Token;

/// How many ports are tried.
const PORTS: u16 = 50;
/// The largest number of streams of events.
const MAX_STREAMS: usize = 64;
/// The pause after which a stream without an event sends three bytes, so that a connection that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// The pause after which a browser connects again.
const RETRY: Duration = Duration::from_secs(2);
/// The time in which answers are completed when the server ends.
const END: Duration = Duration::from_secs(1);

const SCRIPT: &str = include_str!("../templates/live.js");

/// What is served, and where.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The directory: of all runs, of a sweep, or of one run. It need not exist yet.
    pub path: PathBuf,
    /// The address to listen on.
    pub address: IpAddr,
    /// The name by which the address was given, if it was not a number.
    pub name: Option<String>,
    /// The first port to try; 0 for any.
    pub port: u16,
    /// Whether the token is required even if only this machine reaches the address.
    pub token: bool,
    /// The metric and the epoch that rank.
    pub ranking: Ranking,
    /// The significance level of the answer.
    pub level: f64,
    /// How long clients may take.
    pub limits: Limits,
    /// Look for changes after each such pause, as if the system reported none. `None`: only if it reports none.
    pub poll: Option<Duration>,
}

impl ServeOptions {
    /// A directory on 127.0.0.1, on any free port, with the default ranking.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            address: Ipv4Addr::LOCALHOST.into(),
            name: None,
            port: 0,
            token: false,
            ranking: Ranking::default(),
            level: 0.05,
            limits: Limits::default(),
            poll: None,
        }
    }
}

/// A server that listens, and answers as soon as it [`run`](Self::run)s.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
    access: Arc<Access>,
    limits: Limits,
    stop: watch::Sender<bool>,
}

/// Ends a server from another thread.
#[derive(Debug, Clone)]
pub struct StopServer(watch::Sender<bool>);

impl StopServer {
    /// Ends the server: streams are closed, and answers have a second to be completed.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Server {
    /// Begins to listen, on the first free port from the given one on.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the address cannot be used, or no port is free.
    pub fn bind(options: &ServeOptions) -> Result<Self> {
        let listener = listen(options.address, options.port)?;
        let address = listener
            .set_nonblocking(true)
            .and_then(|()| listener.local_addr())
            .map_err(|cause| ServeError::Io { action: "listen", cause })?;
        let needs_token = options.token || !options.address.is_loopback();
        let access = Access {
            address: options.address,
            name: options.name.clone(),
            token: if needs_token { Some(Token::new()?) } else { None },
            cookie: format!("kiln-{}", address.port()),
        };
        let site = Site::new(options)?;
        let (stop, _) = watch::channel(false);
        Ok(Self {
            listener,
            address,
            site: Arc::new(site),
            access: Arc::new(access),
            limits: options.limits,
            stop,
        })
    }

    /// The address for a browser, with the token if one is required.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.address.port();
        let host = match (&self.access.name, reachable(self.address.ip())) {
            (Some(name), _) => name.clone(),
            (None, IpAddr::V6(address)) => format!("[{address}]"),
            (None, IpAddr::V4(address)) => address.to_string(),
        };
        let token = self.access.token.as_ref();
        let token = token.map_or_else(String::new, |token| format!("?token={}", token.as_str()));
        format!("http://{host}:{port}/{token}")
    }

    /// The port that the server listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Why the server looks for changes itself; `None` if the system reports them.
    #[must_use]
    pub fn limitation(&self) -> Option<String> {
        self.site.limitation().clone()
    }

    /// Ends the server from another thread.
    #[must_use]
    pub fn stopper(&self) -> StopServer {
        StopServer(self.stop.clone())
    }

    /// Answers requests until it is [stopped](Self::stopper).
    ///
    /// # Errors
    ///
    /// [`ServeError::Io`] if the operating system refuses.
    pub fn run(self) -> Result<()> {
        let failed = |cause| ServeError::Io { action: "start the server", cause };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().max_blocking_threads(4).build().map_err(failed)?;
        let ended = runtime.block_on(self.answer()).map_err(failed);
        // A rendering in progress is of no use any more.
        runtime.shutdown_background();
        ended
    }

    async fn answer(self) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let listener = LimitedListener::new(listener, self.limits);
        let follow = tokio::spawn(Arc::clone(&self.site).follow());
        let first = Arc::clone(&self.site);
        // The first reader need not wait for it.
        tokio::spawn(async move { first.refresh().await });
        let router = router(Arc::clone(&self.site), self.access);
        let service = router.into_make_service_with_connect_info::<ConnectionInfo>();
        let site = Arc::clone(&self.site);
        let closing = stopped(self.stop.subscribe());
        let serve = axum::serve(listener, service).with_graceful_shutdown(async move {
            closing.await;
            site.close();
        });
        let late = stopped(self.stop.subscribe());
        let late = async move {
            late.await;
            tokio::time::sleep(END).await;
        };
        let ended = match select(pin!(serve.into_future()), pin!(late)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Ok(()),
        };
        follow.abort();
        ended
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stop.wait_for(|is_stopped| *is_stopped).await;
}

/// The address to print. If the server is bound to all addresses (`0.0.0.0` or `::`), it is one by which other machines reach this one.
fn reachable(address: IpAddr) -> IpAddr {
    if !address.is_unspecified() {
        return address;
    }
    // Addresses for documentation, to which nothing is sent: the system only chooses the address from which it would send.
    let (other, loopback): (IpAddr, IpAddr) = match address {
        IpAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => {
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into())
        }
    };
    let chosen = UdpSocket::bind((address, 0)).and_then(|socket| {
        socket.connect((other, 9))?;
        socket.local_addr()
    });
    chosen.map_or(loopback, |chosen| chosen.ip())
}

/// Listens on the first free port from the given one on.
fn listen(address: IpAddr, first: u16) -> Result<TcpListener> {
    let last = if first == 0 { 0 } else { first.saturating_add(PORTS - 1) };
    for port in first..=last {
        match TcpListener::bind((address, port)) {
            Ok(listener) => return Ok(listener),
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse && first != 0 => {}
            Err(cause) => {
                return Err(ServeError::Listen { address: (address, port).into(), cause });
            }
        }
    }
    Err(ServeError::NoFreePort { address, first, last })
}

fn router(site: Arc<Site>, access: Arc<Access>) -> Router {
    Router::new()
        .route("/", get(comparison))
        .route("/rows", get(rows))
        .route("/run/{key}", get(run))
        .route("/run/{key}/{name}", get(file))
        .route("/events", get(events))
        .route("/live.js", get(script))
        .fallback(|| async { not_found("there is no such page") })
        .with_state(site)
        .layer(from_fn_with_state(access, guard))
}

/// Checks a request before anything else, and adds the headers of every response.
async fn guard(
    State(access): State<Arc<Access>>,
    ConnectInfo(connection): ConnectInfo<ConnectionInfo>,
    request: Request,
    next: Next,
) -> Response {
    let _answer = Answer::begin(&connection);
    let decision =
        access.check(request.method(), request.uri(), request.headers(), connection.local);
    let mut response = match decision {
        Decision::Allowed => next.run(request).await,
        Decision::TokenGiven { location } => {
            let token = access.token.as_ref().map_or("", Token::as_str);
            let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax", access.cookie);
            respond::token_given(&location, &cookie)
        }
        Decision::Refused(status, problem) => respond::text(status, problem),
    };
    respond::protect(&mut response);
    response
}

async fn comparison(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    let view = View::parse(uri.query().unwrap_or_default());
    site.refresh().await;
    if let Some(page) = site.rendered(&view) {
        return respond::page(&headers, &page.state, page.html.clone());
    }
    // Readers that ask at the same time wait for one rendering.
    let _one_at_a_time = site.rendering.lock().await;
    if let Some(page) = site.rendered(&view) {
        return respond::page(&headers, &page.state, page.html.clone());
    }
    let worker = Arc::clone(&site);
    let wanted = view.clone();
    let rendered = tokio::task::spawn_blocking(move || {
        let (version, start) = (worker.version(), Instant::now());
        let page = page::comparison(&worker, &wanted)?;
        Some(page.map(|(page, draw_after)| (version, Arc::new(page), start.elapsed(), draw_after)))
    });
    match rendered.await {
        Ok(Some(Ok((version, page, took, draw_after)))) => {
            if let Some(pause) = draw_after {
                draw_charts(Arc::clone(&site), view.clone(), pause);
            }
            site.keep(view, version, &page, took);
            respond::page(&headers, &page.state, page.html.clone())
        }
        Ok(Some(Err(error))) => failed(&error.to_string()),
        Ok(None) => not_found("there is no such directory, dataset or tag"),
        Err(_) => failed("the page could not be rendered"),
    }
}

/// Draws charts in the background after a pause. Receivers of events then learn of a change.
fn draw_charts(site: Arc<Site>, view: View, pause: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        let worker = Arc::clone(&site);
        let _ = tokio::task::spawn_blocking(move || page::draw(&worker, &view)).await;
    });
}

/// Further rows of a table: those after the first ones, or with some words, or in another order.
async fn rows(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    site.refresh().await;
    let query = uri.query().unwrap_or_default().to_owned();
    let _one_at_a_time = site.rendering.lock().await;
    let worker = Arc::clone(&site);
    match tokio::task::spawn_blocking(move || page::rows(&worker, &query)).await {
        Ok(Some(Ok(html))) => respond::html(html),
        Ok(Some(Err(error))) => failed(&error.to_string()),
        Ok(None) => not_found("there is no such table, directory, dataset or tag"),
        Err(_) => failed("the rows could not be rendered"),
    }
}

async fn run(
    State(site): State<Arc<Site>>,
    Captures(key): Captures<String>,
    headers: HeaderMap,
) -> Response {
    site.refresh().await;
    let Ok(_permit) = site.run_renderings.acquire().await else { return failed("it ends") };
    let worker = Arc::clone(&site);
    let known = headers.get(axum::http::header::IF_NONE_MATCH).cloned();
    let rendered = tokio::task::spawn_blocking(move || {
        let state = run_page::state(&worker, &key)?;
        if known.is_some_and(|known| known == format!("\"{state}\"").as_str()) {
            return Some(Ok(page::Page { state, html: axum::body::Bytes::new() }));
        }
        run_page::render(&worker, &key)
    });
    match rendered.await {
        Ok(Some(Ok(page))) => respond::page(&headers, &page.state, page.html),
        Ok(Some(Err(error))) => failed(&error.to_string()),
        Ok(None) => not_found("there is no such run"),
        Err(_) => failed("the page could not be rendered"),
    }
}

async fn file(
    State(site): State<Arc<Site>>,
    Captures((key, name)): Captures<(String, String)>,
) -> Response {
    site.refresh().await;
    let Ok(_permit) = site.run_renderings.acquire().await else { return failed("it ends") };
    let worker = Arc::clone(&site);
    let read = tokio::task::spawn_blocking(move || run_page::file(&worker, &key, &name));
    match read.await {
        Ok(Some(file)) => respond::file(file),
        _ => not_found("there is no such file"),
    }
}

async fn script(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    respond::script(&headers, &site.state("live"), SCRIPT)
}

/// The number of the last change, now and after each change.
async fn events(
    State(site): State<Arc<Site>>,
    ConnectInfo(connection): ConnectInfo<ConnectionInfo>,
) -> Response {
    if site.watchers() >= MAX_STREAMS {
        return respond::text(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open");
    }
    let answer = Answer::begin(&connection);
    let changes = site.subscribe();
    let stream =
        stream::unfold((changes, answer, true), |(mut changes, answer, is_first)| async move {
            if !is_first && changes.changed().await.is_err() {
                return None;
            }
            let version = *changes.borrow_and_update();
            if version.is_closing {
                return None;
            }
            let event = Event::default().data(version.number.to_string());
            let event = if is_first { event.retry(RETRY) } else { event };
            Some((Ok::<_, Infallible>(event), (changes, answer, false)))
        });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

fn not_found(problem: &str) -> Response {
    respond::text(StatusCode::NOT_FOUND, problem)
}

fn failed(problem: &str) -> Response {
    respond::text(StatusCode::INTERNAL_SERVER_ERROR, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_free_port_is_taken() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let first = listen(address, 0).expect("a port");
        let port = first.local_addr().expect("an address").port();
        let second = listen(address, port).expect("another port");
        let other = second.local_addr().expect("an address").port();
        assert!(other > port && other < port.saturating_add(PORTS), "{port} {other}");
    }
}
