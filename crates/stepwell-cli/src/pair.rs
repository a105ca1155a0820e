//! Names with values on the command line: `customer=42`.

/// Reads a name and its value.
///
/// # Errors
/// How it is written.
pub(crate) fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is a name and a value: customer=42".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sign_divides_them() {
        assert_eq!(parse("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        parse("a").unwrap_err();
        parse("=b").unwrap_err();
    }
}
