//! Connections with limits: how many there are, how long they may take, and how much they may send.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The largest number of connections at a time. Others wait until one ends.
const MAX_CONNECTIONS: usize = 128;
/// The largest size of a request in bytes.
const MAX_REQUEST: usize = 32 << 10;
/// The pause after the system has refused a connection, such as because of too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// How long clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time in which a client must send a request, and after which a connection without one is closed.
    pub request: Duration,
    /// The time after which a client that takes nothing of an answer is gone.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request: Duration::from_secs(20), answer: Duration::from_secs(30) }
    }
}

/// The listener of the server.
pub(crate) struct LimitedListener {
    listener: TcpListener,
    limits: Limits,
    permits: Arc<Semaphore>,
}

impl LimitedListener {
    pub(crate) fn new(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, limits, permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl Listener for LimitedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // Events are single small packets.
                    let _ = stream.set_nodelay(true);
                    return (Connection::new(stream, self.limits, permit), from);
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends if its client is too slow or sends too much.
pub(crate) struct Connection {
    stream: TcpStream,
    limits: Limits,
    /// The number of answers that are computed, or are sent as long as the client listens.
    answers: Arc<AtomicUsize>,
    /// The bytes received since the last answer.
    received: usize,
    /// When the next request must have arrived.
    deadline: Pin<Box<Sleep>>,
    /// When the client must have taken something of the answer; `None` while it does.
    stuck: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, limits: Limits, permit: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            limits,
            answers: Arc::default(),
            received: 0,
            deadline: Box::pin(sleep(limits.request)),
            stuck: None,
            _permit: permit,
        }
    }

    /// Passes on what a write has done, and limits the time in which nothing is written.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            let limit = self.limits.answer;
            let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
            return stuck.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        self.stuck = None;
        self.received = 0;
        let limit = self.limits.request;
        self.deadline.as_mut().reset(Instant::now() + limit);
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, into) {
            Poll::Ready(Ok(())) => {
                self.received += into.filled().len() - before;
                Poll::Ready(if self.received > MAX_REQUEST {
                    Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large"))
                } else {
                    Ok(())
                })
            }
            Poll::Pending if self.answers.load(Ordering::Relaxed) == 0 => {
                self.deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What a request needs to know of its connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionInfo {
    answers: Arc<AtomicUsize>,
    /// The address of this machine to which the client has connected.
    pub(crate) local: Option<IpAddr>,
}

impl Connected<IncomingStream<'_, LimitedListener>> for ConnectionInfo {
    fn connect_info(stream: IncomingStream<'_, LimitedListener>) -> Self {
        let connection = stream.io();
        Self {
            answers: Arc::clone(&connection.answers),
            local: connection.stream.local_addr().ok().map(|address| address.ip()),
        }
    }
}

/// While this exists, the client need not send anything.
pub(crate) struct Answer(Arc<AtomicUsize>);

impl Answer {
    pub(crate) fn begin(connection: &ConnectionInfo) -> Self {
        connection.answers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&connection.answers))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
