//! Installing what tests need, where we may and know how: as root, with apt.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{cargo, error::Error};

/// Installs these packages, where we may. Elsewhere nothing happens, and whoever needs them says what to install.
pub(crate) fn install(packages: &[&str]) -> Result<(), Error> {
    if packages.is_empty() || !is_ours() {
        return Ok(());
    }
    // The lists are often left out of an image, or older than the packages they name.
    cargo::run(&mut apt(&["update", "--quiet"]))?;
    cargo::run(apt(&["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages))
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Somebody else may be at it.
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether we may install packages, and know how.
fn is_ours() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0") && Path::new("/usr/bin/apt-get").exists()
}
