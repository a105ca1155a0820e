//! Lines that fit beside each other on one screen.

use super::{fault::Fault, file::File};

const COLUMNS_MAX: usize = 120;

pub(crate) fn check(file: &File) -> Vec<Fault> {
    if !file.path.ends_with(".rs") {
        return Vec::new();
    }
    let lines = file.text.lines().map(|line| line.chars().count()).enumerate();
    lines
        .filter(|(_, columns)| *columns > COLUMNS_MAX)
        .map(|(index, columns)| file.fault(index + 1, format!("{columns} columns, more than {COLUMNS_MAX}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_at_most_the_limit() {
        let line = "ü".repeat(COLUMNS_MAX);
        assert!(check(&File::new("crates/a/src/b.rs", line.clone())).is_empty());
        assert_eq!(check(&File::new("crates/a/src/b.rs", format!("{line}ü")))[0].line, 1);
        assert!(check(&File::new("README.md", format!("{line}ü"))).is_empty());
    }
}
