//! Kinds of jobs whose phases are programs, as they are configured.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use stepwell::{
    Retry,
    process::{CommandKind, CommandPhase, Limits},
};

use super::amount::{Size, Span};

/// Tries of a phase that says nothing else.
const ATTEMPTS: u32 = 5;

/// Kinds by name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Kinds(BTreeMap<String, Kind>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    queue: Option<String>,
    phases: Vec<Phase>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    name: String,
    run: Vec<String>,
    #[serde(default)]
    inputs: Vec<String>,
    queue: Option<String>,
    renamed_from: Option<String>,
    timeout: Option<Span>,
    grace: Option<Span>,
    retry: Option<Tries>,
    dir: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    pass_env: Vec<String>,
    limits: Option<Allowed>,
}

/// How often a phase is tried.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tries {
    attempts: Option<u32>,
    /// The longest the first pause may be; it doubles with each further one.
    first: Option<Span>,
    longest: Option<Span>,
    /// Exactly these pauses, in place of the other three.
    delays: Option<Vec<Span>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    memory: Option<Size>,
    cpu: Option<Span>,
    open_files: Option<u64>,
}

impl Kinds {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
    /// As they are worked. What they begin in, unless they say otherwise, is this directory.
    pub(super) fn made(&self, home: &Path) -> Vec<CommandKind> {
        self.0.iter().map(|(name, kind)| kind.made(name, home)).collect()
    }
    /// What is wrong beside what the plan's own check finds.
    pub(super) fn problem(&self) -> Option<String> {
        self.0.iter().find_map(|(name, kind)| {
            kind.phases.iter().find_map(|phase| {
                let problem = phase.retry.as_ref().and_then(Tries::problem)?;
                Some(format!("phase `{}` of `{name}`: {problem}", phase.name))
            })
        })
    }
}

impl Kind {
    fn made(&self, name: &str, home: &Path) -> CommandKind {
        let kind = self.queue.iter().fold(CommandKind::new(name), |kind, queue| kind.queue(&**queue));
        self.phases.iter().fold(kind, |kind, phase| kind.phase(phase.made(home)))
    }
}

impl Phase {
    fn made(&self, home: &Path) -> CommandPhase {
        let mut made = CommandPhase::new(&*self.name, self.run.iter().cloned())
            .dir(self.dir.as_ref().map_or_else(|| home.to_owned(), |dir| home.join(dir)));
        made = self.inputs.iter().fold(made, |made, input| made.input(&**input));
        made = self.env.iter().fold(made, |made, (name, value)| made.env(name, value));
        made = self.pass_env.iter().fold(made, |made, name| made.pass_env(name));
        if let Some(queue) = &self.queue {
            made = made.run_in(&**queue);
        }
        if let Some(name) = &self.renamed_from {
            made = made.renamed_from(&**name);
        }
        if let Some(Span(limit)) = self.timeout {
            made = made.timeout(limit);
        }
        if let Some(Span(grace)) = self.grace {
            made = made.grace(grace);
        }
        if let Some(tries) = &self.retry {
            made = made.retry(tries.made());
        }
        if let Some(Allowed { memory, cpu, open_files }) = &self.limits {
            let mut limits = Limits::default();
            limits.memory_bytes = memory.map(|Size(bytes)| bytes);
            limits.cpu_seconds = cpu.map(|Span(span)| span.as_secs().max(1));
            limits.open_files = *open_files;
            made = made.limits(limits);
        }
        made
    }
}

impl Tries {
    fn made(&self) -> Retry {
        if let Some(delays) = &self.delays {
            return Retry::delays(delays.iter().map(|Span(delay)| *delay));
        }
        let mut retry = Retry::exponential(self.attempts.unwrap_or(ATTEMPTS));
        if let Some(Span(first)) = self.first {
            retry = retry.starting_at(first);
        }
        if let Some(Span(longest)) = self.longest {
            retry = retry.capped_at(longest);
        }
        retry
    }
    fn problem(&self) -> Option<&'static str> {
        if self.attempts == Some(0) {
            return Some("retry.attempts is 0; 1 is one try, and no more");
        }
        let others = self.attempts.is_some() || self.first.is_some() || self.longest.is_some();
        (self.delays.is_some() && others).then_some(
            "retry.delays says how often and when; leave out attempts, first and longest, or delays",
        )
    }
}
