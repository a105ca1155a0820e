//! How this process sends webhooks.

use std::net::IpAddr;

use ipnet::IpNet;
use stepwell_core::{Error, Result};

use super::address;

/// Deliveries to one endpoint at once, unless set: a slow endpoint is slow by itself.
const AT_ONCE: usize = 4;
/// The most that can be set.
const AT_ONCE_MAX: usize = 256;

/// How this process sends webhooks. The defaults are for the open Internet: `https` on port 443, and no address that is
/// not public.
///
/// ```
/// use stepwell::webhook::WebhookOptions;
///
/// // Receivers in this network may be reached too, on any port and without TLS.
/// let options = WebhookOptions::new().allow("10.20.0.0/16");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookOptions {
    pub(super) policy: Policy,
    pub(crate) at_once: usize,
    pub(super) trusted: Vec<Vec<u8>>,
    pub(crate) idle: bool,
    mistake: Option<Error>,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl WebhookOptions {
    /// The defaults.
    pub fn new() -> Self {
        let policy = Policy { allow: Vec::new(), ports: vec![443], plain_http: false };
        Self { policy, at_once: AT_ONCE, trusted: Vec::new(), idle: false, mistake: None }
    }
    /// Allows the addresses of a network, such as `10.20.0.0/16` or `fd00::/8`, or one address: on any port, and also
    /// without TLS. May be called several times. A mistake in it is told when the queue is opened.
    pub fn allow(mut self, network: &str) -> Self {
        let parsed = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
        match parsed {
            Ok(network) => self.policy.allow.push(network),
            Err(_) => {
                let problem = format!("is not a network such as 10.20.0.0/16: {network:?}");
                self.mistake.get_or_insert(Error::invalid("webhook allow", problem));
            }
        }
        self
    }
    /// Allows a port beside 443 on public addresses. May be called several times.
    pub fn port(mut self, port: u16) -> Self {
        self.policy.ports.push(port);
        self
    }
    /// Allows `http`, with port 80, on public addresses. Whoever is on the way can read what is sent.
    pub fn plain_http(mut self) -> Self {
        self.policy.plain_http = true;
        self.port(80)
    }
    /// How many deliveries to one endpoint may be under way at once in this process: 4 unless set, at most 256.
    pub fn at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once.clamp(1, AT_ONCE_MAX);
        self
    }
    /// Trusts a certificate, in DER form, beside those of the system: that of a private authority, say.
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.trusted.push(certificate.into());
        self
    }
    /// Leaves the sending to other processes on the same store. Endpoints can be managed here all the same.
    pub fn idle(mut self) -> Self {
        self.idle = true;
        self
    }
    /// Whether every network was one.
    ///
    /// # Errors
    /// Which was not. Opening the queue says the same.
    pub fn check(&self) -> Result<()> {
        self.mistake.clone().map_or(Ok(()), Err)
    }
}

/// Which addresses may be connected to, and how.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) allow: Vec<IpNet>,
    pub(super) ports: Vec<u16>,
    pub(super) plain_http: bool,
}

impl Policy {
    /// Why a connection to an address must not be made; none if it may.
    pub(super) fn denies(&self, address: IpAddr, port: u16, secure: bool) -> Option<Denial> {
        let address = address.to_canonical();
        if self.allow.iter().any(|network| network.contains(&address)) {
            return None;
        }
        if !address::is_public(address) {
            return Some(Denial::Address);
        }
        self.denies_public(port, secure)
    }
    /// Why a connection to a public address must not be made in this way.
    pub(super) fn denies_public(&self, port: u16, secure: bool) -> Option<Denial> {
        match (secure || self.plain_http, self.ports.contains(&port)) {
            (false, _) => Some(Denial::Plain),
            (true, false) => Some(Denial::Port(port)),
            (true, true) => None,
        }
    }
    /// Whether nothing but public addresses can be reached.
    pub(super) fn is_public_only(&self) -> bool {
        self.allow.is_empty()
    }
}

/// Why a connection was not made. It names no address: what a name resolves to in this network is nobody's affair who
/// does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// No address of the host is public or allowed.
    Address,
    /// The host's name is one that webhooks must not go to.
    Name,
    /// It is not an allowed port.
    Port(u16),
    /// It would be without TLS.
    Plain,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address => f.write_str("its address is not public, and no allowed network holds it"),
            Self::Name => f.write_str("its host is one that webhooks do not go to"),
            Self::Port(port) => write!(f, "port {port} is not allowed; use 443, or have the port allowed"),
            Self::Plain => f.write_str("`http` is not allowed; use `https`, or have plain `http` allowed"),
        }
    }
}

impl std::error::Error for Denial {}

#[cfg(test)]
mod tests {
    use super::*;

    fn denies(options: &WebhookOptions, address: &str, port: u16, secure: bool) -> Option<Denial> {
        options.policy.denies(address.parse().unwrap(), port, secure)
    }

    #[test]
    fn the_defaults_are_for_the_open_internet() {
        let options = WebhookOptions::new();
        assert_eq!(denies(&options, "1.1.1.1", 443, true), None);
        assert_eq!(denies(&options, "1.1.1.1", 8443, true), Some(Denial::Port(8443)));
        assert_eq!(denies(&options, "1.1.1.1", 80, false), Some(Denial::Plain));
        assert_eq!(denies(&options, "10.0.0.1", 443, true), Some(Denial::Address));
        let options = options.plain_http().port(8443);
        assert_eq!(denies(&options, "1.1.1.1", 80, false), None);
        assert_eq!(denies(&options, "1.1.1.1", 8443, true), None);
        assert_eq!(denies(&options, "1.1.1.1", 22, true), Some(Denial::Port(22)));
    }

    #[test]
    fn an_allowed_network_is_reached_in_every_form_and_no_other_is() {
        let options = WebhookOptions::new().allow("10.20.0.0/16").allow("::1");
        options.check().unwrap();
        for address in ["10.20.3.4", "::ffff:10.20.3.4", "::1"] {
            assert_eq!(denies(&options, address, 8080, false), None, "{address}");
        }
        for address in ["10.21.0.1", "::ffff:10.21.0.1", "::2", "127.0.0.1", "64:ff9b::10.20.3.4"] {
            assert_eq!(denies(&options, address, 443, true), Some(Denial::Address), "{address}");
        }
    }

    #[test]
    fn a_wrong_network_is_told_when_the_queue_is_opened() {
        let error = WebhookOptions::new().allow("10.0.0.0/99").check().unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/99"), "{error}");
    }
}
