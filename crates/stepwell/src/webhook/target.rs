//! Where a webhook goes, as somebody wrote it.

use std::net::IpAddr;

use stepwell_core::{Error, Result, webhook};
use url::{Host, Url};

use super::{
    address,
    options::{Denial, Policy},
};

/// A URL that keeps the rules which can be checked without asking for its host's address. That is checked when it is
/// connected to, each time.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: Url,
}

impl Target {
    /// Reads a URL. `field` is how its writer calls it.
    pub(super) fn parse(field: &str, text: &str, policy: &Policy) -> Result<Self> {
        webhook::check_url(text).map_err(|_| {
            let limit = webhook::URL_BYTES_MAX;
            Error::invalid(
                field,
                format!("must be a URL of at most {limit} bytes without control characters"),
            )
        })?;
        let wrong = |problem: String| Error::invalid(field, problem);
        let url = Url::parse(text).map_err(|error| wrong(format!("is not a URL: {error}")))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong(format!("must begin with https://, not {}:", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold a user or a password; send a header instead".into()));
        }
        if url.fragment().is_some() {
            return Err(wrong("must not hold a fragment: it is not sent".into()));
        }
        let target = Self { url };
        match target.denial(policy) {
            Some(denial) => Err(wrong(format!("cannot be used: {denial}"))),
            None => Ok(target),
        }
    }
    /// Why it must not be connected to, as far as that can be told from the URL.
    pub(super) fn denial(&self, policy: &Policy) -> Option<Denial> {
        let (port, secure) = (self.url.port_or_known_default().unwrap_or(0), self.url.scheme() == "https");
        match self.url.host() {
            None => Some(Denial::Name),
            Some(Host::Domain(name)) if address::is_denied_name(name) => Some(Denial::Name),
            // Its address may be in an allowed network, where every port and scheme is.
            Some(Host::Domain(_)) if !policy.is_public_only() => None,
            Some(Host::Domain(_)) => policy.denies_public(port, secure),
            Some(Host::Ipv4(address)) => policy.denies(IpAddr::V4(address), port, secure),
            Some(Host::Ipv6(address)) => policy.denies(IpAddr::V6(address), port, secure),
        }
    }
    /// As it is requested, its host in ASCII and its address, if it is one, in the usual form.
    pub(super) fn uri(&self) -> Result<http::Uri> {
        // What the one parser accepts and normalises, the other may still not know.
        let wrong =
            |error: http::uri::InvalidUri| Error::invalid("url", format!("cannot be requested: {error}"));
        self.url.as_str().parse().map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::options::WebhookOptions, *};

    fn problem(text: &str, options: &WebhookOptions) -> String {
        let error = Target::parse("url", text, &options.policy).unwrap_err();
        assert_eq!(error.field(), Some("url"));
        error.to_string()
    }

    #[test]
    fn ordinary_urls_pass() {
        let policy = WebhookOptions::new().policy;
        for text in ["https://hooks.example/a?b=c", "https://bücher.example/", "https://1.1.1.1:443/x"] {
            Target::parse("url", text, &policy).unwrap().uri().unwrap();
        }
        let uri = Target::parse("url", "https://bücher.example", &policy).unwrap().uri().unwrap();
        assert_eq!(uri.to_string(), "https://xn--bcher-kva.example/");
    }

    #[test]
    fn each_mistake_is_told_with_its_fix() {
        let options = WebhookOptions::new();
        for (text, part) in [
            ("ftp://a.example/", "must begin with https://"),
            ("file:///etc/passwd", "must begin with https://"),
            ("hooks.example", "is not a URL"),
            ("https://", "is not a URL"),
            ("https://user:canary@a.example/", "must not hold a user or a password"),
            ("https://a.example/#x", "fragment"),
            ("http://a.example/", "`http` is not allowed"),
            ("https://a.example:22/", "port 22 is not allowed"),
            ("https://127.0.0.1/", "not public"),
            ("https://metadata.google.internal/", "do not go to"),
            ("https://a.example/\n", "control characters"),
        ] {
            let told = problem(text, &options);
            assert!(told.contains(part), "{text}: {told}");
            assert!(!told.contains("canary"), "{told}");
        }
        assert!(
            problem(&format!("https://a.example/{}", "x".repeat(2_000)), &options).contains("2000 bytes")
        );
    }

    #[test]
    fn with_an_allowed_network_a_name_is_judged_by_its_address() {
        let policy = WebhookOptions::new().allow("10.0.0.0/8").policy;
        for text in
            ["http://billing.internal:8080/hook", "http://10.1.2.3:9000/", "http://[::ffff:10.1.2.3]/"]
        {
            Target::parse("url", text, &policy).unwrap();
        }
        assert!(Target::parse("url", "http://11.1.2.3:9000/", &policy).is_err());
    }
}
