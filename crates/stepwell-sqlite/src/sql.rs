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
            stepwell_core::store::statement::named(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_one_row_again_and_again() {
        let many = for_rows("INSERT OR FAIL INTO a (b, c)\nVALUES (?, 0)");
        assert_eq!(many.matches("(?, 0)").count(), ROWS);
        assert!(many.starts_with("INSERT OR FAIL INTO a (b, c)\nVALUES (?, 0), (?, 0)"), "{many}");
    }
}
