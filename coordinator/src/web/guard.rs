//! What every request passes: who may ask from where, and what every answer says to the browser.
//!
//! A browser runs pages of strangers, and any of them may send requests to this port. So commands must come from our
//! own pages ([`is_same_origin`]) and be JSON, which a foreign page cannot send without asking; and the name under which
//! we are asked must be an address or `localhost`, or a stranger could point a name of theirs at this machine.
//! A program that is no browser sends none of these headers and passes.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::SECURITY_HEADERS;
use super::api::Problem;

/// Who can reach the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// This machine only.
    Loopback,
    /// Other machines too; they may know this one under any name.
    Network,
}

/// Lets a request pass, or refuses it, and puts the security headers on its answer.
pub(super) async fn guard(State(reach): State<Reach>, request: Request, next: Next) -> Response {
    let mut response = match check(reach, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(reach: Reach, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &axum::http::HeaderValue| value.to_str().ok())
    };
    let is_foreign_name = text(header::HOST).is_some_and(|host| !is_own_name(host));
    if reach == Reach::Loopback && is_foreign_name {
        let detail = "ask under localhost or an address, not under another name";
        return Err(Problem::new(StatusCode::FORBIDDEN, "CROSS_ORIGIN", detail));
    }
    if *method == Method::GET || *method == Method::HEAD {
        return Ok(());
    }
    if !is_same_origin(headers) {
        let detail = "commands are taken from the coordinator's own pages only";
        return Err(Problem::new(StatusCode::FORBIDDEN, "CROSS_ORIGIN", detail));
    }
    let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        let detail = "send the command with content-type application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", detail));
    }
    Ok(())
}

/// Tells whether a request comes from our own pages, or from no browser at all.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        (Some(_), None) => false,
    }
}

/// Tells whether nobody but us can have been meant by a `Host`.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    // Names without a dot are of this network: containers and machines beside us, never a stranger's.
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok() || !name.contains(['.', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let named = |(name, value): &(&'static str, &'static str)| {
            (name.parse().expect("a header"), value.parse().expect("a value"))
        };
        list.iter().map(named).collect::<HeaderMap>()
    }

    #[test]
    fn commands_of_other_origins_are_refused() {
        let json = ("content-type", "application/json");
        let refused = [
            headers(&[json, ("host", "localhost:3000"), ("origin", "http://evil.example")]),
            headers(&[json, ("sec-fetch-site", "cross-site"), ("host", "localhost:3000")]),
            headers(&[json, ("sec-fetch-site", "same-site"), ("host", "localhost:3000")]),
            headers(&[json, ("sec-fetch-site", "same-origin"), ("host", "evil.example:3000")]),
            headers(&[("host", "localhost:3000"), ("content-type", "text/plain")]),
        ];
        for headers in refused {
            assert!(check(Reach::Loopback, &Method::POST, &headers).is_err(), "{headers:?}");
        }
        let passed = [
            headers(&[json, ("host", "localhost:3000"), ("origin", "http://localhost:3000")]),
            headers(&[json, ("host", "127.0.0.1:3000"), ("sec-fetch-site", "same-origin")]),
            headers(&[json, ("host", "[::1]:3000")]),
        ];
        for headers in passed {
            assert!(check(Reach::Loopback, &Method::POST, &headers).is_ok(), "{headers:?}");
        }
    }
}
