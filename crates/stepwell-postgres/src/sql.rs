//! Statements out of `.sql` files, and what becomes of them before PostgreSQL sees them.

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

/// A statement as it is sent: with the schema as it is called here, and with the columns of a job's row.
///
/// The schema stands in the text, because a pooler need not keep a search path from one transaction to the next.
pub(crate) fn render(statement: &str, schema: &str) -> String {
    statement.replace("job.row", sql!("job", "columns")).replace("stepwell.", &format!("{schema}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_put_in_its_place() {
        assert_eq!(render("TABLE stepwell.stepwell_jobs", "other"), "TABLE other.stepwell_jobs");
        let row = render("job.row FROM stepwell.job job", "other");
        assert!(
            row.starts_with("job.key, job.uuid, ") && row.ends_with("job.phases FROM other.job job"),
            "{row}"
        );
    }
}
