//! Encryption: what `sslmode` and `sslrootcert` ask for, with the meaning that they have for every other PostgreSQL
//! client.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use stepwell_core::{Error, Result};
use tokio_postgres::{Config, config::SslMode};

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// As the address says: not at all, if possible, or always, against those who only listen.
    Plain,
    /// Against those who pretend to be the server and are not known to the authority: `verify-ca`.
    Authority,
    /// Against everybody else, too: `verify-full`.
    Full,
}

/// What an address says of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    mode: Mode,
    /// A file with the certificates of authorities; the system's if there is none.
    roots: Option<PathBuf>,
}

/// Takes out of an address what its parser does not know.
///
/// # Errors
/// If it asks for something that makes no sense.
pub(crate) fn split(url: &str) -> Result<(String, Tls)> {
    let wrong =
        |why: &str| Err(Error::invalid("store", format!("asks for encryption that makes no sense: {why}")));
    let (mut mode, mut roots) = (None, None);
    // An address, or words: `host=db sslmode=verify-full`.
    let (begin, rest, between) = match url.split_once('?') {
        _ if !url.contains("://") => ("", url, ' '),
        Some((begin, rest)) => (begin, rest, '&'),
        None => return Ok((url.to_owned(), Tls { mode: Mode::Plain, roots })),
    };
    let mut kept = Vec::new();
    for word in rest.split(between) {
        match word.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", "" | "system")) => roots = None,
            Some(("sslrootcert", path)) if between == '&' => roots = Some(PathBuf::from(decoded(path))),
            Some(("sslrootcert", path)) => roots = Some(PathBuf::from(path.trim_matches('\''))),
            _ => kept.push(word),
        }
    }
    let system = rest.split(between).any(|word| word == "sslrootcert=system");
    let (mode, parsed) = match (mode, roots.is_some()) {
        (Some("verify-full"), _) => (Mode::Full, Some("require")),
        (Some("verify-ca"), true) => (Mode::Authority, Some("require")),
        (Some("verify-ca"), false) => {
            return wrong(
                "`sslmode=verify-ca` needs `sslrootcert=PATH`, since the authorities that the system knows make \
                 certificates for everybody; name the file of your own authority, or use `sslmode=verify-full`",
            );
        }
        // So it is for every other client: whoever names an authority wants it to count.
        (Some("require"), true) => (Mode::Authority, Some("require")),
        (mode @ (None | Some("prefer" | "allow" | "disable")), true) => {
            let mode = mode.map_or_else(|| "no `sslmode`".to_owned(), |mode| format!("`sslmode={mode}`"));
            return wrong(&format!(
                "with {mode}, nobody looks at the `sslrootcert`; add `sslmode=verify-full`, or leave it out"
            ));
        }
        (mode, _) if system && mode != Some("verify-full") => {
            return wrong("`sslrootcert=system` needs `sslmode=verify-full`");
        }
        (mode, _) => (Mode::Plain, mode),
    };
    let parsed = parsed.map(|parsed| format!("sslmode={parsed}"));
    kept.extend(parsed.as_deref());
    let rest = kept.join(if between == '&' { "&" } else { " " });
    let url = match (begin.is_empty(), rest.is_empty()) {
        (true, _) => rest,
        (false, true) => begin.to_owned(),
        (false, false) => format!("{begin}?{rest}"),
    };
    Ok((url, Tls { mode, roots }))
}

/// A part of a URL without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match escaped.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Tls {
    pub(crate) fn set(&self, config: &mut Config) {
        if self.mode != Mode::Plain {
            config.ssl_mode(SslMode::Require);
        }
    }
    /// # Errors
    /// If the file of the authorities cannot be read.
    pub(crate) fn client(&self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let refused = |error: rustls::Error| Error::refused(format!("cannot set up encryption: {error}"));
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
        let verifier = match self.mode {
            Mode::Plain => Trusting { provider, roots: None },
            Mode::Authority => Trusting { provider, roots: Some(self.roots()?) },
            Mode::Full => return Ok(builder.with_root_certificates(self.roots()?).with_no_client_auth()),
        };
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.roots else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let unusable = |why: String| {
            Error::invalid("store", format!("asks for `sslrootcert={}`, {why}", path.display()))
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| unusable(format!("which cannot be read: {error}")))?;
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| unusable(format!("in which a certificate is wrong: {error}")))?;
        }
        match roots.is_empty() {
            true => Err(unusable("which holds no certificate; it must be a file in PEM format".into())),
            false => Ok(roots),
        }
    }
}

