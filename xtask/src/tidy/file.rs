//! A file as the rules see it.

use super::{fault::Fault, source::Source};

/// Crates that are tests as a whole, though their code lies in `src`.
const TEST_CRATES: [&str; 3] =
    ["crates/stepwell-store-tests/", "crates/stepwell-sim/", "crates/stepwell-postgres-rig/"];

/// One text file of the repository.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
    rust: Option<Source>,
}

impl File {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let rust = path.ends_with(".rs").then(|| Source::parse(&text));
        Self { path, text, rust }
    }

    pub(crate) fn rust(&self) -> Option<&Source> {
        self.rust.as_ref()
    }

    /// The file name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn fault(&self, line: usize, message: impl Into<String>) -> Fault {
        Fault::new(&self.path, line, message)
    }

    /// Whether the file is part of a crate under `crates/`, tests included.
    pub(crate) fn is_in_crates(&self) -> bool {
        self.path.starts_with("crates/")
    }

    /// Whether line `line` is code that only tests run.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.is_test_file() || self.rust().is_some_and(|source| source.is_test(line))
    }

    fn is_test_file(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "benches")
            || matches!(self.name(), "tests.rs" | "test.rs") && self.is_in_crates()
            || TEST_CRATES.iter().any(|home| self.path.starts_with(home))
    }

    /// The lines of the crates' Rust code that run in production.
    pub(crate) fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.is_in_crates().then(|| self.rust()).flatten().into_iter().flat_map(Source::lines);
        lines.filter(|(line, _)| !self.is_test(*line))
    }

    /// The string literals in them.
    pub(crate) fn production_strings(&self) -> impl Iterator<Item = (usize, &str)> {
        let strings =
            self.is_in_crates().then(|| self.rust()).flatten().into_iter().flat_map(Source::strings);
        strings.map(|literal| (literal.line, literal.text.as_str())).filter(|(line, _)| !self.is_test(*line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n";

    fn production(path: &str) -> Vec<usize> {
        File::new(path, TEXT).production_lines().map(|(line, _)| line).collect()
    }

    #[test]
    fn tests_are_told_from_production() {
        assert_eq!(production("crates/stepwell/src/engine.rs"), [1]);
        assert!(production("crates/stepwell/tests/kill9.rs").is_empty());
        assert!(production("crates/stepwell/src/engine/tests.rs").is_empty());
        assert!(production("crates/stepwell-store-tests/src/claim.rs").is_empty());
        assert!(production("xtask/src/main.rs").is_empty());
    }
}
