//! A file of the repository means the same on every machine, so it names no directory of one.

use super::{fault::Fault, file::File};

/// Put together at compile time, because this file is read by the rule as well.
const PLACES: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("../sh", "ared/"),
];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for place in PLACES.into_iter().filter(|place| names(line, place)) {
            faults.push(
                file.fault(index + 1, format!("`{place}` is a place on one machine, not in the repository")),
            );
        }
    }
    faults
}

/// Whether the line has the place as the beginning of a path, and not as a part of a longer one or of an address.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> usize {
        check(&File::new("docs/start.md", text)).len()
    }

    #[test]
    fn every_place_is_caught() {
        for place in PLACES {
            assert_eq!(faults(&format!("one\nopen {place}somebody/stepwell.db\n")), 1, "{place}");
            assert_eq!(faults(&format!("\"{place}somebody\"")), 1, "{place}");
        }
    }

    #[test]
    fn parts_of_other_paths_pass() {
        for place in PLACES {
            assert_eq!(
                faults(&format!("see https://example.org{place} and ./examples{place}page\n")),
                0,
                "{place}"
            );
        }
        assert_eq!(faults("or ~/stepwell.db\n"), 0);
    }
}
