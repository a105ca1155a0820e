//! PgBouncer before a server.

use std::{fs, path::Path, process::Command};

use rustix::process::Signal;

use crate::{
    account::Account,
    address::Address,
    error::{Error, Result},
    place::Place,
    port,
    process::Process,
    programs,
};

/// The first version that keeps named statements over the transactions of a client.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

const SETTINGS: &str = "settings.ini";

/// A running PgBouncer that hands out connections for a transaction at a time, which is what breaks most: nothing that
/// belongs to a session outlives a commit. It is gone when this is dropped or when this process dies.
#[derive(Debug)]
pub struct Bouncer {
    // In this order: the process ends before its directory.
    process: Process,
    address: Address,
    #[expect(dead_code, reason = "it is there to be dropped")]
    place: Place,
}

impl Bouncer {
    /// Starts one that leads to every database of this server, by its name.
    ///
    /// # Errors
    /// If PgBouncer is not installed, or does not start.
    pub fn start(server: &Address) -> Result<Self> {
        let (account, program, place) = (Account::find()?, programs::bouncer()?, Place::make()?);
        let directory = place.directory("bouncer")?;
        account.own(&directory)?;
        write(&directory.join("users"), &format!("\"{}\" \"\"\n", server.user))?;
        let keeps_statements = version(&program)? >= KEEPS_STATEMENTS;
        // Somebody may take a port between our look at it and the bouncer's.
        let mut tries = 3;
        loop {
            tries -= 1;
            let address = Address { host: "127.0.0.1".into(), port: port::free()?, ..server.clone() };
            write(&directory.join(SETTINGS), &settings(server, &address, &directory, keeps_statements))?;
            match run(account, &program, &directory, &address) {
                Ok(process) => return Ok(Self { process, address, place }),
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

impl Drop for Bouncer {
    fn drop(&mut self) {
        if let Err(error) = self.process.end(Signal::QUIT) {
            eprintln!("{error}");
        }
    }
}

fn settings(server: &Address, own: &Address, directory: &Path, keeps_statements: bool) -> String {
    let directory = directory.display();
    let mut text = format!(
        "[databases]\n* = host={} port={}\n\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
         pidfile = {directory}/bouncer.pid\nauth_type = trust\nauth_file = {directory}/users\npool_mode = transaction\n\
         max_client_conn = 1000\ndefault_pool_size = 20\n",
        server.host, server.port, own.host, own.port
    );
    if keeps_statements {
        text.push_str("max_prepared_statements = 200\n");
    }
    text
}

fn run(account: Account, program: &Path, directory: &Path, address: &Address) -> Result<Process> {
    let mut command = account.command(program, directory);
    let mut process = Process::start(command.arg(directory.join(SETTINGS)), &directory.join("log"))?;
    // It writes its number once it listens. Whoever else may listen there does not write into this directory.
    match process.wait_until(|| directory.join("bouncer.pid").exists() && address.connect().is_ok()) {
        Ok(()) => Ok(process),
        Err(error) => {
            process.end(Signal::QUIT)?;
            Err(error)
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io(format_args!("write {}", path.display())))
}

/// What `pgbouncer --version` says, in its first line: `PgBouncer 1.18.0`.
fn version(program: &Path) -> Result<(u32, u32)> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(Error::io(format_args!("start {}", program.display())))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text)
        .ok_or_else(|| Error::new(format!("failed to read the version of PgBouncer in `{text}`")))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_and_not_a_fraction() {
        assert_eq!(parse_version("PgBouncer 1.18.0\nlibevent 2.1.12-stable\n"), Some((1, 18)));
        assert!(parse_version("PgBouncer 1.9.0").unwrap() < KEEPS_STATEMENTS);
        assert_eq!(parse_version("PgBouncer"), None);
    }
}
