//! Responses and the headers that all of them have.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream;
use kiln_compare::page::live_policy;

use crate::run_page::SentFile;

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// How many bytes of a file are read at a time.
const PIECE: u64 = 64 << 10;

/// The policy of a run's files: a browser that opens one runs and loads nothing.
const FILE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// A response with a text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = with_type(TEXT, text.into() + "\n");
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        set(&mut response, ALLOW, "GET, HEAD");
    }
    response
}

/// A page, or `304` if the browser has this state of it.
pub(crate) fn page(headers: &HeaderMap, state: &str, html: impl Into<Body>) -> Response {
    with_state(headers, state, || with_type(HTML, html))
}

/// A part of a page.
pub(crate) fn html(html: String) -> Response {
    with_type(HTML, html)
}

/// A script of the server.
pub(crate) fn script(headers: &HeaderMap, state: &str, script: &'static str) -> Response {
    with_state(headers, state, || with_type("text/javascript; charset=utf-8", script))
}

/// A file of a run, as text or as PNG. It is read in pieces, so that slow clients do not hold files in memory.
pub(crate) fn file(sent: SentFile) -> Response {
    let SentFile { is_png, file, length } = sent;
    let pieces = stream::unfold(file.take(length), |mut rest| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            let read = rest.by_ref().take(PIECE).read_to_end(&mut piece);
            (read.map(|_| Bytes::from(piece)), rest)
        });
        match read.await {
            Ok((Ok(piece), _)) if piece.is_empty() => None,
            Ok((piece, rest)) => Some((piece, rest)),
            Err(_) => None,
        }
    });
    let mut response =
        with_type(if is_png { "image/png" } else { TEXT }, Body::from_stream(pieces));
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, CONTENT_SECURITY_POLICY, FILE_POLICY);
    response
}

/// Leads the browser to the same address without the token, which is in a cookie from now on.
pub(crate) fn token_given(location: &str, cookie: &str) -> Response {
    let mut response = text(StatusCode::SEE_OTHER, "the token was given");
    set(&mut response, LOCATION, location);
    set(&mut response, SET_COOKIE, cookie);
    response
}

/// Adds the headers that every response has.
pub(crate) fn protect(response: &mut Response) {
    if !response.headers().contains_key(CONTENT_SECURITY_POLICY) {
        set(response, CONTENT_SECURITY_POLICY, &live_policy());
    }
    if !response.headers().contains_key(CACHE_CONTROL) {
        set(response, CACHE_CONTROL, "private, no-cache");
    }
    set(response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(response, REFERRER_POLICY, "no-referrer");
    set(response, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(response, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
}

fn with_state(headers: &HeaderMap, state: &str, full: impl FnOnce() -> Response) -> Response {
    let tag = format!("\"{state}\"");
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut response = if is_known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        full()
    };
    set(&mut response, ETAG, &tag);
    response
}

fn with_type(kind: &'static str, content: impl Into<Body>) -> Response {
    let mut response = Response::new(content.into());
    set(&mut response, CONTENT_TYPE, kind);
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    // All values are plain text of the server, except a location, which is part of a valid address.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
