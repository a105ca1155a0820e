//! The list of rules that look at one file at a time.

use super::{
    clock, contents, entropy,
    exception::{EXCEPTIONS, Exception, excuse},
    fault::Fault,
    file::File,
    layers, migrations, naming, places, release, sleeps, statements, unfinished, unwraps, width,
};

type Check = fn(&File) -> Vec<Fault>;

const RULES: &[(&str, Check)] = &[
    ("clock", clock::check),
    ("contents", contents::check),
    ("entropy", entropy::check),
    ("layers", layers::check),
    ("naming", naming::check),
    ("places", places::check),
    ("release", release::check),
    ("sleeps", sleeps::check),
    ("statements", statements::check),
    ("unfinished", unfinished::check),
    ("unwraps", unwraps::check),
    ("width", width::check),
];

/// Every fault in the files, with the rule that found it, in the order of the files.
pub(crate) fn check(files: &[File]) -> Vec<(Fault, &'static str)> {
    check_with(files, EXCEPTIONS)
}

fn check_with(files: &[File], exceptions: &[Exception]) -> Vec<(Fault, &'static str)> {
    let mut found = Vec::new();
    for &(rule, check) in RULES {
        let faults = files.iter().flat_map(check).collect();
        found.extend(excuse(rule, faults, exceptions).into_iter().map(|fault| (fault, rule)));
    }
    // Nothing excuses an edited migration.
    found.extend(migrations::check(files).into_iter().map(|fault| (fault, "migrations")));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found_once_with_its_rule() {
        let files = [
            File::new("crates/stepwell/src/b.rs", "fn f() { g().unwrap(); }\nfn h() { todo!() }\n"),
            File::new("crates/stepwell/src/a.rs", "fn f() {}\n"),
        ];
        let found: Vec<_> =
            check_with(&files, &[]).into_iter().map(|(fault, rule)| (fault.line, rule)).collect();
        assert_eq!(found, [(1, "unwraps"), (2, "unfinished")]);
    }

    #[test]
    fn every_exception_names_a_rule() {
        for entry in EXCEPTIONS {
            assert!(RULES.iter().any(|(rule, _)| *rule == entry.rule), "{}", entry.rule);
        }
    }
}
