//! Randomness comes through one door, so that a seed can stand behind it.

use super::{fault::Fault, file::File, source::mentions};

/// The door.
const DOOR: &str = "crates/stepwell/src/entropy.rs";

const SOURCES: [&str; 5] = ["rand::", "fastrand::", "getrandom", "Uuid::new_v4", "Uuid::now_v7"];

pub(crate) fn check(file: &File) -> Vec<Fault> {
    if file.path == DOOR {
        return Vec::new();
    }
    file.production_lines()
        .flat_map(|(line, code)| {
            SOURCES.iter().filter(move |source| mentions(code, source)).map(move |source| {
                file.fault(
                    line,
                    format!("`{source}` outside {DOOR}: ask for randomness there, or take it as a parameter"),
                )
            })
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
    fn randomness_is_taken_only_behind_the_door() {
        for text in [
            "let id = Uuid::now_v7();\n",
            "use rand::Rng;\n",
            "let x: u8 = rand::random();\n",
            "getrandom(b);\n",
        ] {
            assert_eq!(faults("crates/stepwell-sqlite/src/claim.rs", text), 1, "{text}");
            assert_eq!(faults(DOOR, text), 0, "{text}");
        }
    }

    #[test]
    fn names_that_only_look_like_it_and_tests_pass() {
        assert_eq!(
            faults("crates/stepwell-core/src/id.rs", "let id = Uuid::from_u128(operand::VALUE);\n"),
            0
        );
        assert_eq!(faults("crates/stepwell/tests/kill9.rs", "use rand::Rng;\n"), 0);
    }
}
