//! A PostgreSQL server with data of its own.

use std::{
    fs,
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
};

/// Its superuser.
pub(crate) const USER: &str = "postgres";

/// The longest path that the system takes for a socket, with some room for the socket's own name.
const SOCKET_PATH_MAX: usize = 80;

/// A running server, which is gone with all its data when this is dropped or when this process dies.
#[derive(Debug)]
pub struct Cluster {
    // In this order: the server ends before its directory.
    process: Process,
    data: PathBuf,
    address: Address,
    #[expect(dead_code, reason = "it is there to be dropped")]
    place: Place,
}

impl Cluster {
    /// A new one. It listens on a free port of 127.0.0.1 and on a socket in its directory, and lets everybody in.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start(settings: &Settings) -> Result<Self> {
        let (account, bin, place) = (Account::find()?, programs::postgres()?, Place::make()?);
        let data = place.directory("data")?;
        account.own(&data)?;
        init(account, &bin, &data)?;
        // Somebody may take a port between our look at it and the server's.
        let mut tries = 3;
        loop {
            tries -= 1;
            let address = Address { user: USER.into(), host: "127.0.0.1".into(), port: port::free()? };
            match run(account, &bin, &data, address.port, settings, place.path()) {
                Ok(process) => return Ok(Self { process, data, address, place }),
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
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.process.end(Signal::QUIT) {
            eprintln!("{error}: it has its data in {}", self.data.display());
        }
    }
}

/// Makes the files of a cluster.
fn init(account: Account, bin: &Path, data: &Path) -> Result<()> {
    let mut command = account.command(&bin.join("initdb"), data);
    // The same order of text on every machine, and bytes compared as bytes.
    command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "--auth=trust"]);
    command.args(["--username", USER, "--pgdata"]).arg(data).stdin(Stdio::null());
    let output = command.output().map_err(Error::io("start initdb"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("failed to make a cluster: {}", String::from_utf8_lossy(&output.stderr))))
}

fn run(
    account: Account,
    bin: &Path,
    data: &Path,
    port: u16,
    settings: &Settings,
    place: &Path,
) -> Result<Process> {
    let mut command = account.command(&bin.join("postgres"), data);
    // A socket's path must be short. Where it is not, the port has to do.
    let sockets = if data.as_os_str().len() < SOCKET_PATH_MAX { data } else { Path::new("") };
    command.arg("-D").arg(data).arg("-p").arg(port.to_string()).arg("-k").arg(sockets);
    command.args(["-c", "listen_addresses=127.0.0.1"]).args(settings.arguments());
    let mut process = Process::start(&mut command, &place.join("log"))?;
    let id = process.id();
    match process.wait_until(|| is_ready(data, id)) {
        Ok(()) => Ok(process),
        Err(error) => {
            process.end(Signal::QUIT)?;
            Err(error)
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
