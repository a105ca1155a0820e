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
    /// If the text is not one JSON value. How deep it is nested is looked at by whoever stores it: see
    /// [`is_deeper_than`](Self::is_deeper_than).
    pub fn from_text(text: impl Into<String>) -> Result<Self, Error> {
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

impl Json {
    /// Whether it is nested deeper than so many levels, at each of which a decoder has to remember something.
    #[must_use]
    pub fn is_deeper_than(&self, levels: usize) -> bool {
        let text = self.0.get().as_bytes();
        if text.len() <= levels {
            return false;
        }
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        text.iter().any(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => depth += 1,
                b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth > levels
        })
    }
    /// Why no store may keep it, if so: every value that is stored can be decoded again.
    #[must_use]
    pub fn problem(&self, levels: usize) -> Option<String> {
        if self.has_nul() {
            return Some("holds the character U+0000, which not every store can keep; remove it".into());
        }
        let deep = || format!("is nested deeper than the limit of {levels} levels; make it flatter");
        self.is_deeper_than(levels).then(deep)
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
    use crate::limits;

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
    fn only_real_brackets_count() {
        let nested = |levels: usize| format!("{}{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
        for (text, levels, deeper) in [
            (nested(120), 120, false),
            (nested(122), 120, true),
            (nested(122), 121, true),
            (nested(122), 122, false),
            (format!("{:?}", "[".repeat(200)), 0, false),
            (r#"["\"[[[[\\", "]"]"#.into(), 1, false),
            (r#"["\\", [[1]]]"#.into(), 2, true),
            (format!("[{}]", "[1],".repeat(200).trim_end_matches(',')), 2, false),
        ] {
            assert_eq!(Json::from_text(&*text).unwrap().is_deeper_than(levels), deeper, "{text}");
        }
    }

    #[test]
    fn what_is_not_too_deep_can_be_decoded_with_room_for_a_list_and_an_object() {
        let deepest = limits::JSON_DEPTH_MAX;
        let json = Json::from_text("[".repeat(deepest) + &"]".repeat(deepest)).unwrap();
        assert_eq!(json.problem(deepest), None);
        let text = format!(r#"[{{"value":{json}}}]"#);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let deeper = Json::from_text(format!("[{json}]")).unwrap();
        let problem = deeper.problem(deepest).unwrap();
        assert!(problem.contains("the limit of 120 levels"), "{problem}");
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
