//! The program itself, as a user starts it.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// Starts the program in a place of its own, where a configuration of the machine does not reach it.
fn stepwell(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    command.args(arguments).current_dir(place).env_remove("STEPWELL_STORE").env_remove("STEPWELL_LISTEN");
    command.env_remove("STEPWELL_CONFIG").env("XDG_CONFIG_HOME", place);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `stepwell serve` on `app.db` in its place.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Arc<Mutex<Child>>,
    told: Option<std::thread::JoinHandle<String>>,
}

/// What kills it, from anywhere and at once.
#[derive(Clone)]
pub(crate) struct Killer(Arc<Mutex<Child>>);

impl Program {
    /// Starts it on a port of its own, and waits until it serves.
    pub(crate) fn start(place: &Path, arguments: &[&str]) -> Self {
        Self::start_at(place, "127.0.0.1:0", arguments)
    }
    pub(crate) fn start_at(place: &Path, listen: &str, arguments: &[&str]) -> Self {
        Self::start_on("sqlite:app.db", place, listen, arguments)
    }
    pub(crate) fn start_on(store: &str, place: &Path, listen: &str, arguments: &[&str]) -> Self {
        let all = [&["serve", "--store", store, "--listen", listen], arguments].concat();
        Self::spawn(stepwell(place, &all))
    }
    /// As [`start`](Self::start), and lets it say all that it can be made to say.
    pub(crate) fn start_talkative(place: &Path, arguments: &[&str]) -> Self {
        let all = [&["serve", "--store", "sqlite:app.db", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = stepwell(place, &all);
        command.env("STEPWELL_LOG", "trace");
        Self::spawn(command)
    }
    fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut errors = child.stderr.take().unwrap();
        // Read all the time, so that the program never waits for somebody to listen.
        let told = std::thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).ok();
            String::from_utf8_lossy(&text).into_owned()
        });
        let Some(address) = line.split("http://").nth(1).and_then(|rest| rest.split(',').next()) else {
            child.kill().ok();
            child.wait().ok();
            panic!("it did not begin to serve: {line:?}, {}", told.join().unwrap());
        };
        Self { address: address.parse().unwrap(), child: Arc::new(Mutex::new(child)), told: Some(told) }
    }
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }
    pub(crate) fn killer(&self) -> Killer {
        Killer(self.child.clone())
    }
    /// Kills it, unless it is dead, and answers with what it wrote to its standard error.
    pub(crate) fn kill(mut self) -> String {
        self.killer().kill();
        self.child.lock().unwrap().wait().unwrap();
        self.said()
    }
    /// Asks it to end, and answers with its exit code and what it wrote to its standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = self.child.lock().unwrap().wait().unwrap().code();
        (code, self.said())
    }
    fn said(&mut self) -> String {
        self.told.take().map_or_else(String::new, |told| told.join().unwrap())
    }
}

impl Drop for Program {
    /// A proof that fails leaves nothing behind.
    fn drop(&mut self) {
        if let Ok(mut child) = self.child.lock() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Killer {
    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.0.lock().unwrap().kill().unwrap();
    }
}

/// Makes a token for the file in that place.
pub(crate) fn token(place: &Path, name: &str, arguments: &[&str]) -> String {
    let all = [&["tokens", "create", name, "--store", "sqlite:app.db"], arguments].concat();
    let output = stepwell(place, &all).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
