//! The image of packaging/Dockerfile without Docker: the program is built as one static file, and run in a root
//! directory that has nothing else in it, by a user without rights, as the file says. It needs root, to make such a
//! place, and builds for minutes: `cargo xtask proof static`.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(target_os = "linux")]

#[path = "image/build.rs"]
mod build;
#[path = "image/place.rs"]
mod place;

use place::{Place, processes, until};
use rustix::process::Signal;

const SERVER: &str = "http://0.0.0.0:PORT";

/// What is asked of the server, with the token.
fn asks(place: &Place, words: &[&str]) -> (Option<i32>, String, String) {
    place.run(&[words, &["--server", &place.here(SERVER)]].concat())
}

#[test]
fn it_serves_in_an_empty_place_and_goes_on_after_any_end() {
    let mut place = Place::new();
    let (code, token, told) = place.run(&["tokens", "create", "me", "--admin"]);
    assert_eq!(code, Some(0), "{told}");
    place.token = token.trim().to_owned();

    // As the file says, but for the demo. Nothing is in the place but the program and the directory for the data.
    let server = place.serve(&["--demo"]);
    assert_eq!(place.health(), Some(0));
    let (code, id, told) = asks(&place, &["enqueue", "demo.steps", "--wait"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, said, told) = asks(&place, &["doctor"]);
    assert!(code == Some(0) && said.contains("\tclock\t") && said.contains("\tdisk\t"), "{said} {told}");
    for words in [&["db", "check"][..], &["db", "backup", "/data/backup.db"], &["bench", "--jobs", "50"]] {
        let (code, said, told) = place.run(words);
        assert_eq!(code, Some(0), "{said} {told}");
    }
    // Nobody resolves names here, and that is told.
    let (code, _, told) = place.run(&["jobs", "list", "--server", "https://nowhere.invalid"]);
    assert!(code == Some(6) && told.contains("dns error"), "{told}");
    assert_eq!(server.end(Signal::TERM).0, Some(0));
    assert_eq!(place.health(), Some(6));

    for signal in [Signal::KILL, Signal::TERM] {
        let server = place.serve(&[]);
        let (code, said, told) = asks(&place, &["jobs", "list", "--fields", "id,state"]);
        assert_eq!((code, said), (Some(0), format!("{}\tcompleted\n", id.trim())), "{told}");
        server.end(signal);
    }
}

const KINDS: &str = r#"
[[kinds.itself.phases]]
name = "version"
run = ["/stepwell", "version"]
[[kinds.shell.phases]]
name = "p"
run = ["sh", "-c", "true"]
retry = { attempts = 1 }
[[kinds.leaves.phases]]
name = "p"
run = ["/LEAVES"]
"#;

/// It starts two processes that leave the group: one that ends by itself, as its parent has, and one that never does.
const LEAVES: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) { close(0); close(1); close(2); for (;;) pause(); }
        _exit(0);
    }
    puts("1");
    return 0;
}
"#;

#[test]
fn as_the_first_process_of_a_container_it_leaves_no_zombies() {
    let mut place = Place::new();
    // By this name its processes are known.
    let leaves = format!("lv{}", std::process::id());
    build::c(LEAVES, &place.root().join(&leaves));
    place.write("stepwell.toml", &KINDS.replace("LEAVES", &leaves));
    place.token = place.run(&["tokens", "create", "me", "--admin"]).1.trim().to_owned();

    let server = place.serve_first(&[]);
    let (code, _, told) = asks(&place, &["enqueue", "itself", "--wait"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, _, told) = asks(&place, &["enqueue", "shell", "--wait"]);
    assert!(code == Some(10) && told.contains("failed to start `sh`"), "{told}");
    for _ in 0..3 {
        let (code, _, told) = asks(&place, &["enqueue", "leaves", "--wait"]);
        assert_eq!(code, Some(0), "{told}");
    }
    until("what outlived its phase is gone, and was waited for", || processes(&leaves).is_empty());
    let (code, told) = server.end(Signal::TERM);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("ending: "), "{told}");
}

#[test]
fn programs_of_phases_want_proc_and_that_is_told() {
    let place = Place::new();
    place.write("stepwell.toml", KINDS);
    let (code, _, told) = place.run(&["serve", "--behind-proxy", "--config", "/data/stepwell.toml"]);
    assert!(code == Some(1) && told.contains("failed to read /proc") && told.contains("mount it"), "{told}");
}

#[test]
fn the_program_is_one_static_file() {
    let file = std::process::Command::new("ldd").arg(build::stepwell()).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&file.stdout), String::from_utf8_lossy(&file.stderr));
    assert!(told.contains("statically linked") || told.contains("not a dynamic executable"), "{told}");
}
