//! Encryption: what `sslmode` asks for, with the meaning that it has for every other PostgreSQL client.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use stepwell_core::{Error, Result};
use tokio_postgres::{Config, config::SslMode};

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As the address says: not at all, if possible, or always, against those who only listen.
    Plain,
    /// Against those who pretend to be the server, too: `verify-full`.
    Verified,
}

/// Takes `sslmode=verify-full` out of an address, because the parser does not know it.
///
/// # Errors
/// If the address asks for something that is not there.
pub(crate) fn split(url: &str) -> Result<(String, Mode)> {
    for (key, instead) in
        [("sslmode=verify-ca", "sslmode=verify-full"), ("sslrootcert=", "the system's certificates")]
    {
        if url.contains(key) {
            return Err(Error::invalid(
                "store",
                format!("asks for `{key}`, which is not supported; use {instead}"),
            ));
        }
    }
    match url.contains("sslmode=verify-full") {
        true => Ok((url.replace("sslmode=verify-full", "sslmode=require"), Mode::Verified)),
        false => Ok((url.to_owned(), Mode::Plain)),
    }
}

impl Mode {
    pub(crate) fn set(self, config: &mut Config) {
        if self == Self::Verified {
            config.ssl_mode(SslMode::Require);
        }
    }
    pub(crate) fn client(self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let refused = |error: rustls::Error| Error::refused(format!("cannot set up encryption: {error}"));
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
        if self == Self::Plain {
            let anyone = Arc::new(Anyone(provider));
            return Ok(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// `sslmode=prefer` and `require` do not ask who the server is.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _server: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_verification_is_taken_out_of_the_address() {
        let (url, mode) = split("postgres://db/jobs?sslmode=verify-full").unwrap();
        assert_eq!((url.as_str(), mode), ("postgres://db/jobs?sslmode=require", Mode::Verified));
        assert_eq!(split("postgres://db/jobs?sslmode=prefer").unwrap().1, Mode::Plain);
        split("postgres://db/jobs?sslmode=verify-ca").unwrap_err();
        split("postgres://db/jobs?sslrootcert=a.pem").unwrap_err();
    }
}
