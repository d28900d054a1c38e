//! Who may request what: the rules that every request passes before anything else.

use std::net::IpAddr;

use axum::http::header::{COOKIE, HOST};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use crate::token::Token;

/// The rules of a server.
pub(crate) struct Access {
    /// The address that the server is bound to.
    pub(crate) address: IpAddr,
    /// The name by which the address was given.
    pub(crate) name: Option<String>,
    /// The token that is required.
    pub(crate) token: Option<Token>,
    /// The name of the cookie with the token. Cookies do not distinguish ports, so the name does.
    pub(crate) cookie: String,
}

/// The decision about a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// The address has the token: it moves to a cookie, and the browser requests the address without it.
    TokenGiven {
        location: String,
    },
    Refused(StatusCode, &'static str),
}

impl Access {
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        local: Option<IpAddr>,
    ) -> Decision {
        if method != Method::GET && method != Method::HEAD {
            return Decision::Refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "this server only answers GET and HEAD",
            );
        }
        if !self.is_own_host(headers, local) {
            return Decision::Refused(
                StatusCode::FORBIDDEN,
                "this server does not answer to this name: use the address that `kiln serve` has printed",
            );
        }
        if is_from_other_site(headers) {
            return Decision::Refused(
                StatusCode::FORBIDDEN,
                "this server does not answer to other sites",
            );
        }
        let Some(token) = &self.token else { return Decision::Allowed };
        let given = parameter(uri.query().unwrap_or_default(), "token");
        if given.is_some_and(|given| token.is(given)) {
            return Decision::TokenGiven { location: without_token(uri) };
        }
        if cookies(headers, &self.cookie).any(|given| token.is(given)) {
            return Decision::Allowed;
        }
        Decision::Refused(
            StatusCode::UNAUTHORIZED,
            "the address needs its token: use the one that `kiln serve` has printed",
        )
    }

    /// Whether the request was sent to a name of this server. A web page whose name was made to lead here has another one.
    fn is_own_host(&self, headers: &HeaderMap, local: Option<IpAddr>) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Some(host) = host.to_str().ok().and_then(without_port) else { return false };
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        if self.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(host)) {
            return true;
        }
        let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return false };
        // A name can be made to lead anywhere, but an address cannot.
        address.is_loopback()
            || address == self.address
            || Some(address) == local
            || self.address.is_unspecified()
    }
}

/// `127.0.0.1` of `127.0.0.1:8420`, `[::1]` of `[::1]:8420`; `None` if the port is not a number. Any port will do,
/// because a tunnel has another one.
fn without_port(host: &str) -> Option<&str> {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

/// Whether a page of another site has sent the request, other than by a link that the reader follows. Programs other than browsers
/// do not send these headers.
fn is_from_other_site(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let is_link = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
    (is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site")) && !is_link
}

/// The value of a parameter of a query.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The text of a value of a query, as a browser writes it: `+` is a space, and `%` precedes a byte in hexadecimal digits.
pub(crate) fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                digit(high)
                    .zip(digit(low))
                    .and_then(|(high, low)| u8::try_from(16 * high + low).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The path and the query without the token. It begins with a single `/`, so it does not lead to another server.
fn without_token(uri: &Uri) -> String {
    let path = format!("/{}", uri.path().trim_start_matches(['/', '\\']));
    let query = uri.query().unwrap_or_default().split('&');
    let query: Vec<&str> =
        query.filter(|pair| !pair.is_empty() && !pair.starts_with("token=")).collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_cut_off() {
        for (host, name) in [
            ("localhost", Some("localhost")),
            ("localhost:8420", Some("localhost")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[::1]:8420", Some("[::1]")),
            ("localhost:8420.evil.example", None),
            ("localhost:", Some("localhost")),
            ("localhost:evil", None),
            ("127.0.0.1.evil.example", Some("127.0.0.1.evil.example")),
        ] {
            assert_eq!(without_port(host), name, "{host}");
        }
    }

    #[test]
    fn values_are_decoded() {
        for (value, text) in [
            ("a+b%20c", "a b c"),
            ("%C3%a4", "ä"),
            ("100%", "100%"),
            ("%zz%2", "%zz%2"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decoded(value), text, "{value}");
        }
    }

    #[test]
    fn redirection_stays_on_this_server() {
        for (address, location) in [
            ("/?token=a", "/"),
            ("/run/1?token=a&in=2", "/run/1?in=2"),
            ("//evil.example/?token=a", "/evil.example/"),
            ("/\\evil.example?token=a", "/evil.example"),
        ] {
            let uri = address.parse::<Uri>();
            if let Ok(uri) = uri {
                assert_eq!(without_token(&uri), location, "{address}");
            }
        }
    }
}
