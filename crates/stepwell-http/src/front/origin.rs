//! Whether another site's page sent the request.

use http::{HeaderMap, HeaderValue, Method, header};

/// Whether a browser sent this on behalf of another site's page.
///
/// Browsers say so in `Sec-Fetch-Site`; older ones send at least `Origin` with what changes something. A bearer token
/// is neither a cookie nor a password: nobody's browser adds it to a request by itself.
pub(crate) fn is_cross_site(method: &Method, headers: &HeaderMap, host: &str) -> bool {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let is_bearer = |value: &HeaderValue| {
        value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
    };
    if credentials.next().is_some_and(is_bearer) && credentials.next().is_none() {
        return false;
    }
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if let Some(site) = headers.get("sec-fetch-site") {
        let own = matches!(site.as_bytes(), b"same-origin" | b"none");
        // Following a link from elsewhere is not the page's request, but its reader's.
        let followed =
            reads && headers.get("sec-fetch-mode").is_some_and(|mode| mode.as_bytes() == b"navigate");
        return !own && !followed;
    }
    match headers.get(header::ORIGIN) {
        Some(origin) => {
            let origin = origin.to_str().unwrap_or("");
            let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
            !authority.eq_ignore_ascii_case(host)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crosses(method: Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        is_cross_site(&method, &headers, "localhost:7717")
    }

    #[test]
    fn own_pages_and_programs_pass() {
        assert!(!crosses(Method::POST, &[]));
        assert!(!crosses(Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(!crosses(Method::POST, &[("sec-fetch-site", "none")]));
        assert!(!crosses(Method::POST, &[("origin", "http://localhost:7717")]));
        assert!(!crosses(Method::POST, &[("sec-fetch-site", "cross-site"), ("authorization", "Bearer x")]));
        assert!(!crosses(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
    }

    #[test]
    fn other_sites_do_not() {
        assert!(crosses(Method::POST, &[("sec-fetch-site", "cross-site")]));
        assert!(crosses(Method::POST, &[("sec-fetch-site", "same-site")]));
        // A password is sent along by the browser itself, whoever's page asks.
        assert!(crosses(Method::POST, &[("sec-fetch-site", "cross-site"), ("authorization", "Basic YTpi")]));
        assert!(crosses(Method::POST, &[("sec-fetch-site", "cross-site"), ("authorization", "Bearerx")]));
        assert!(crosses(Method::POST, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
        assert!(crosses(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]));
        assert!(crosses(Method::POST, &[("origin", "http://evil.test")]));
        assert!(crosses(Method::DELETE, &[("origin", "null")]));
        assert!(crosses(Method::POST, &[("origin", "http://localhost:7718")]));
    }
}
