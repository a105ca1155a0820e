//! A PostgreSQL server with data of its own.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;

use crate::{
    account::Account,
    address::Address,
    error::{Error, Result},
    place::Place,
    port,
    process::Process,
    programs,
    settings::Settings,
    wire::{Client, Rows},
};

/// Its superuser.
const USER: &str = "postgres";

/// The longest path that the system takes for a socket, with some room for the socket's own name.
const SOCKET_PATH_MAX: usize = 80;

/// A running server, which is gone with all its data when this is dropped or when this process dies.
#[derive(Debug)]
pub struct Cluster {
    // In this order: the server ends before its directory.
    process: Process,
    files: Files,
    settings: Settings,
    address: Address,
}

/// What a server is started from.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) account: Account,
    /// The directory of PostgreSQL's programs.
    pub(crate) bin: PathBuf,
    pub(crate) data: PathBuf,
    place: Place,
}

impl Cluster {
    /// A new one. It listens on a free port of 127.0.0.1 and on a socket in its directory, and lets everybody in.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start(settings: &Settings) -> Result<Self> {
        let files = Files::make()?;
        files.init()?;
        Self::start_on(files, settings)
    }

    /// As [`start`](Self::start), with this certificate and its key, in PEM format: it speaks TLS with whoever asks
    /// for it.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_encrypted(settings: &Settings, certificate: &str, key: &str) -> Result<Self> {
        let files = Files::make()?;
        files.init()?;
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = files.data.join(name);
            fs::write(&path, text).map_err(Error::io("write a certificate"))?;
            // PostgreSQL refuses a key that others may read.
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(Error::io("close a certificate to others"))?;
            files.account.own(&path)?;
        }
        Self::start_on(files, &settings.clone().with("ssl", "on"))
    }

    pub(crate) fn start_on(files: Files, settings: &Settings) -> Result<Self> {
        // Somebody may take a port between our look at it and the server's.
        let mut tries = 3;
        loop {
            tries -= 1;
            let address = Address { user: USER.into(), host: "127.0.0.1".into(), port: port::free()? };
            match files.run(address.port, settings) {
                Ok(process) => return Ok(Self { process, files, settings: settings.clone(), address }),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The rows of a query without parameters, in the maintenance database.
    ///
    /// # Errors
    /// If the server does not answer, or answers with an error.
    pub fn query(&self, sql: &str) -> Result<Rows> {
        Client::connect(&self.address, "postgres")?.query(sql)
    }

    /// Ends it as a crash would: nobody is told anything, and it has to recover from its log.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn crash(&mut self) -> Result<()> {
        self.process.end(Signal::QUIT)
    }

    /// Ends it in order: whoever is connected is cut off, and what there is to write is written.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn stop(&mut self) -> Result<()> {
        self.process.end(Signal::INT)
    }

    /// Starts it again where it was, after it has ended.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.end(Signal::INT)?;
        self.process = self.files.run(self.address.port, &self.settings)?;
        Ok(())
    }

    /// Waits for something that this server will bring about, as long as it runs.
    pub(crate) fn wait_until(&mut self, is_so: impl FnMut() -> bool) -> Result<()> {
        self.process.wait_until(is_so)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.process.end(Signal::QUIT) {
            eprintln!("{error}: it has its data in {}", self.files.data.display());
        }
    }
}

impl Files {
    /// An empty directory for data.
    pub(crate) fn make() -> Result<Self> {
        let (account, bin, place) = (Account::find()?, programs::postgres()?, Place::make()?);
        let data = place.directory("data")?;
        // PostgreSQL refuses a directory that others may enter.
        fs::set_permissions(&data, Permissions::from_mode(0o700))
            .map_err(Error::io("close a directory to others"))?;
        account.own(&data)?;
        Ok(Self { account, bin, data, place })
    }

    /// Fills it with what a new server begins with.
    fn init(&self) -> Result<()> {
        let mut command = self.account.command(&self.bin.join("initdb"), &self.data);
        // The same order of text on every machine, and bytes compared as bytes.
        command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--auth=trust"]);
        command.args(["--username", USER, "--pgdata"]).arg(&self.data).stdin(Stdio::null());
        let output = command.output().map_err(Error::io("start initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::new(format!("failed to make a cluster: {}", String::from_utf8_lossy(&output.stderr))))
    }

    /// Runs a server on it.
    fn run(&self, port: u16, settings: &Settings) -> Result<Process> {
        let data = &self.data;
        let mut command = self.account.command(&self.bin.join("postgres"), data);
        // A socket's path must be short. Where it is not, the port has to do.
        let sockets = if data.as_os_str().len() < SOCKET_PATH_MAX { data } else { Path::new("") };
        command.arg("-D").arg(data).arg("-p").arg(port.to_string()).arg("-k").arg(sockets);
        command.args(["-c", "listen_addresses=127.0.0.1"]).args(settings.arguments());
        let mut process = Process::start(&mut command, &self.place.path().join("log"))?;
        let id = process.id();
        match process.wait_until(|| is_ready(data, id)) {
            Ok(()) => Ok(process),
            Err(error) => {
                process.end(Signal::QUIT)?;
                Err(error)
            }
        }
    }
}

/// Whether this server, and not one before it, has written to its file that it takes connections. The file has the
/// process on its first line and the state on its eighth.
fn is_ready(data: &Path, id: u32) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.first() == Some(&id.to_string().as_str()) && matches!(lines.get(7), Some(&("ready" | "standby")))
}
