//! A token as text: `sw_<id>_<secret>`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use stepwell::Stepwell;
use subtle::ConstantTimeEq;

const LEAD: &str = "sw_";
/// Bytes of randomness in a secret: more than anybody can try.
const SECRET_BYTES: usize = 32;

/// A token as its bearer has it. It cannot be printed by accident.
pub(crate) struct Secret {
    pub(crate) id: String,
    text: String,
}

impl Secret {
    pub(crate) fn new(stepwell: &Stepwell) -> Self {
        let id = hex(&stepwell.random::<8>());
        let secret = URL_SAFE_NO_PAD.encode(stepwell.random::<SECRET_BYTES>());
        Self { text: format!("{LEAD}{id}_{secret}"), id }
    }
    /// A token that somebody shows, if it has the form of one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(LEAD)?.split_once('_')?;
        let is_hex = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_long = URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == SECRET_BYTES);
        (is_hex && is_long).then(|| Self { id: id.to_owned(), text: text.to_owned() })
    }
    /// What is stored. A secret is random, so that no slow hash is needed.
    pub(crate) fn hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }
    pub(crate) fn is(&self, hash: &str) -> bool {
        self.hash().as_bytes().ct_eq(hash.as_bytes()).into()
    }
    /// The text, for the one time that it is shown.
    pub(crate) fn reveal(self) -> String {
        self.text
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
