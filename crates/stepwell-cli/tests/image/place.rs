//! A root directory with nothing in it, and what runs there.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use stepwell::Stopwatch;
use tempfile::TempDir;

use crate::build;

const DOCKERFILE: &str = include_str!("../../../../packaging/Dockerfile");
/// How long something may take that has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The user of the image.
const USER: u32 = 65_532;

/// A place as the image is.
pub(crate) struct Place {
    root: TempDir,
    port: u16,
    pub(crate) token: String,
}

/// What the Dockerfile has run: the health check, and the words of the server.
fn commands() -> (Vec<String>, Vec<String>) {
    let lists = DOCKERFILE.lines().filter_map(|line| line.trim().strip_prefix("CMD "));
    let mut lists = lists.map(|list| serde_json::from_str(list).unwrap());
    (lists.next().unwrap(), lists.next().unwrap())
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Stopwatch::start();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        assert!(rustix::process::getuid().is_root(), "only root can make such a place");
        assert!(DOCKERFILE.contains(&format!("\nUSER {USER}:{USER}\n")), "it has another user");
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        fs::copy(build::stepwell(), root.path().join("stepwell")).unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        chown(root.path().join("data"), Some(USER), Some(USER)).unwrap();
        // A port that was free a moment ago, in place of the one that another server of this machine may have.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { root, port, token: String::new() }
    }
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.root().join("data").join(name), text).unwrap();
    }
    /// Text with this place's port.
    pub(crate) fn here(&self, text: &str) -> String {
        text.replace("PORT", &self.port.to_string()).replace("7717", &self.port.to_string())
    }

    /// What is to be run as the image has it: from `/data`, by its user, with its environment.
    fn command(&self, before: &[&str], words: &[&str]) -> Command {
        let line = DOCKERFILE.lines().find_map(|line| line.strip_prefix("ENV ")).unwrap();
        let environment = self.here(line);
        let root = self.root().to_str().unwrap().to_owned();
        let user = USER.to_string();
        let mut command = Command::new("unshare");
        command.args(before).args(["--root", &root, "--wd", "/data", "--setgid", &user, "--setuid", &user]);
        command.arg("/stepwell").args(words).stdin(Stdio::null());
        // What starts it is found by this machine's path; inside there is none.
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.envs(environment.split(' ').map(|variable| variable.split_once('=').unwrap()));
        if !self.token.is_empty() {
            command.env("STEPWELL_TOKEN", &self.token);
        }
        command
    }
    /// Runs it with these words: its exit code, what it says, and what it tells beside.
    pub(crate) fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(&[], words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
    /// The exit code of the health check.
    pub(crate) fn health(&self) -> Option<i32> {
        let (check, _) = commands();
        assert_eq!(check[0], "/stepwell");
        let check: Vec<String> = check[1..].iter().map(|word| self.here(word)).collect();
        self.run(&check.iter().map(String::as_str).collect::<Vec<_>>()).0
    }
    /// Starts the server as the image does, and waits until it is healthy. There is no `/proc`.
    pub(crate) fn serve(&self, more: &[&str]) -> Running {
        self.start(&[], more)
    }
    /// The same as the first process of a container, which has a `/proc`.
    pub(crate) fn serve_first(&self, more: &[&str]) -> Running {
        fs::create_dir_all(self.root().join("proc")).unwrap();
        self.start(&["--pid", "--fork", "--kill-child", "--mount", "--mount-proc=/proc"], more)
    }
    fn start(&self, before: &[&str], more: &[&str]) -> Running {
        let (_, serve) = commands();
        let serve: Vec<&str> = serve.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut command = self.command(before, &serve);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let running = Running { child, is_first: !before.is_empty() };
        until("the server is healthy", || self.health() == Some(0));
        running
    }
}

/// A server that runs.
pub(crate) struct Running {
    child: Child,
    /// Whether it is the first process, and not what has made the place for it.
    is_first: bool,
}

impl Running {
    fn pid(&self) -> Pid {
        let child = self.child.id();
        let pid = match self.is_first {
            false => child,
            true => {
                let children = fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap();
                children.trim().parse().unwrap()
            }
        };
        Pid::from_raw(pid.cast_signed()).unwrap()
    }
    /// Ends it with a signal: its exit code, and what it has told.
    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(self.pid(), signal).unwrap();
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Processes of a program of this name, living or not waited for.
pub(crate) fn processes(name: &str) -> Vec<PathBuf> {
    let is_it =
        |place: &PathBuf| fs::read_to_string(place.join("comm")).is_ok_and(|comm| comm.trim() == name);
    fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(is_it).collect()
}
