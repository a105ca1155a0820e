//! A kind of job whose phases are programs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use stepwell_core::{
    Error, Name, Result, Retry,
    limits::DELAY_MAX,
    plan::{PhaseSpec, PlanSpec},
};

use super::{launch, limits::Limits};

/// How long a child has between SIGTERM and SIGKILL, unless set.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// What a child sees of the environment of its parent, unless it is given more. A name that ends in `*` stands for all
/// that begin so.
const ENVIRONMENT: [&str; 9] = ["HOME", "LANG", "LC_*", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"];

/// A kind of job whose phases are programs.
///
/// ```
/// use stepwell::process::{CommandKind, CommandPhase};
/// let thumbnail = CommandKind::new("thumbnail")
///     .phase(CommandPhase::new("probe", ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-"]))
///     .phase(CommandPhase::new("render", ["./render.sh"]).input("probe"));
/// # drop(thumbnail);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is worked once it is given to `Builder::command_kind`"]
pub struct CommandKind {
    pub(super) name: Name,
    queue: Option<Name>,
    pub(super) phases: Vec<CommandPhase>,
}

impl CommandKind {
    /// A kind without phases.
    pub fn new(name: impl Into<Name>) -> Self {
        Self { name: name.into(), queue: None, phases: Vec::new() }
    }
    /// The queue that phases run in which name none of their own. Without one, that is the queue of the job.
    pub fn queue(mut self, queue: impl Into<Name>) -> Self {
        self.queue = Some(queue.into());
        self
    }
    /// Adds a phase after the others.
    pub fn phase(mut self, phase: CommandPhase) -> Self {
        self.phases.push(phase);
        self
    }

    pub(super) fn spec(&self) -> Result<PlanSpec> {
        for phase in &self.phases {
            phase.check(&self.name)?;
        }
        let spec_of = |phase: &CommandPhase| PhaseSpec {
            queue: phase.spec.queue.clone().or_else(|| self.queue.clone()),
            ..phase.spec.clone()
        };
        let spec = PlanSpec { kind: self.name.clone(), phases: self.phases.iter().map(spec_of).collect() };
        spec.check()?;
        Ok(spec)
    }
}

/// A phase that is a program.
#[derive(Clone, Debug)]
#[must_use = "it is part of a plan once it is given to `CommandKind::phase`"]
pub struct CommandPhase {
    pub(super) spec: PhaseSpec,
    pub(super) argv: Vec<String>,
    pub(super) dir: Option<PathBuf>,
    pub(super) passed: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) limits: Limits,
    pub(super) grace: Duration,
    /// Whether it is a phase of this very program: then it says its outcome, is told what became of its checkpoints,
    /// and what it prints is printed here.
    pub(super) is_own: bool,
}

