//! Headers that an endpoint adds to each request: an `Authorization`, say.

use http::{HeaderMap, HeaderName, HeaderValue};
use stepwell_core::{
    Error, Result,
    webhook::{HEADERS_MAX, Headers},
};

/// Bytes of one header's value. Servers refuse more than a few kilobytes of headers.
const VALUE_BYTES_MAX: usize = 2_000;

/// What must stay as it is: what Stepwell sends itself, and what is about the connection.
const RESERVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Beginnings of names that are reserved as a whole.
const RESERVED_PREFIXES: &[&str] = &["webhook-", "svix-", "proxy-", "sec-"];

/// Whether headers can be sent. Their values are never repeated in an error: they may be secrets.
pub(super) fn check(headers: &Headers) -> Result<()> {
    if headers.len() > HEADERS_MAX {
        let problem = format!("are {}, the limit is {HEADERS_MAX}", headers.len());
        return Err(Error::invalid("headers", problem));
    }
    encode(headers).map(drop)
}

/// The headers as they are sent.
pub(super) fn encode(headers: &Headers) -> Result<HeaderMap> {
    let mut encoded = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let field = || format!("headers.{name}");
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            // The name may be a value that was put in the wrong place.
            return Err(Error::invalid(
                "headers",
                "hold a name that is not a header's; use letters, digits and `-`",
            ));
        };
        let lower = parsed.as_str();
        if RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(Error::invalid(field(), "is set by Stepwell itself; remove it"));
        }
        if value.len() > VALUE_BYTES_MAX {
            let problem = format!("is {} bytes long, the limit is {VALUE_BYTES_MAX}", value.len());
            return Err(Error::invalid(field(), problem));
        }
        let is_text = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let Some(mut value) = HeaderValue::from_str(value).ok().filter(|_| is_text) else {
            return Err(Error::invalid(field(), "must be printable ASCII"));
        };
        value.set_sensitive(true);
        if encoded.insert(parsed, value).is_some() {
            return Err(Error::invalid(field(), "is there twice, in capital and small letters; remove one"));
        }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Headers {
        Headers::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn ordinary_headers_pass() {
        for (name, value) in [("Authorization", "Bearer abc"), ("X-Tenant", "7"), ("user-agent", "mine/1.0")]
        {
            check(&one(name, value)).unwrap();
        }
    }

    #[test]
    fn nothing_overrides_what_stepwell_or_the_connection_needs() {
        let names = [
            "Host",
            "content-length",
            "Webhook-Id",
            "webhook-signature",
            "webhook-timestamp",
            "TE",
            "Upgrade",
        ];
        for name in names.into_iter().chain([
            "Transfer-Encoding",
            "Content-Type",
            "Proxy-Authorization",
            "Connection",
        ]) {
            let error = check(&one(name, "x")).unwrap_err();
            assert_eq!(error.field(), Some(&*format!("headers.{name}")));
        }
    }

    #[test]
    fn nothing_is_smuggled_in_and_no_value_is_repeated() {
        for value in ["a\r\nHost: b", "a\nb", "a\0b", "caf\u{e9}", "\u{7f}", &"x".repeat(VALUE_BYTES_MAX + 1)]
        {
            let error = check(&one("x-a", value)).unwrap_err().to_string();
            assert!(!error.contains(value), "{error}");
        }
        for name in ["", "a b", "a:b", "a\r\nb", "é"] {
            assert!(check(&one(name, "x")).is_err(), "{name:?}");
        }
        let twice = Headers::from([("X-A".to_owned(), String::new()), ("x-a".to_owned(), String::new())]);
        assert!(check(&twice).unwrap_err().to_string().contains("twice"));
        let many = (0..=HEADERS_MAX).map(|n| (format!("x-{n}"), String::new())).collect();
        assert!(check(&many).unwrap_err().to_string().contains("the limit is 20"));
    }
}
