//! JSON on the command line: as it is, from a file, or from standard input.

use std::fs;

use serde_json::value::RawValue;

use crate::{
    failure::{FailedTo, Failure, code},
    input,
};

/// Reads JSON, which stays byte for byte as it was written: `TEXT`, `@FILE`, or `-` for standard input.
///
/// # Errors
/// If there is none, or it is not JSON.
pub(crate) async fn read(text: &str) -> Result<Box<RawValue>, Failure> {
    let (text, from) = match text.strip_prefix('@') {
        _ if text == "-" => {
            (input::all().await.failed_to("read standard input")?, "standard input".to_owned())
        }
        Some(path) => (fs::read_to_string(path).failed_to(format!("read {path}"))?, path.to_owned()),
        None => (text.to_owned(), "the payload".to_owned()),
    };
    RawValue::from_string(text.trim().to_owned()).map_err(|error| {
        let why = format!("{error}; a text stands in quotes: '\"so\"'");
        Failure::with_code(code::USAGE, format!("read {from} as JSON"), why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn json_stays_as_it_is_written() {
        let text = r#"{"b": 1.0, "a": 12345678901234567890123}"#;
        assert_eq!(read(text).await.unwrap().get(), text);
        assert!(read("hello").await.unwrap_err().to_string().contains("in quotes"));
    }
}
