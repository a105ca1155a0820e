//! What happens in the child before the program begins.
//!
//! Limits and the signal at a parent's death belong to a process, and are set in the child. Between `fork` and `exec`
//! of a process with threads next to nothing is safe, so the parent starts itself anew, as a launcher: it sets what is
//! to be set, and then becomes the program.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit, umask},
    thread::set_no_new_privs,
};
use serde::{Deserialize, Serialize};
use stepwell_core::{Error, Result};

use super::{kind::CommandPhase, limits::Limits};

/// The first argument of a launcher.
const LAUNCHER: &str = "stepwell-launch-a-phase";
/// In place of a program: a phase of this one.
pub(super) const ISOLATED: &str = "stepwell-isolated-phase";
/// The exit code of a launcher that could not start the program, as shells have it.
const NOT_STARTED: i32 = 127;

static BEGUN: AtomicBool = AtomicBool::new(false);

/// Becomes the program of a phase, if this process was started for that; else does nothing.
///
/// A program that works [`CommandKind`](super::CommandKind)s calls this before anything else in `main`, because it is
/// started anew for each phase that runs.
pub fn begin() {
    BEGUN.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != LAUNCHER) {
        return;
    }
    let (orders, program) = (arguments.next(), arguments.next());
    let shown = program.as_deref().unwrap_or_default().display().to_string();
    if shown == ISOLATED {
        eprintln!("failed to start an isolated phase: isolated phases {NO_WORKERS}");
        std::process::exit(NOT_STARTED);
    }
    let failure = become_program(orders.as_deref(), program.as_deref(), arguments);
    eprintln!("failed to start `{shown}`: {failure}");
    std::process::exit(NOT_STARTED);
}

/// Refuses to go on in a process that has not called [`begin`].
pub(crate) fn check_begun() -> Result<()> {
    if BEGUN.load(Ordering::Relaxed) {
        return Ok(());
    }
    let problem =
        "are started by starting this program anew; call `stepwell::process::begin()` first in `main`";
    Err(Error::invalid("phases that are programs", problem))
}

/// What to do about a program that does not say which workers it has.
const NO_WORKERS: &str = "are run by starting this program anew; call `stepwell::process::begin_with(workers)` first \
                          in `main`";

/// Whether this process was started for an isolated phase.
pub(super) fn is_isolated() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == LAUNCHER)
        && arguments.nth(1).is_some_and(|it| it == ISOLATED)
}
/// Refuses to go on in a process of which no isolated phase can be started.
pub(crate) fn check_isolates(can_isolate: bool) -> Result<()> {
    match can_isolate {
        true => Ok(()),
        false => Err(Error::invalid("isolated phases", NO_WORKERS)),
    }
}
/// Sets what is to be set of this process, which was started for an isolated phase.
pub(super) fn prepare_this() -> io::Result<()> {
    let orders = std::env::args().nth(2).unwrap_or_default();
    prepare(&serde_json::from_str(&orders)?)
}

/// What a launcher is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    parent: i32,
    limits: Limits,
    /// Whether it stays this program, which may do what its parent may.
    is_own: bool,
}

/// A command that becomes the program.
pub(super) fn command(phase: &CommandPhase) -> io::Result<Command> {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    let CommandPhase { argv, limits, is_own, .. } = phase;
    let orders = serde_json::to_string(&Orders { parent, limits: *limits, is_own: *is_own })?;
    // The file that runs, also if another one has been put in its place meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg(LAUNCHER).arg(orders).args(argv);
    Ok(command)
}

fn become_program(
    orders: Option<&OsStr>,
    program: Option<&OsStr>,
    arguments: impl Iterator<Item = OsString>,
) -> io::Error {
    let (Some(orders), Some(program)) = (orders.and_then(OsStr::to_str), program) else {
        return io::Error::other("it was given nothing to start");
    };
    let prepared = serde_json::from_str(orders).map_err(io::Error::other).and_then(|orders| prepare(&orders));
    match prepared {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

fn prepare(orders: &Orders) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that.
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != orders.parent) {
        return Err(io::Error::other("whoever wanted it has gone"));
    }
    let Limits { memory_bytes, cpu_seconds, open_files } = orders.limits;
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::As, memory_bytes),
        (Resource::Cpu, cpu_seconds),
        (Resource::Nofile, open_files),
    ];
    for (resource, limit) in limits {
        if limit.is_some() {
            setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
        }
    }
    if !orders.is_own {
        umask(Mode::RWXG | Mode::RWXO);
        set_no_new_privs(true)?;
    }
    Ok(())
}
