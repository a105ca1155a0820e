//! A throw-away server is there at once, and gone with its data whichever way its maker ends.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Runs a cluster until its input ends, with directories for temporary files of our own.
struct Maker {
    child: Child,
    address: String,
}

impl Maker {
    fn start(temp: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_throwaway-postgres"))
            .env("TMPDIR", temp)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let address =
            url.trim().strip_prefix("postgres://postgres@").unwrap().strip_suffix("/postgres").unwrap();
        TcpStream::connect(address).unwrap();
        Self { child, address: address.to_owned() }
    }

    /// Ends as it wants to.
    fn leave(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address
    }
}

/// A directory that is removed by hand, so that a test which fails leaves what it found.
fn temp(name: &str) -> PathBuf {
    let temp = std::env::temp_dir().join(format!("stepwell-rig-{name}-{}", std::process::id()));
    fs::create_dir(&temp).unwrap();
    temp
}

/// The directories of servers in `temp`.
fn places(temp: &Path) -> Vec<PathBuf> {
    let homes = fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().path());
    let inner = homes.flat_map(|home| fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()));
    inner.filter(|path| path.is_dir()).collect()
}

/// The process of the only server in `temp`.
fn server(temp: &Path) -> u32 {
    let file = places(temp).remove(0).join("data/postmaster.pid");
    fs::read_to_string(file).unwrap().lines().next().unwrap().parse().unwrap()
}

/// Waits until something that another process does has happened.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    let (_never, tick) = mpsc::channel::<()>();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} never came to be");
        _ = tick.recv_timeout(Duration::from_millis(10));
    }
}

#[test]
fn one_that_is_left_is_gone_with_its_data() {
    let temp = temp("left");
    let maker = Maker::start(&temp);
    assert_eq!(places(&temp).len(), 1);
    let address = maker.address.clone();
    maker.leave();
    assert!(places(&temp).is_empty());
    TcpStream::connect(address).unwrap_err();
    fs::remove_dir_all(temp).unwrap();
}

#[test]
fn one_whose_maker_is_killed_is_gone_too() {
    let temp = temp("killed");
    let address = Maker::start(&temp).kill();
    until("an empty directory", || places(&temp).is_empty());
    TcpStream::connect(address).unwrap_err();
    fs::remove_dir_all(temp).unwrap();
}

// Only where processes can be told apart by their arguments, by looking at files.
#[cfg(target_os = "linux")]
#[test]
fn one_whose_guard_is_killed_as_well_is_gone_at_the_next_start() {
    let temp = temp("unguarded");
    let maker = Maker::start(&temp);
    let place = places(&temp).remove(0);
    let pattern = format!("guard {}", place.display());
    let guards = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let words = fs::read(entry.as_ref().unwrap().path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
        words.ends_with(&pattern).then(|| entry.unwrap().file_name().into_string().unwrap())
    });
    let guards: Vec<String> = guards.collect();
    assert_eq!(guards.len(), 1, "{guards:?}");
    assert!(Command::new("kill").args(["-KILL", &guards[0]]).status().unwrap().success());
    let address = maker.kill();
    // Both are gone, and the server is not.
    TcpStream::connect(&address).unwrap();
    let next = Maker::start(&temp);
    assert!(!place.exists());
    TcpStream::connect(address).unwrap_err();
    next.leave();
    fs::remove_dir_all(temp).unwrap();
}

#[test]
fn two_at_once_have_nothing_to_do_with_each_other() {
    let temp = temp("two");
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(|| Maker::start(&temp));
        let two = scope.spawn(|| Maker::start(&temp));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_ne!(one.address, two.address);
    one.leave();
    TcpStream::connect(&two.address).unwrap();
    two.leave();
    assert!(places(&temp).is_empty());
    fs::remove_dir_all(temp).unwrap();
}

#[test]
fn a_server_that_was_stopped_is_ended_all_the_same() {
    let temp = temp("stopped");
    let maker = Maker::start(&temp);
    let server = server(&temp).to_string();
    assert!(Command::new("kill").args(["-STOP", &server]).status().unwrap().success());
    maker.kill();
    until("an empty directory", || places(&temp).is_empty());
    fs::remove_dir_all(temp).unwrap();
}
