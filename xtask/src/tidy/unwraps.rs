//! A library returns its errors. Where a panic is right, `expect` says why it cannot happen.

use super::{fault::Fault, file::File};

pub(crate) fn check(file: &File) -> Vec<Fault> {
    file.production_lines()
        .filter(|(_, code)| code.contains(".unwrap()"))
        .map(|(line, _)| {
            file.fault(line, "`.unwrap()` outside tests: return the error, or `expect` with the reason")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&File::new(path, text)).len()
    }

    #[test]
    fn an_unwrap_in_production_is_caught() {
        assert_eq!(faults("crates/stepwell/src/engine.rs", "fn f() { g().unwrap(); }\n"), 1);
    }

    #[test]
    fn tests_documentation_and_relatives_pass() {
        assert_eq!(faults("crates/stepwell/tests/kill9.rs", "fn f() { g().unwrap(); }\n"), 0);
        assert_eq!(
            faults("crates/stepwell/src/a.rs", "#[cfg(test)]\nmod tests {\n fn f() { g().unwrap(); }\n}\n"),
            0
        );
        assert_eq!(
            faults("crates/stepwell/src/a.rs", "/// `g().unwrap()`\nfn f() { g().unwrap_or_default(); }\n"),
            0
        );
        assert_eq!(faults("examples/src/lib.rs", "fn f() { g().unwrap(); }\n"), 0);
    }
}
