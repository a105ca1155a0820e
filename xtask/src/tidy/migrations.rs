//! A migration that somebody may have run is never edited: its checksum is listed, and the list only grows.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{fault::Fault, file::File};

/// The list, in the form that `sha256sum --check` reads as well.
pub(crate) const LIST: &str = "xtask/migrations.sha256";

/// Compares the migrations among the files with the list among them.
pub(crate) fn check(files: &[File]) -> Vec<Fault> {
    let listed = listed(files);
    let found = found(files);
    let mut faults = Vec::new();
    for (path, sum) in &found {
        match listed.get(path) {
            None => {
                faults.push(Fault::new(path, 0, "a new migration: `cargo xtask tidy --bless` freezes it"));
            }
            Some(frozen) if frozen != sum => {
                faults.push(Fault::new(
                    path,
                    0,
                    "a frozen migration was edited: restore it and write a new one",
                ));
            }
            Some(_) => {}
        }
    }
    for path in listed.keys().filter(|path| !found.contains_key(*path)) {
        faults.push(Fault::new(LIST, 0, format!("the frozen migration {path} is gone: restore it")));
    }
    faults
}

/// The list with the new migrations added. What is listed already stays as it is, edited or not.
pub(crate) fn bless(files: &[File]) -> String {
    let mut sums = found(files);
    sums.extend(listed(files));
    sums.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect()
}

fn listed(files: &[File]) -> BTreeMap<String, String> {
    let text = files.iter().find(|file| file.path == LIST).map_or("", |file| &file.text);
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
        .collect()
}

fn found(files: &[File]) -> BTreeMap<String, String> {
    files
        .iter()
        .filter(|file| {
            file.is_in_crates() && file.path.contains("/migrations/") && file.path.ends_with(".sql")
        })
        .map(|file| (file.path.clone(), checksum(&file.text)))
        .collect()
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/stepwell-sqlite/migrations/001_begin.sql";

    fn files(text: &str, list: &str) -> Vec<File> {
        vec![File::new(PATH, text), File::new(LIST, list)]
    }

    #[test]
    fn a_blessed_migration_passes_until_it_is_edited() {
        let list = bless(&files("CREATE TABLE job (key);\n", ""));
        assert!(check(&files("CREATE TABLE job (key);\n", &list)).is_empty());
        let faults = check(&files("CREATE TABLE job (key, id);\n", &list));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].message.contains("edited"), "{}", faults[0]);
    }

    #[test]
    fn blessing_adds_and_never_changes() {
        let list = bless(&files("one\n", ""));
        assert_eq!(bless(&files("two\n", &list)), list);
        let mut more = files("one\n", &list);
        more.push(File::new("crates/stepwell-sqlite/migrations/002_more.sql", "two\n"));
        assert_eq!(bless(&more).lines().count(), 2);
    }

    #[test]
    fn a_new_and_a_missing_migration_are_caught() {
        assert!(check(&files("one\n", ""))[0].message.contains("--bless"));
        let list = bless(&files("one\n", ""));
        assert!(check(&[File::new(LIST, list)])[0].message.contains("gone"));
    }

    #[test]
    fn the_checksum_is_that_of_sha256sum() {
        assert_eq!(checksum("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
