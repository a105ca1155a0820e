//! The second process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use crate::told::Told;

const URL: &str = "STEPWELL_LOG_URL";
const SEED: &str = "STEPWELL_LOG_CHILD_SEED";

/// What this process is to do, if it is the second one.
pub(crate) fn orders() -> Option<(String, u64)> {
    Some((std::env::var(URL).ok()?, std::env::var(SEED).ok()?.parse().ok()?))
}

pub(crate) struct Process {
    child: Child,
    listener: Option<JoinHandle<()>>,
    first: mpsc::Receiver<()>,
}

impl Process {
    pub(crate) fn start(url: &str, seed: u64, told: Arc<Told>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(URL, url)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (heard, first) = mpsc::channel();
        let listener = std::thread::spawn(move || {
            let mut line = String::new();
            // A line that the kill cut off is not an acknowledgement that anybody received.
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
                if told.hear(&line) && heard.send(()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { child, listener: Some(listener), first }
    }
    /// Comes back when it has had something acknowledged.
    pub(crate) fn until_heard(&self) {
        self.first.recv_timeout(Duration::from_secs(60)).expect("the second process writes");
    }
    /// `kill -9`. Nobody else has ended it before.
    pub(crate) fn kill(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the second process has ended by itself");
        self.end();
    }
    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