impl CommandPhase {
    /// An isolated phase of this program.
    pub(super) fn own(spec: PhaseSpec, limits: Limits, grace: Duration) -> Self {
        let passed = vec!["*".to_owned()];
        Self { spec, limits, grace, passed, is_own: true, ..Self::new("", [launch::ISOLATED]) }
    }
    /// A phase that runs a program with these arguments, the program itself first. No shell looks at them.
    pub fn new<A: Into<String>>(name: impl Into<Name>, argv: impl IntoIterator<Item = A>) -> Self {
        Self {
            spec: PhaseSpec::new(name),
            argv: argv.into_iter().map(Into::into).collect(),
            dir: None,
            passed: ENVIRONMENT.map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            limits: Limits::default(),
            grace: GRACE,
            is_own: false,
        }
    }
    /// Gives it the output of an earlier phase.
    pub fn input(mut self, phase: impl Into<Name>) -> Self {
        self.spec.inputs.push(phase.into());
        self
    }
    /// How often it is tried: see [`Phase::retry`](crate::Phase::retry).
    pub fn retry(mut self, retry: Retry) -> Self {
        self.spec.retry = retry;
        self
    }
    /// The longest one try may run. When it is over, the child is stopped, and the try counts as failed.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.spec.timeout_ms = Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        self
    }
    /// Runs it in another queue than the rest of the job.
    pub fn run_in(mut self, queue: impl Into<Name>) -> Self {
        self.spec.queue = Some(queue.into());
        self
    }
    /// Accepts results stored under an earlier name.
    pub fn renamed_from(mut self, name: impl Into<Name>) -> Self {
        self.spec.renamed_from = Some(name.into());
        self
    }
    /// The directory that the program begins in, and that a relative path to it is looked up from: the parent's unless
    /// set.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }
    /// Lets the child see a variable of its parent's environment, or, with `*` at the end, all that begin so. `HOME`,
    /// `LANG`, `LC_*`, `LOGNAME`, `PATH`, `SHELL`, `TMPDIR`, `TZ` and `USER` are always passed on.
    pub fn pass_env(mut self, name: impl Into<String>) -> Self {
        self.passed.push(name.into());
        self
    }
    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
    /// What it may use: as much as its parent, unless set.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
    /// How long it has between SIGTERM and SIGKILL: 10 s unless set. A shutdown, and a cancelled job, may cut it short.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The longest one try may run.
    pub(super) fn time_limit(&self) -> Option<Duration> {
        self.spec.timeout_ms.map(Duration::from_millis)
    }
    /// Whether the child may see this variable of its parent's environment.
    pub(super) fn passes(&self, name: &str) -> bool {
        self.passed.iter().any(|passed| match passed.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == passed,
        })
    }

    fn check(&self, kind: &Name) -> Result<()> {
        let field = format!("phase `{}` of `{kind}`", self.spec.name);
        let wrong = |problem: &str| Err(Error::invalid(field.clone(), problem));
        if self.argv.first().is_none_or(|program| program.is_empty()) {
            return wrong("names no program to run; give its path or name, and its arguments");
        }
        if self.argv.iter().any(|argument| argument.contains('\0')) {
            return wrong("has an argument with a zero byte, which no program can be given");
        }
        let taken =
            |name: &String| name.starts_with("STEPWELL_") || name.contains(['=', '\0']) || name.is_empty();
        if let Some(name) = self.env.keys().find(|name| taken(name)) {
            let problem =
                format!("sets the variable {name:?}; a name has no `=`, and none begins with STEPWELL_");
            return wrong(&problem);
        }
        if self.env.values().any(|value| value.contains('\0')) {
            return wrong("sets a variable to a value with a zero byte, which no program can be given");
        }
        if self.time_limit().is_some_and(|limit| limit.is_zero() || limit > DELAY_MAX) {
            return wrong("has a time limit of nothing, or of more than a hundred years");
        }
        if self.limits == (Limits { memory_bytes: Some(0), ..self.limits }) {
            return wrong("may use no memory at all; leave the limit out, or give it bytes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(phase: CommandPhase) -> String {
        CommandKind::new("k").phase(phase).spec().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_name() {
        for (phase, word) in [
            (CommandPhase::new("a", Vec::<String>::new()), "no program"),
            (CommandPhase::new("a", [""]), "no program"),
            (CommandPhase::new("a", ["x\0"]), "zero byte"),
            (CommandPhase::new("a", ["x"]).env("STEPWELL_JOB_ID", "1"), "STEPWELL_"),
            (CommandPhase::new("a", ["x"]).env("A=B", "1"), "STEPWELL_"),
            (CommandPhase::new("a", ["x"]).env("A", "\0"), "zero byte"),
            (CommandPhase::new("a", ["x"]).timeout(Duration::ZERO), "time limit"),
            (CommandPhase::new("a", ["x"]).input("b"), "not an earlier phase"),
        ] {
            let refusal = refusal(phase);
            assert!(refusal.contains(word) && refusal.contains('`'), "{refusal}");
        }
        assert!(CommandKind::new("k").spec().unwrap_err().to_string().contains("no phase"));
    }

    #[test]
    fn of_the_environment_a_short_list_is_passed_on_and_what_is_named() {
        let phase = CommandPhase::new("a", ["x"]).pass_env("AWS_*").pass_env("TOKEN");
        for seen in ["PATH", "LC_ALL", "AWS_REGION", "TOKEN"] {
            assert!(phase.passes(seen), "{seen}");
        }
        for unseen in ["SECRET", "TOKENS", "STEPWELL_TOKEN", "LD_PRELOAD", "LC"] {
            assert!(!phase.passes(unseen), "{unseen}");
        }
    }
}
