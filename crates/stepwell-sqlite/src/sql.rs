//! Statements out of `.sql` files, found by name when this crate is compiled.

/// The statement with this name in a file under `sql/`.
///
/// ```text
/// -- name: by_uuid
/// -- Why it is as it is.
/// SELECT …
/// ```
macro_rules! sql {
    ($file:literal, $name:literal) => {
        const {
            $crate::sql::named(
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $file, ".sql")),
                $name,
            )
        }
    };
}
pub(crate) use sql;

/// Rows that [`for_rows`] inserts at once.
pub(crate) const ROWS: usize = 16;

/// The same `INSERT`, for many rows. SQLite opens the table and each of its indexes once for all of them, which is a
/// third of what a small row costs.
///
/// The statement must say `OR FAIL`: otherwise SQLite copies every page first, to be able to take back half of it.
/// Whoever runs it takes back the transaction.
pub(crate) fn for_rows(statement: &str) -> String {
    let (head, row) = statement.rsplit_once("VALUES ").unwrap_or((statement, ""));
    format!("{head}VALUES {}", vec![row; ROWS].join(", "))
}

const MARK: &[u8] = b"-- name: ";

/// The text of a statement, without its name and the comments that follow it.
///
/// # Panics
/// If there is none, which is an error of compilation.
pub(crate) const fn named(file: &'static str, name: &str) -> &'static str {
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
    fn many_rows_are_one_row_again_and_again() {
        let many = for_rows("INSERT OR FAIL INTO a (b, c)\nVALUES (?, 0)");
        assert_eq!(many.matches("(?, 0)").count(), ROWS);
        assert!(many.starts_with("INSERT OR FAIL INTO a (b, c)\nVALUES (?, 0), (?, 0)"), "{many}");
    }

    #[test]
    #[should_panic(expected = "no statement")]
    fn a_missing_statement_is_an_error() {
        let _ = named("-- name: a\nSELECT 1", "b");
    }
}