/// `sslmode=prefer` and `require` do not ask who the server is, and `verify-ca` not by which name.
#[derive(Debug)]
struct Trusting {
    provider: Arc<CryptoProvider>,
    /// The authorities, one of which must know the server.
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let server = ParsedCertificate::try_from(server)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&server, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why the server's certificate is not accepted, if that is what a connection failed with, and what to do.
pub(crate) fn objection(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(why) = error else { return None };
    let instead = match why {
        CertificateError::UnknownIssuer => {
            "name the file of the authority that made it with `sslrootcert=PATH`, or correct it"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use the name that it is for, or `sslmode=verify-ca` with the `sslrootcert` of your own authority"
        }
        _ => "give the server another one",
    };
    Some(format!("the certificate of the database's server is not accepted ({why}); {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> (String, Mode, Option<String>) {
        let (url, Tls { mode, roots }) = split(url).unwrap();
        (url, mode, roots.map(|path| path.display().to_string()))
    }
    fn refusal(url: &str) -> String {
        split(url).unwrap_err().to_string()
    }

    #[test]
    fn what_the_parser_does_not_know_is_taken_out_of_the_address() {
        let require = "postgres://db/jobs?sslmode=require".to_owned();
        assert_eq!(check("postgres://db/jobs?sslmode=verify-full"), (require.clone(), Mode::Full, None));
        assert_eq!(
            check("postgres://db/jobs?sslrootcert=system&sslmode=verify-full"),
            (require.clone(), Mode::Full, None)
        );
        let path = Some("/etc/my ca.pem".to_owned());
        let with = |mode| format!("postgres://db/jobs?sslrootcert=/etc/my%20ca.pem&sslmode={mode}");
        assert_eq!(check(&with("verify-full")), (require.clone(), Mode::Full, path.clone()));
        assert_eq!(check(&with("verify-ca")), (require.clone(), Mode::Authority, path.clone()));
        assert_eq!(check(&with("require")), (require, Mode::Authority, path));
        let (url, mode, _) = check("postgres://db/jobs?connect_timeout=3&sslmode=prefer");
        assert_eq!((&*url, mode), ("postgres://db/jobs?connect_timeout=3&sslmode=prefer", Mode::Plain));
        assert_eq!(check("postgres://db/jobs").1, Mode::Plain);
        assert_eq!(
            check("host=db dbname=jobs sslmode=verify-ca sslrootcert='a.pem'"),
            ("host=db dbname=jobs sslmode=require".into(), Mode::Authority, Some("a.pem".into()))
        );
    }

    #[test]
    fn what_would_protect_less_than_it_says_is_refused() {
        assert!(refusal("postgres://db/jobs?sslmode=verify-ca").contains("needs `sslrootcert=PATH`"));
        assert!(refusal("postgres://db/jobs?sslrootcert=a.pem").contains("add `sslmode=verify-full`"));
        assert!(refusal("postgres://db/jobs?sslrootcert=a.pem&sslmode=prefer").contains("`sslmode=prefer`"));
        assert!(refusal("postgres://db/jobs?sslrootcert=system&sslmode=require").contains("verify-full"));
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        for path in ["/nowhere/ca.pem", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
            let (_, tls) =
                split(&format!("postgres://db/jobs?sslmode=verify-full&sslrootcert={path}")).unwrap();
            let error = tls.client().unwrap_err();
            assert!(error.field() == Some("store") && error.to_string().contains(path), "{error}");
        }
    }
}
