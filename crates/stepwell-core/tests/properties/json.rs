//! Texts that are kept as they are, and the one character that they may not hold.

use proptest::prelude::*;
use serde_json::Value;
use stepwell_core::Json;

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".{0,8}", "[\\\\\"u0\u{0}\u{1}/n]{0,12}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(text.clone(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_value_survives_and_its_nul_is_found(value in values()) {
        let json = Json::of(&value).unwrap();
        prop_assert_eq!(json.has_nul(), has_nul(&value), "{}", json);
        prop_assert_eq!(json.decode::<Value>().unwrap(), value);
        let again = Json::from_text(json.as_str()).unwrap();
        prop_assert_eq!(again.bytes(), json.bytes());
    }

    /// Pieces of escapes in any order: a backslash before the escape may belong to it, or to another one.
    #[test]
    fn escapes_are_read_as_a_parser_reads_them(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["\\\\", "\\u0000", "\\u005c", "\\\"", "\\n", "u0000", "a", "0"]),
            0..12,
        ),
    ) {
        let text = format!("\"{}\"", pieces.concat());
        let json = Json::from_text(text.as_str()).unwrap();
        prop_assert_eq!(json.as_str(), text.as_str());
        let decoded: String = json.decode().unwrap();
        prop_assert_eq!(json.has_nul(), decoded.contains('\0'), "{}", text);
    }

    #[test]
    fn whatever_is_taken_is_kept_as_it_is(text in "[\\[\\]{}\",:0-9a-z\\\\ ]{0,20}") {
        if let Ok(json) = Json::from_text(text.as_str()) {
            // Space around a value is no part of it.
            prop_assert_eq!(json.as_str(), text.trim());
            let _ = json.has_nul();
        }
    }
}
