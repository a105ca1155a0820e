//! Where PostgreSQL and PgBouncer are installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::{Error, Result};

/// Names the directory of PostgreSQL's programs, to test on another version than the newest that is installed.
const OVERRIDE: &str = "STEPWELL_POSTGRES_BIN";

/// Names PgBouncer's program, to test on another version than the one that is installed.
const BOUNCER_OVERRIDE: &str = "STEPWELL_PGBOUNCER";

/// Where Debian and its relatives have a directory for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What a package is called where the package manager is apt, and how to know that it is there.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// The name that apt knows.
    pub name: &'static str,
    /// Whether what we need of it is there.
    is_there: fn() -> bool,
}

/// The server.
pub const POSTGRES: Package = Package { name: "postgresql", is_there: || postgres().is_ok() };

/// The pooler.
pub const PGBOUNCER: Package = Package { name: "pgbouncer", is_there: || bouncer().is_ok() };

/// Those of the packages that are not installed.
#[must_use]
pub fn missing(packages: &[Package]) -> Vec<Package> {
    packages.iter().copied().filter(|package| !(package.is_there)()).collect()
}

/// The directory with `initdb`, `postgres` and the rest.
pub(crate) fn postgres() -> Result<PathBuf> {
    if let Some(directory) = env::var_os(OVERRIDE).map(PathBuf::from) {
        let message = format!("failed to find initdb and postgres in {OVERRIDE}={}", directory.display());
        return if is_server(&directory) { Ok(directory) } else { Err(Error::new(message)) };
    }
    let configured = || output(Command::new("pg_config").arg("--bindir")).map(PathBuf::from);
    versions(Path::new(VERSIONS))
        .into_iter()
        .chain(configured())
        .chain(path())
        .find(|directory| is_server(directory))
        .ok_or_else(|| {
            Error::new(format!(
                "failed to find PostgreSQL: install it (Debian, Ubuntu: `apt-get install postgresql`; macOS: `brew \
                 install postgresql`), or name the directory of its programs in {OVERRIDE}"
            ))
        })
}

/// The program `pgbouncer`.
pub(crate) fn bouncer() -> Result<PathBuf> {
    // Debian puts it where the shells of ordinary users do not look.
    let places = path().into_iter().chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let candidates: Vec<PathBuf> = match env::var_os(BOUNCER_OVERRIDE) {
        Some(program) => vec![program.into()],
        None => places.map(|directory| directory.join("pgbouncer")).collect(),
    };
    candidates.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        Error::new(format!(
            "failed to find PgBouncer: install it (Debian, Ubuntu: `apt-get install pgbouncer`; macOS: `brew install \
             pgbouncer`), or name its program in {BOUNCER_OVERRIDE}"
        ))
    })
}

/// A library alone also brings `pg_config`, but no server.
fn is_server(directory: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|name| directory.join(name).is_file())
}

/// The directories of all versions, the newest first.
fn versions(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The directories in which a shell looks for programs.
fn path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// What a program prints, if there is one and it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_and_by_number() {
        let home = env::temp_dir().join(format!("stepwell-versions-{}", std::process::id()));
        for name in ["9", "15", "14", "common"] {
            fs::create_dir_all(home.join(name)).unwrap();
        }
        let found = versions(&home);
        fs::remove_dir_all(&home).unwrap();
        assert_eq!(found, ["15", "14", "9"].map(|version| home.join(version).join("bin")));
    }

    #[test]
    fn a_directory_without_a_server_is_none() {
        assert!(!is_server(Path::new("/")));
    }
}
