//! JSON that is stored as it was written.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::error::Error;

/// A JSON text, known to be valid, kept byte for byte and shared.
///
/// Payloads and results are never re-encoded: key order, number precision and duplicate keys stay as the writer
/// meant them.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Encodes a value.
    ///
    /// # Errors
    /// If the value's `Serialize` fails or makes a map with keys that are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into())).map_err(Error::encode)
    }
    /// Takes a text over as it is.
    ///
    /// # Errors
    /// If the text is not one JSON value, or nested deeper than serde_json's 128 levels.
    pub fn from_text(text: impl Into<String>) -> Result<Self, Error> {
        // The parse is for depth as well as for syntax: a raw value alone would accept any depth, and every later
        // reader would then fail.
        let raw = RawValue::from_string(text.into()).map_err(Error::decode)?;
        Ok(Self(raw.into()))
    }
    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }
    /// Decodes the value.
    ///
    /// # Errors
    /// If the text is not what `T` expects.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.0.get()).map_err(Error::decode)
    }
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
    /// The text's length in bytes, which is what the limits count.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.get().len()
    }
    /// Whether a string in it holds U+0000, which PostgreSQL cannot store.
    ///
    /// In valid JSON that character can only be written as the escape `\u0000`.
    #[must_use]
    pub fn has_nul(&self) -> bool {
        let text = self.0.get().as_bytes();
        let mut at = 0;
        while let Some(found) = text[at..].iter().position(|byte| *byte == b'\\') {
            let escape = at + found;
            if text[escape + 1..].starts_with(b"u0000") {
                return true;
            }
            at = escape + 2;
        }
        false
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}
impl Eq for Json {}
impl std::hash::Hash for Json {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(raw.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_as_written() {
        let text = r#"{"b": 1e400, "a":12345678901234567890123, "a":2}"#;
        assert_eq!(Json::from_text(text).unwrap().as_str(), text);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "1 2", "nul", "\"\u{0}\""] {
            Json::from_text(text).unwrap_err();
        }
    }

    #[test]
    fn only_a_real_nul_counts() {
        for (text, nul) in
            [(r#""\u0000""#, true), (r#""\\u0000""#, false), (r#""\\\u0000""#, true), ("1", false)]
        {
            assert_eq!(Json::from_text(text).unwrap().has_nul(), nul, "{text}");
        }
    }
}
