//! Time comes through one door, so that tests can turn it and a store's clock never runs backwards.

use super::{fault::Fault, file::File, source::mentions};

/// The door.
const DOOR: &str = "crates/stepwell-core/src/time.rs";

/// Calls that ask the machine for the time.
const CALLS: [&str; 3] = ["SystemTime::now", "Instant::now", "clock_gettime"];

/// Words with which SQL asks for it; they are compared without regard to case.
const SQL_WORDS: [&str; 9] = [
    "now()",
    "clock_timestamp()",
    "current_date",
    "current_time",
    "current_timestamp",
    "datetime(",
    "julianday(",
    "strftime(",
    "unixepoch(",
];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    if file.path.ends_with(".sql") {
        return statements(file);
    }
    if file.path == DOOR {
        return Vec::new();
    }
    let calls = file.production_lines().flat_map(|(line, code)| {
        CALLS.iter().filter(move |call| mentions(code, call)).map(move |call| {
            file.fault(
                line,
                format!("`{call}` outside {DOOR}: take the time from a `Clock`, or as a parameter"),
            )
        })
    });
    let sql = file
        .production_strings()
        .filter_map(|(line, text)| asks_sql(text).map(|word| sql_fault(file, line, word)));
    calls.chain(sql).collect()
}

fn statements(file: &File) -> Vec<Fault> {
    let code = without_comments(&file.text);
    code.lines()
        .enumerate()
        .filter_map(|(index, line)| asks_sql(line).map(|word| sql_fault(file, index + 1, word)))
        .collect()
}

fn asks_sql(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    SQL_WORDS.into_iter().find(|word| mentions(&text, word))
}

fn sql_fault(file: &File, line: usize, word: &str) -> Fault {
    file.fault(line, format!("`{word}` in SQL: bind the time as a parameter"))
}

/// SQL with its comments blanked out, line for line the same.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut until: Option<&str> = None;
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (until, c) {
            (Some("\n"), '\n') => until = None,
            (Some("*/"), '*') if chars.peek() == Some(&'/') => {
                chars.next();
                until = None;
                continue;
            }
            (Some(_), _) => {
                if c == '\n' {
                    code.push(c);
                }
                continue;
            }
            (None, '\'' | '"') if quote.is_none_or(|open| open == c) => {
                quote = if quote.is_none() { Some(c) } else { None };
            }
            (None, '-') if quote.is_none() && chars.peek() == Some(&'-') => {
                until = Some("\n");
                continue;
            }
            (None, '/') if quote.is_none() && chars.peek() == Some(&'*') => {
                until = Some("*/");
                continue;
            }
            _ => {}
        }
        code.push(c);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn a_clock_is_read_only_behind_the_door() {
        let text = "fn f() { let t = std::time::SystemTime::now(); }\n";
        assert_eq!(faults("crates/stepwell/src/engine.rs", text), 1);
        assert_eq!(faults("crates/stepwell-sqlite/src/live.rs", "let t = Instant::now();\n"), 1);
        assert_eq!(faults("crates/stepwell-sqlite/src/live.rs", "let t = clock_gettime(id);\n"), 1);
        assert_eq!(faults(DOOR, text), 0);
    }

    #[test]
    fn tests_tools_and_documentation_may_speak_of_it() {
        let text = "fn f() { let t = std::time::SystemTime::now(); }\n";
        assert_eq!(faults("crates/stepwell/tests/kill9.rs", text), 0);
        assert_eq!(faults("xtask/src/step.rs", text), 0);
        assert_eq!(faults("bench/src/main.rs", text), 0);
        assert_eq!(faults("examples/src/lib.rs", text), 0);
        assert_eq!(faults("crates/stepwell/src/engine.rs", "// Never Instant::now here.\nfn f() {}\n"), 0);
        assert_eq!(
            faults(
                "crates/stepwell/src/engine.rs",
                "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n"
            ),
            0
        );
    }

    #[test]
    fn sql_gets_the_time_as_a_parameter() {
        assert_eq!(faults("crates/stepwell-sqlite/sql/claim.sql", "SELECT CURRENT_TIMESTAMP;\n"), 1);
        assert_eq!(faults("crates/stepwell-sqlite/sql/claim.sql", "SELECT strftime('%s', 'now');\n"), 1);
        assert_eq!(faults("crates/stepwell-sqlite/sql/claim.sql", "SELECT\n  1;\nSELECT NOW();\n"), 1);
        assert_eq!(
            faults("crates/stepwell-sqlite/src/read.rs", "let s = \"WHERE at < datetime('now')\";\n"),
            1
        );
        assert_eq!(
            faults(
                "crates/stepwell-sqlite/sql/claim.sql",
                "-- not now()\n/* nor\nnow() */ SELECT :now, 'a--b';\n"
            ),
            0
        );
    }

    #[test]
    fn a_line_after_a_comment_keeps_its_number() {
        let found = check(&File::new("crates/a/sql/b.sql", "/* one\ntwo */\n-- three\nSELECT now();\n"));
        assert_eq!(found[0].line, 4);
    }
}
