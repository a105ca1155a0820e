//! Every example runs, and says what its last lines claim.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

macro_rules! examples {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            prints_what_it_promises(stringify!($name), env!(concat!("CARGO_BIN_EXE_", stringify!($name))));
        })+
        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}
examples! {
    events_and_resume,
    fan_out,
    graceful_shutdown,
    hello,
    isolated,
    phases_and_retry,
    scheduled_and_unique,
    transactional_enqueue,
}

fn prints_what_it_promises(name: &str, program: &str) {
    let source = fs::read_to_string(Path::new(DIRECTORY).join(name).with_extension("rs")).unwrap();
    let (_, block) = source.split_once("\n// Output:\n").expect("the file ends with its output");
    let promised: String =
        block.lines().map(|line| line.trim_start_matches("//").trim_start().to_owned() + "\n").collect();
    let output = Command::new(program).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), promised, "{errors}");
}

#[test]
fn no_example_is_left_out() {
    let files = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().into()).collect();
    assert_eq!(files, NAMES.iter().map(|name| (*name).to_owned()).collect());
}
