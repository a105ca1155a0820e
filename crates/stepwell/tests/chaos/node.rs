//! A node as it is seen from outside: a process, and its way to the database.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use stepwell::JobId;
use stepwell_postgres_rig::Proxy;

use super::work::Orders;

pub(crate) struct Node {
    name: String,
    pub(crate) way: Proxy,
    process: Process,
    told: Arc<Mutex<Told>>,
}

/// What all the processes of a node have said.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<JobId>,
    refused: u64,
    broken: Vec<String>,
    is_enough: bool,
    has_ended: bool,
    /// What the last of them said last, to understand how it ended.
    last: String,
}

struct Process {
    child: Child,
    listener: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) fn start(n: usize, way: Proxy) -> Self {
        let (name, told) = (format!("node-{n}"), Arc::default());
        let process = Process::start(&name, &way, &told);
        Self { name, way, process, told }
    }

    /// `kill -9`, and a new process in its place.
    pub(crate) fn kill(&mut self) {
        self.assert_lives();
        self.process.kill();
        self.process = Process::start(&self.name, &self.way, &self.told);
    }

    pub(crate) fn stop(&mut self) {
        self.assert_lives();
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Nobody but us ends a node.
    fn assert_lives(&mut self) {
        let ended = self.process.child.try_wait().unwrap();
        let told = self.told.lock().unwrap();
        assert!(ended.is_none(), "{} ended by itself with {ended:?}: {}", self.name, told.last);
        assert!(told.broken.is_empty(), "{}: {:?}", self.name, told.broken);
    }

    fn signal(&self, signal: &str) {
        let id = self.process.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Asks it to enqueue no more, and waits until it does not.
    pub(crate) fn enough(&mut self) {
        self.assert_lives();
        writeln!(self.process.child.stdin.as_mut().unwrap()).unwrap();
        super::check::until(&format!("{} to enqueue no more", self.name), || {
            self.told.lock().unwrap().is_enough
        });
    }

    pub(crate) fn acknowledged(&self) -> Vec<JobId> {
        self.told.lock().unwrap().acknowledged.iter().copied().collect()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.told.lock().unwrap().refused
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        self.assert_lives();
        drop(self.process.child.stdin.take());
        let status = self.process.child.wait().unwrap();
        self.process.listen_to_the_end();
        let told = self.told.lock().unwrap();
        assert!(status.success() && told.has_ended, "{} ended with {status}: {}", self.name, told.last);
        assert!(told.broken.is_empty(), "{}: {:?}", self.name, told.broken);
    }
}

impl Process {
    fn start(name: &str, way: &Proxy, told: &Arc<Mutex<Told>>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .envs(Orders::environment(way.address().url("postgres"), name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = Arc::clone(told);
        let listener = std::thread::spawn(move || {
            // A line that the kill cut off is not an acknowledgement that anybody received.
            for line in lines.map_while(Result::ok) {
                told.lock().unwrap().take(&line);
            }
        });
        Self { child, listener: Some(listener) }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listen_to_the_end();
    }

    fn listen_to_the_end(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

impl Drop for Process {
    /// A proof that fails leaves nothing behind.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Told {
    fn take(&mut self, line: &str) {
        // The harness begins a line of its own, and does not end it.
        if let Some((_, id)) = line.rsplit_once("acknowledged ") {
            self.acknowledged.extend(id.parse::<JobId>());
        } else if line.contains("refused: ") {
            self.refused += 1;
            self.last = line.to_owned();
        } else if line.contains("broken: ") {
            self.broken.push(line.to_owned());
        } else if line.ends_with("enough") {
            self.is_enough = true;
        } else if line.ends_with("ended in order") {
            self.has_ended = true;
        } else {
            self.last = line.to_owned();
        }
    }
}
