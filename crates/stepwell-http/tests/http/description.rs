//! The description: committed, and the same as the code.

use std::{fs, path::Path};

use serde_json::Value;
use stepwell_http::openapi_json;

/// Set to write the description instead of comparing it: `cargo xtask openapi --bless`.
const BLESS: &str = "STEPWELL_BLESS_OPENAPI";

#[test]
fn the_committed_description_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os(BLESS).is_some() {
        fs::write(&path, openapi_json()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    // Not compared as a whole: a difference of two long texts helps nobody.
    let differs = committed.lines().zip(openapi_json().lines()).position(|(old, new)| old != new);
    let same = committed == openapi_json();
    assert!(
        same,
        "openapi.json differs from the code at line {differs:?}; `cargo xtask openapi --bless` writes it"
    );
}

#[test]
fn every_operation_says_what_it_needs() {
    let description: Value = serde_json::from_str(openapi_json()).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["x-scope"].is_string() && operation["summary"].is_string(), "{what}");
            assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{what}");
            assert_eq!(
                operation["security"].as_array().unwrap().is_empty(),
                operation["x-scope"] == "none",
                "{what}"
            );
            assert!(operation["responses"]["default"].is_object(), "{what}");
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n, "operations have distinct ids");
}
