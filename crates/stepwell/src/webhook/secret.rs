//! What deliveries are signed with.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer};
use stepwell_core::{Error, Result, webhook::SECRET_BYTES_MAX};

use crate::entropy::Entropy;

/// What a secret's text begins with, as Standard Webhooks has it.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, once decoded.
const SECRET_BYTES_MIN: usize = 24;
/// Bytes of a secret that is made here.
const FRESH_BYTES: usize = 32;

/// A signing secret: `whsec_` and 24 to 64 bytes in base64.
///
/// It never shows itself: not in debug output, not in an error, and it does not serialize. [`reveal`](Self::reveal) is
/// the one way to its text, for whoever has just had one made and must tell the receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a secret.
    ///
    /// # Errors
    /// If it is not `whsec_` and 24 to 64 bytes in base64. The text does not repeat it.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text, "secret")
    }
    /// As [`parse`](Self::parse), for a field that is called otherwise.
    pub(super) fn read(text: &str, field: &str) -> Result<Self> {
        let wrong = || {
            let range = format!("{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}");
            Error::invalid(field, format!("must be `{PREFIX}` and {range} bytes in base64"))
        };
        let encoded = text.strip_prefix(PREFIX).ok_or_else(wrong)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
        match bytes.len() {
            SECRET_BYTES_MIN..=SECRET_BYTES_MAX => Ok(Self(text.to_owned())),
            _ => Err(wrong()),
        }
    }
    /// A new one.
    pub(super) fn fresh(entropy: &Entropy) -> Self {
        Self(format!("{PREFIX}{}", STANDARD.encode(entropy.secret::<FRESH_BYTES>())))
    }
    /// The secret's text. Whoever calls this decides who sees it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// The key itself.
    pub(super) fn key(&self) -> Vec<u8> {
        // It was checked when it was read.
        STANDARD.decode(&self.0[PREFIX.len()..]).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_secret_is_a_secret_and_no_two_are_alike() {
        let entropy = Entropy::new(false);
        let (one, other) = (Secret::fresh(&entropy), Secret::fresh(&entropy));
        assert_ne!(one, other);
        assert_eq!(Secret::parse(one.reveal()).unwrap(), one);
        assert_eq!(one.key().len(), FRESH_BYTES);
    }

    #[test]
    fn a_wrong_secret_is_refused_without_repeating_it() {
        let canary = "c2VjcmV0LWNhbmFyeS1vZi10b28tbXVjaA==";
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for text in [canary, "", "whsec_", "whsec_!!", &long, &short] {
            let error = Secret::parse(text).unwrap_err();
            assert_eq!(error.field(), Some("secret"));
            assert!(
                text.is_empty()
                    || !error.to_string().contains(text.trim_start_matches("whsec_"))
                    || text == "whsec_"
            );
            assert!(!format!("{error:?}").contains(canary));
            let error = serde_json::from_value::<Secret>(text.into()).unwrap_err().to_string();
            assert!(!error.contains(canary), "{error}");
        }
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::fresh(&Entropy::new(false));
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
    }
}
