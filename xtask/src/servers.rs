//! The servers that tests need: a throw-away PostgreSQL, found or installed, started before the tests and gone after.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, Stdio},
};

use stepwell_postgres_rig::{Cluster, POSTGRES, Settings, missing};

use crate::{cargo, error::Error};

/// Tells the tests where PostgreSQL is. Whoever has set it before is taken at their word, and nothing is started.
const POSTGRES_URL: &str = "STEPWELL_TEST_POSTGRES";

/// What is running for the tests. Dropping it ends it.
pub(crate) struct Servers {
    postgres: Option<Cluster>,
}

impl Servers {
    /// Starts what is not there yet.
    pub(crate) fn start() -> Result<Self, Error> {
        if given(POSTGRES_URL).is_some() {
            return Ok(Self { postgres: None });
        }
        install()?;
        let cluster = Cluster::start(&Settings::fast()).map_err(|error| Error::failed(error.to_string()))?;
        Ok(Self { postgres: Some(cluster) })
    }

    /// Tells a command's tests where the servers are.
    pub(crate) fn tell(&self, command: &mut Command) {
        if let Some(cluster) = &self.postgres {
            command.env(POSTGRES_URL, cluster.url("postgres"));
        }
    }
}

/// A variable that is set to something.
fn given(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Installs what is missing, where we may; elsewhere the start says what to install.
fn install() -> Result<(), Error> {
    let missing: Vec<&str> = missing(&[POSTGRES]).iter().map(|package| package.name).collect();
    if missing.is_empty() || !is_ours() {
        return Ok(());
    }
    // The lists are often left out of an image, or older than the packages they name.
    cargo::run(&mut apt(&["update", "--quiet"]))?;
    cargo::run(apt(&["install", "--yes", "--quiet", "--no-install-recommends"]).args(missing))
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether we may install packages, and know how.
fn is_ours() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0") && Path::new("/usr/bin/apt-get").exists()
}
