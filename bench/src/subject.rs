//! Who is measured: on each store the bare store, the best other queue that was found, and Stepwell.
use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};
use stepwell_bench_subject::Result;

use crate::store::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    Bare,
    Peer,
    Stepwell,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Peer, Self::Stepwell];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Peer => "peer",
            Self::Stepwell => "stepwell",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|subject| subject.name() == name);
        found.ok_or_else(|| format!("there is no subject `{name}`").into())
    }

    /// Compiles the subject's program and returns where it is.
    pub(crate) fn build(self, kind: Kind) -> Result<PathBuf> {
        let directory = kind.directory(self);
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).join("Cargo.toml");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--release", "--message-format=json-render-diagnostics", "--manifest-path"])
            .arg(&manifest)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("could not build the subject {self}").into());
        }
        // Cargo alone knows where its target directory is; the program comes last.
        let messages = String::from_utf8(output.stdout)?;
        let mut artifacts =
            messages.lines().rev().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
        let program = artifacts.find_map(|artifact| artifact.executable);
        program.ok_or_else(|| format!("cargo named no program for the subject {self}").into())
    }
}

#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
