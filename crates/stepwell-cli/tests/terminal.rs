//! What people see: the real binary in a real terminal, which is a pseudo-terminal of this test.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

mod rig;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rig::Program;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// A program in a terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    pieces: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All that was ever written, with what moves the cursor.
    written: String,
}

/// What was left on the screen, and how the program ended.
struct Left {
    code: Option<i32>,
    screen: String,
    written: String,
}

/// Rows and columns.
const SIZE: (u16, u16) = (30, 120);
/// How long it may take to show what it must.
const PATIENCE: Duration = Duration::from_secs(60);

impl Terminal {
    fn run(program: &Program, place: &Path, arguments: &[&str]) -> Self {
        Self::run_with(program, place, arguments, &[])
    }
    fn run_with(program: &Program, place: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let server = program.url("");
        Self::run_in(place, arguments, &[&[("STEPWELL_SERVER", &*server)], environment].concat())
    }
    fn run_in(place: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: SIZE.0, ws_col: SIZE.1, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs: OwnedFd =
            File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "STEPWELL_STORE", "STEPWELL_TOKEN"] {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(place).env("XDG_CONFIG_HOME", place);
        command.env("TERM", "xterm-256color").envs(environment.iter().copied());
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop((theirs, command));
        let keyboard = File::from(ours);
        let mut read = keyboard.try_clone().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // It ends, with an error on Linux, when nobody has the other end open.
            while let Ok(n @ 1..) = read.read(&mut piece) {
                if sender.send(piece[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(SIZE.0, SIZE.1, 0);
        Self { child, keyboard, pieces, screen, written: String::new() }
    }
    fn take(&mut self, piece: &[u8]) {
        self.screen.process(piece);
        self.written.push_str(&String::from_utf8_lossy(piece));
    }
    /// Waits until it shows this.
    fn shows(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.screen.screen().contents().contains(text) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.take(&piece),
                Err(_) => panic!("it does not show {text:?}:\n{}", self.screen.screen().contents()),
            }
        }
    }
    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
    /// Waits for its end.
    fn end(&mut self) -> Left {
        // Whoever writes to a terminal that nobody reads waits.
        while let Ok(piece) = self.pieces.recv_timeout(PATIENCE) {
            self.take(&piece);
        }
        let code = self.child.wait().unwrap().code();
        Left { code, screen: self.screen.screen().contents(), written: self.written.clone() }
    }
}

impl Drop for Terminal {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn serve(place: &Path) -> Program {
    Program::start(place, &["--insecure-no-auth", "--demo"])
}

#[test]
fn top_shows_the_queue_and_leaves_the_terminal_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let program = serve(place.path());
    let run = |arguments: &[&str]| Terminal::run(&program, place.path(), arguments);
    assert_eq!(run(&["enqueue", "demo.steps", "--wait"]).end().code, Some(0));
    let mut top = run(&["top"]);
    top.shows("demo.steps");
    assert!(top.screen.screen().alternate_screen());
    top.types("l");
    top.shows("there is nothing here");
    top.types("lP");
    top.shows("pause the queue default? y does it");
    top.types("y");
    top.shows("done: pause the queue default");
    top.types("q");
    let left = top.end();
    assert_eq!((left.code, left.screen.trim()), (Some(0), ""), "{}", left.written);
    assert!(run(&["queues", "list"]).end().screen.contains("paused in stepwell top"));

