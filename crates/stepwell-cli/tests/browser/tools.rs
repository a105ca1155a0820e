//! The programs of others: nginx and Chromium.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::rig::soon;

const CONFIGURATION: &str = include_str!("nginx.conf");

/// Sees to it that both are there.
pub(crate) fn install() {
    let missing: Vec<&str> = [("nginx", "nginx-light"), ("chromium", "chromium")]
        .into_iter()
        .filter(|(program, _)| {
            !works(Command::new(program).arg(if *program == "nginx" { "-v" } else { "--version" }))
        })
        .map(|(_, package)| package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let installed = works(Command::new("apt-get").args(["install", "--yes", "--quiet"]).args(&missing));
    assert!(installed, "install {} for this proof: apt-get install could not", missing.join(" and "));
}

fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A proxy.
pub(crate) struct Nginx(Child);

impl Nginx {
    pub(crate) async fn start(place: &Path, port: u16, server: &str, token: &str, sink: &str) -> Self {
        let file = place.join("nginx.conf");
        let configuration = CONFIGURATION
            .replace("{place}", place.to_str().unwrap())
            .replace("{port}", &port.to_string())
            .replace("{server}", server)
            .replace("{token}", token)
            .replace("{sink}", sink);
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new("nginx");
        let child = command.arg("-c").arg(&file).arg("-p").arg(place).stdin(Stdio::null()).spawn().unwrap();
        let listens = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("nginx", listens).await;
        Self(child)
    }
    /// Ends it and all connections through it at once.
    pub(crate) fn kill(self) {}
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker would outlive a `kill -9`; of this signal the worker is told.
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}

/// A browser with one page open.
pub(crate) struct Browser(Child);

impl Browser {
    pub(crate) fn open(place: &Path, url: &str) -> Self {
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.arg(format!("--user-data-dir={}", place.join("browser").display()));
        // With this port it stays open.
        command.args(["--remote-debugging-port=0", url]).stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}
