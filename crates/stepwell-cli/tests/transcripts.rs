//! What is typed, and what is answered: the real binary, in text and as JSON, on a server and on the store itself.
//!
//! A transcript is a file of commands, each with what it says: standard output as it is, standard error after `! `, and
//! an exit code unless it is 0. What differs from one time to the next is written as `<1>` (the first id), `<1…>` (its
//! last digits), `<time>`, `<span>` and `<place>`. A file is written by `= NAME`, and its lines by `+ `.
//! `STEPWELL_BLESS=1 cargo nextest run transcripts` writes what is said now.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

#[path = "transcripts/redact.rs"]
mod redact;
mod rig;
#[path = "transcripts/script.rs"]
mod script;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rig::Program;
use script::Script;

/// Whom the commands ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Server,
    Store,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name).with_extension("txt")
}

/// Runs a transcript against a server of its own, with workers.
fn run(name: &str, asked: Asked) {
    let place = tempfile::tempdir().unwrap();
    let program =
        Program::start(place.path(), &["--insecure-no-auth", "--demo", "--webhook-allow", "127.0.0.0/8"]);
    let address = match asked {
        Asked::Server => ("STEPWELL_SERVER", program.url("")),
        Asked::Store => ("STEPWELL_STORE", "sqlite:app.db".to_owned()),
    };
    let expected = fs::read_to_string(file(name)).unwrap();
    let said = Script::new(place.path(), &[address]).run(&expected);
    assert_eq!(program.end().0, Some(0));
    hold(name, &expected, &said, asked);
}

/// What is said must be what is expected, unless it is to be so from now on.
fn hold(name: &str, expected: &str, said: &str, asked: Asked) {
    if asked == Asked::Server && std::env::var_os("STEPWELL_BLESS").is_some() {
        fs::write(file(name), said).unwrap();
        return;
    }
    assert!(
        said == expected,
        "{name} says something else on a {asked:?}:\n{}",
        script::difference(expected, said)
    );
}

macro_rules! transcripts {
    ($($name:ident $on_store:ident,)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), Asked::Server);
        }
        #[test]
        fn $on_store() {
            run(stringify!($name), Asked::Store);
        }
    )*};
}

/// With a store it also tells of the file and the disk, which are not the same everywhere.
#[test]
fn doctor() {
    run("doctor", Asked::Server);
}

/// It names the store itself, which the server has.
#[test]
fn db() {
    run("db", Asked::Server);
}

/// It measures on the server, and once beside a store.
#[test]
fn bench() {
    run("bench", Asked::Server);
}

/// It asks nobody.
#[test]
fn config() {
    let place = tempfile::tempdir().unwrap();
    let expected = fs::read_to_string(file("config")).unwrap();
    let said = Script::new(place.path(), &[]).run(&expected);
    hold("config", &expected, &said, Asked::Server);
}

transcripts! {
    jobs jobs_on_the_store,
    fields fields_on_the_store,
    steering steering_on_the_store,
    queues queues_on_the_store,
    events events_on_the_store,
    bulk bulk_on_the_store,
    webhooks webhooks_on_the_store,
    tokens tokens_on_the_store,
    export export_on_the_store,
}
