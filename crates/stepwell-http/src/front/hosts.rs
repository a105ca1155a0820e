//! Under which names the server is reached. Anything else is an attack by DNS rebinding, or a mistake.

use std::{collections::BTreeSet, sync::Arc};

use http::{Uri, header, request::Parts};

/// Under which names the API is reached.
///
/// A page on any site can make its own name point to a machine in a private network, and then talk to it as if it were
/// its own server. What it cannot change is the `Host` that the browser sends.
#[derive(Clone, Debug)]
pub struct Hosts(Option<Arc<BTreeSet<String>>>);

impl Hosts {
    /// Exactly these, each with its port if that is not the scheme's own: `jobs.example.com`, `localhost:7717`.
    pub fn only<H: Into<String>>(hosts: impl IntoIterator<Item = H>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.into().to_ascii_lowercase());
        Self(Some(Arc::new(hosts.collect())))
    }
    /// Whatever the client says: for applications that check it themselves.
    #[must_use]
    pub fn any() -> Self {
        Self(None)
    }

    /// The host that the request names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, parts: &Parts) -> Result<String, HostFault> {
        let named = host_of(parts)?;
        match &self.0 {
            Some(allowed) if !allowed.contains(&named) => Err(HostFault::Unknown),
            _ => Ok(named),
        }
    }
}

/// What is wrong with a request's host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HostFault {
    /// There is none, or more than one, or it is not text.
    Malformed,
    /// It is not one of those that are served.
    Unknown,
}

fn host_of(parts: &Parts) -> Result<String, HostFault> {
    let mut headers = parts.headers.get_all(header::HOST).iter();
    let header = headers.next().map(|value| value.to_str().map_err(|_| HostFault::Malformed)).transpose()?;
    if headers.next().is_some() {
        return Err(HostFault::Malformed);
    }
    let of_target = |uri: &Uri| uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    match (header.map(str::to_ascii_lowercase), of_target(&parts.uri)) {
        // A proxy may have been fooled by one, and this server by the other.
        (Some(header), Some(target)) if header != target => Err(HostFault::Malformed),
        (Some(host), _) | (None, Some(host)) if !host.is_empty() => Ok(host),
        _ => Err(HostFault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(hosts: &Hosts, uri: &str, host: &[&str]) -> Result<String, HostFault> {
        let mut request = Request::builder().uri(uri);
        for host in host {
            request = request.header(header::HOST, *host);
        }
        hosts.check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_the_exact_name_passes() {
        let hosts = Hosts::only(["Jobs.example.com", "localhost:7717"]);
        for good in ["jobs.example.com", "JOBS.example.com", "localhost:7717"] {
            check(&hosts, "/", &[good]).unwrap();
        }
        for bad in ["example.com", "jobs.example.com.", "jobs.example.com:80", "localhost", "evil.test"] {
            assert_eq!(check(&hosts, "/", &[bad]), Err(HostFault::Unknown), "{bad}");
        }
    }

    #[test]
    fn there_is_one_host_and_it_agrees_with_the_target() {
        let hosts = Hosts::only(["a"]);
        assert_eq!(check(&hosts, "/", &[]), Err(HostFault::Malformed));
        assert_eq!(check(&hosts, "/", &["a", "a"]), Err(HostFault::Malformed));
        assert_eq!(check(&hosts, "http://b/", &["a"]), Err(HostFault::Malformed));
        assert_eq!(check(&hosts, "http://a/", &["a"]), Ok("a".into()));
        assert_eq!(check(&Hosts::any(), "/", &["whatever"]), Ok("whatever".into()));
    }
}
