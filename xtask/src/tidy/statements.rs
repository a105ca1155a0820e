//! SQL lives in `.sql` files, where it can be read, run and explained as SQL.

use super::{fault::Fault, file::File, source::mentions};

pub(crate) fn check(file: &File) -> Vec<Fault> {
    file.production_strings()
        .filter_map(|(line, text)| {
            let statement = statement(text)?;
            Some(file.fault(line, format!("`{statement}` in a string: move the statement to a .sql file")))
        })
        .collect()
}

/// The statement that the text begins or contains. Only capitals count, so that prose may say "select" and
/// "update"; PRAGMA, BEGIN, COMMIT and SAVEPOINT are calls to the connection rather than statements about data.
fn statement(text: &str) -> Option<&'static str> {
    let text = text.replace("\\n", " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let pair = [
        "INSERT INTO",
        "INSERT OR",
        "REPLACE INTO",
        "DELETE FROM",
        "CREATE TABLE",
        "ALTER TABLE",
        "DROP TABLE",
    ];
    if let Some(found) = pair.into_iter().find(|start| mentions(&text, start)) {
        return Some(found);
    }
    if words.iter().any(|word| word.trim_start_matches('(') == "SELECT") {
        return Some("SELECT");
    }
    let update = words.iter().position(|word| *word == "UPDATE")?;
    words[update..].contains(&"SET").then_some("UPDATE … SET")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn statements_in_strings_are_caught() {
        for text in [
            "query(\"SELECT id FROM job\")",
            "query(\"\n  SELECT\n  id FROM job\")",
            "query(r#\"INSERT INTO job VALUES (1)\"#)",
            "query(\"INSERT OR IGNORE INTO job VALUES (1)\")",
            "query(\"UPDATE job SET state = 1\")",
            "query(\"DELETE FROM job\")",
            "query(\"WITH a AS (SELECT 1) VALUES (2)\")",
        ] {
            assert_eq!(faults("crates/stepwell-sqlite/src/read.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn prose_pragmas_tests_and_files_pass() {
        for text in [
            "query(\"PRAGMA synchronous = FULL\")",
            "query(\"BEGIN IMMEDIATE\"); query(\"SAVEPOINT op\");",
            "message(\"please select a queue and update it\")",
            "let sql = include_str!(\"../sql/claim.sql\");",
            "// SELECT id FROM job\nfn f() {}",
        ] {
            assert_eq!(faults("crates/stepwell-sqlite/src/read.rs", text), 0, "{text}");
        }
        assert_eq!(faults("crates/stepwell-sqlite/tests/read.rs", "query(\"SELECT 1\")"), 0);
    }
}
