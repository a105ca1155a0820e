//! Signatures as Standard Webhooks has them: `v1,` and the HMAC-SHA256 of `id.timestamp.body`, in base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::Secret;

/// One signature for each secret, separated by spaces: while a secret is replaced, receivers may know either.
pub(super) fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = |secret: &Secret| {
        // Every length of key is fine for an HMAC.
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.key()).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter_map(signed).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_known_vector_is_met() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let body = br#"{"test": 2432232314}"#;
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&secret), id, at, body), one);
        let both = sign(&[secret.clone(), secret.clone()], id, at, body);
        assert_eq!(both, format!("{one} {one}"));
        for (id, at, body) in [("msg", at, &body[..]), (id, at + 1, body), (id, at, b"{}")] {
            assert_ne!(sign(std::slice::from_ref(&secret), id, at, body), one, "each part is signed");
        }
        assert_eq!(sign(&[], id, at, body), "");
    }
}
