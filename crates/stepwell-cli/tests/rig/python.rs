//! Python packages of a proof, in an environment of its own under the build directory.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// An environment with packages in it.
pub(crate) struct Python {
    place: PathBuf,
}

impl Python {
    /// Makes the environment, unless it is there with just these packages.
    pub(crate) fn with(name: &str, packages: &[&str]) -> Self {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
        let (made, wanted) = (place.join("packages"), packages.join("\n"));
        if std::fs::read_to_string(&made).ok().as_ref() != Some(&wanted) {
            std::fs::remove_dir_all(&place).ok();
            let mut make = Command::new("python3");
            run(
                make.args(["-m", "venv"]).arg(&place),
                "make a Python environment; install python3 and its venv",
            );
            let mut install = Command::new(place.join("bin/python"));
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
            run(&mut install, "install Python packages; they come from PyPI");
            std::fs::write(&made, wanted).unwrap();
        }
        Self { place }
    }
    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.place.join("bin").join(name))
    }
}

/// Runs a command that must succeed.
fn run(command: &mut Command, what: &str) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "failed to {what}: {status:?}");
}
