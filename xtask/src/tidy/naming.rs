//! A file is named after the one thing that it owns.

use super::{fault::Fault, file::File};

/// Names that say nothing, and so attract everything.
const EMPTY_NAMES: [&str; 8] = ["common", "helper", "helpers", "misc", "types", "util", "utils", "shared"];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    if !file.path.ends_with(".rs") {
        return Vec::new();
    }
    file.path
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| EMPTY_NAMES.contains(part))
        .map(|part| file.fault(0, format!("`{part}` says nothing: name it after what it owns")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str) -> usize {
        check(&File::new(path, "")).len()
    }

    #[test]
    fn names_that_say_nothing_are_caught() {
        assert_eq!(faults("crates/stepwell/src/utils.rs"), 1);
        assert_eq!(faults("crates/stepwell/src/types.rs"), 1);
        assert_eq!(faults("crates/stepwell/tests/common/mod.rs"), 1);
    }

    #[test]
    fn nouns_pass() {
        assert_eq!(faults("crates/stepwell/src/ctx.rs"), 0);
        assert_eq!(faults("docs/types.md"), 0);
    }
}