    let mut top = run(&["top"]);
    top.shows("demo.steps");
    top.signal("-TERM");
    let left = top.end();
    assert!(left.code == Some(130) && !top.screen.screen().alternate_screen(), "{}", left.written);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn a_job_is_followed_with_a_line_for_each_phase_and_ctrl_c_leaves_it_alone() {
    let place = tempfile::tempdir().unwrap();
    let program = serve(place.path());
    let run = |arguments: &[&str]| Terminal::run(&program, place.path(), arguments);
    let left = run(&["enqueue", "demo.steps", r#"{"pauseMs":150}"#, "--follow"]).end();
    assert_eq!(left.code, Some(0), "{}", left.screen);
    assert!(left.written.contains("running"), "{:?}", left.written);
    let lines: Vec<&str> = left.screen.lines().skip(1).collect();
    for (line, phase) in lines.iter().zip(["prepare", "work", "finish"]) {
        assert!(line.starts_with(&format!("  {phase:<16} completed ")), "{}", left.screen);
    }
    assert!(lines.len() == 4 && lines[3].contains("the job has completed after"), "{}", left.screen);

    let mut followed = run(&["enqueue", "demo.steps", r#"{"pauseMs":600000}"#, "--follow"]);
    followed.shows("running");
    followed.signal("-INT");
    let left = followed.end();
    assert!(left.code == Some(130) && left.screen.contains("the queue goes on"), "{}", left.screen);
    assert!(run(&["jobs", "list", "--state", "running"]).end().screen.contains("demo.steps"));
    program.kill();
}

#[test]
fn people_get_tables_and_hints_and_colours_only_if_they_want_them() {
    let place = tempfile::tempdir().unwrap();
    let program = serve(place.path());
    let run = |arguments: &[&str]| Terminal::run(&program, place.path(), arguments);
    assert_eq!(run(&["enqueue", "demo.steps", "--wait"]).end().code, Some(0));
    let list = run(&["jobs", "list"]).end();
    assert!(list.screen.starts_with("ID ") && list.screen.contains("next: stepwell jobs get ID"));
    assert!(list.written.contains("\u{1b}[32mcompleted"), "{:?}", list.written);
    let plain = [("NO_COLOR", "1")];
    let list = Terminal::run_with(&program, place.path(), &["jobs", "list"], &plain).end();
    assert!(list.screen.starts_with("ID ") && !list.written.contains('\u{1b}'), "{:?}", list.written);
    let list = run(&["jobs", "list", "--json"]).end();
    assert!(list.screen.starts_with("[\n{\"id\"") && !list.screen.contains("next:"), "{}", list.screen);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn long_work_shows_how_far_it_is_and_leaves_nothing_of_that() {
    let place = tempfile::tempdir().unwrap();
    let program = serve(place.path());
    assert_eq!(program.end().0, Some(0));
    let store = [("STEPWELL_STORE", "sqlite:app.db"), ("STEPWELL_SERVER", "")];
    let run = |arguments: &[&str]| Terminal::run_in(place.path(), arguments, &store);
    assert_eq!(run(&["enqueue", "demo.steps"]).end().code, Some(0));

    // Nobody works the store, and so nothing goes on until a server does.
    let mut bulk = run(&["bulk", "run", "cancel", "--all", "--wait"]);
    bulk.shows("0/1");
    bulk.shows("works on this store\n");
    let program = serve(place.path());
    let left = bulk.end();
    assert!(left.code == Some(0) && left.screen.contains("cancel"), "{}", left.screen);
    assert!(!left.screen.contains("0/1"), "{}", left.screen);
    assert_eq!(program.end().0, Some(0));

    // Somebody else has the file.
    let file = rusqlite::Connection::open(place.path().join("app.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut vacuum = run(&["db", "vacuum"]);
    vacuum.shows("compacting");
    file.execute_batch("ROLLBACK").unwrap();
    let left = vacuum.end();
    assert!(left.code == Some(0) && !left.screen.contains("compacting"), "{}", left.screen);
    let dumb = [store[0], store[1], ("TERM", "dumb")];
    let left = Terminal::run_in(place.path(), &["db", "vacuum"], &dumb).end();
    assert!(left.code == Some(0) && !left.written.contains('\u{1b}'), "{:?}", left.written);
}

#[test]
fn whoever_is_asked_may_leave_with_ctrl_c() {
    let place = tempfile::tempdir().unwrap();
    let program = serve(place.path());
    let run = |arguments: &[&str]| Terminal::run(&program, place.path(), arguments);
    assert_eq!(run(&["enqueue", "other.kind"]).end().code, Some(0));
    let mut purge = run(&["queues", "purge", "default"]);
    purge.shows("cancel 1 jobs that wait in the queue default, and delete its cancelled jobs. Type default to go on: ");
    purge.signal("-INT");
    assert_eq!(purge.end().code, Some(130));
    let left = run(&["queues", "purge", "default", "--no-input"]).end();
    assert!(left.code == Some(2) && left.screen.contains("--yes"), "{}", left.screen);
    let mut purge = run(&["queues", "purge", "default"]);
    purge.shows("Type default");
    purge.types("default\n");
    let left = purge.end();
    assert!(left.code == Some(0) && left.screen.contains("1       jobs deleted"), "{}", left.screen);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn what_deletes_asks_for_a_word() {
    let place = tempfile::tempdir().unwrap();
    let program = serve(place.path());
    let run = |arguments: &[&str]| Terminal::run(&program, place.path(), arguments);
    let made = run(&["enqueue", "demo.steps", "--wait", "--json"]).end();
    assert_eq!(made.code, Some(0), "{}", made.screen);
    let (_, id) = made.written.split_once("\"id\":\"").unwrap();
    let id = &id[30..36];
    let mut delete = run(&["jobs", "delete", id]);
    delete.shows(&format!("This will delete the job …{id}. Type delete to go on: "));
    delete.types("yes\n");
    let left = delete.end();
    assert!(left.code == Some(2) && left.screen.contains("nothing was changed"), "{}", left.screen);
    let mut delete = run(&["jobs", "delete", id]);
    delete.shows("to go on");
    delete.types("delete\n");
    let left = delete.end();
    assert!(left.code == Some(0) && left.screen.contains("deleted"), "{}", left.screen);
    assert_eq!(program.end().0, Some(0));
}
