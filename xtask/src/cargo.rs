//! Running cargo, and other programs, in the root of the workspace.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::Error;

/// Compiled with every feature, for the whole workspace, by clippy, the documentation and the tests alike: cargo
/// can share the artefacts of dependencies (the C code of SQLite above all) only between builds whose features
/// are the same.
pub(crate) const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// The root of the workspace. It is asked for at run time, so that the program contains no path of the machine
/// on which it was built.
pub(crate) fn root() -> Result<PathBuf, Error> {
    let mut path = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .ok_or_else(|| Error::failed("failed to find the workspace: run it as `cargo xtask`"))?;
    path.pop();
    Ok(path)
}

/// The cargo that runs this program, so that `cargo +toolchain xtask` keeps to its toolchain.
pub(crate) fn cargo(words: &[&str]) -> Result<Command, Error> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()?).args(words);
    Ok(command)
}

/// Whether a cargo subcommand is installed.
pub(crate) fn has_subcommand(name: &str) -> Result<bool, Error> {
    let status = cargo(&[name, "--version"])?
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(status.is_ok_and(|status| status.success()))
}

/// Shows the command, runs it with this program's own input and output, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let line = describe(command);
    eprintln!("$ {line}");
    let status =
        command.status().map_err(|error| Error::failed(format!("failed to start `{line}`: {error}")))?;
    if status.success() { Ok(()) } else { Err(Error::failed(format!("`{line}` failed ({status})"))) }
}

/// What the command prints on its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let line = describe(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::failed(format!("failed to start `{line}`: {error}")))?;
    if !output.status.success() {
        return Err(Error::failed(format!("`{line}` failed ({})", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it, with the environment that it needs in front.
pub(crate) fn describe(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(key, value)| Some(format!("{}={}", key.to_string_lossy(), value?.to_string_lossy())))
        .collect();
    // Whichever cargo it is, one types `cargo`.
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    words.push(program.to_string_lossy().into_owned());
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
