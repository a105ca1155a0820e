//! `stepwell serve` as a user runs it: the real binary, a real file.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code, of which each binary uses a part and in which a panic is the report"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

pub fn stepwell(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    command.args(arguments).current_dir(place).env_remove("STEPWELL_STORE");
    command.env("XDG_CONFIG_HOME", place);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn ended(place: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = stepwell(place, arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

/// The body of an answer.
pub fn body(answer: &str) -> serde_json::Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// Asks again and again until the answer is yes.
pub fn until(what: &str, ask: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ask() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: it did not come");
        // Each question is asked of another process, so this does not spin.
        std::thread::yield_now();
    }
}

/// The body of a request that takes its time.
pub const SLOW_BODY: &str = r#"{"kind":"mail","payload":{}}"#;

pub struct Serving {
    pub child: Child,
    pub address: String,
}

impl Drop for Serving {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serving {
    pub fn start(place: &Path, arguments: &[&str]) -> Self {
        Self::start_on("sqlite:app.db", place, arguments)
    }
    /// Starts it on a store.
    pub fn start_on(store: &str, place: &Path, arguments: &[&str]) -> Self {
        let all = [&["serve", "--store", store, "--listen", "127.0.0.1:0"], arguments].concat();
        Self::of(stepwell(place, &all))
    }
    /// Starts it by a command, and waits until it serves.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line:?}"));
        let address = address.split(',').next().unwrap().to_owned();
        Self { child, address }
    }
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let authorization =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{authorization}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
    /// A request that is being served and does not end by itself: its body does not come.
    pub fn begin_request(&self) -> TcpStream {
        let mut stuck = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "POST /api/v1/jobs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\n\r\n",
            self.address,
            SLOW_BODY.len()
        );
        stuck.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 25];
        stuck.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n", "it is being served");
        stuck
    }
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    pub fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }
    pub fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }
    pub fn end(self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        self.left()
    }
    /// Its exit code and what it said, once it has ended by itself.
    pub fn left(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}
