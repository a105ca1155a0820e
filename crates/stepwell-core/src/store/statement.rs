//! Statements out of `.sql` files, found by name when a store's crate is compiled.

const MARK: &[u8] = b"-- name: ";

/// The text of a statement, without its name and the comments that follow it.
///
/// # Panics
/// If there is none, which is an error of compilation.
#[must_use]
pub const fn named(file: &'static str, name: &str) -> &'static str {
    let bytes = file.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let line = end_of_line(bytes, at);
        if has(bytes, at, MARK) && is(bytes, at + MARK.len(), line, name.as_bytes()) {
            let mut start = line + 1;
            while has(bytes, start, b"--") {
                start = end_of_line(bytes, start) + 1;
            }
            let mut end = start;
            while end < bytes.len() && !has(bytes, end, MARK) {
                end = end_of_line(bytes, end) + 1;
            }
            let (head, _) = file.split_at(if end < bytes.len() { end } else { bytes.len() });
            let (_, statement) = head.split_at(start);
            return statement.trim_ascii();
        }
        at = line + 1;
    }
    panic!("no statement of this name")
}

const fn end_of_line(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'\n' {
        at += 1;
    }
    at
}

const fn has(bytes: &[u8], at: usize, prefix: &[u8]) -> bool {
    let mut n = 0;
    while n < prefix.len() {
        if at + n >= bytes.len() || bytes[at + n] != prefix[n] {
            return false;
        }
        n += 1;
    }
    true
}

const fn is(bytes: &[u8], from: usize, to: usize, text: &[u8]) -> bool {
    to - from == text.len() && has(bytes, from, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_where_the_next_begins() {
        let file = "-- About.\n\n-- name: ab\n-- Why.\nSELECT 1\n    FROM a\n\n-- name: a\nSELECT 2\n";
        assert_eq!(named(file, "ab"), "SELECT 1\n    FROM a");
        assert_eq!(named(file, "a"), "SELECT 2");
    }

    #[test]
    #[should_panic(expected = "no statement")]
    fn a_missing_statement_is_an_error() {
        let _ = named("-- name: a\nSELECT 1", "b");
    }
}
