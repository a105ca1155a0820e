//! What may stand in a line.

use serde_json::Value;

/// Digits of an id that are shown to people.
const DIGITS: usize = 6;

/// Text on one line, without what would move the cursor: it may come from anybody who may enqueue a job.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            letter if letter.is_control() => ' ',
            // These turn the direction of what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            letter => letter,
        })
        .collect()
}

/// An id by its last digits.
pub(crate) fn short(id: &str) -> String {
    match id.char_indices().rev().nth(DIGITS - 1) {
        Some((start, _)) if start > 0 => format!("…{}", &id[start..]),
        _ => id.to_owned(),
    }
}

/// A member of an object; empty if there is none.
pub(crate) fn field<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// A member of an object, whatever it is, as a word.
pub(crate) fn text_of(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(clean("a\tb\n\u{1b}[31mc\u{202e}d\u{9b}e"), "a b  [31mc d e");
    }

    #[test]
    fn ids_are_short_for_people() {
        assert_eq!(short("01981b3e-8a4f-7c06-9c39-4d1f6a7be2aa"), "…7be2aa");
        assert_eq!(short("7be2aa"), "7be2aa");
    }
}
