//! What was acknowledged to writers, wherever they are.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stepwell_core::{EventType, JobId};

use crate::read::Seen;

/// How often something was acknowledged that the log says of a job.
#[derive(Default)]
pub(crate) struct Told {
    known: Mutex<BTreeMap<(JobId, EventType), u64>>,
    is_aloud: bool,
}

const MARK: &str = "acknowledged";

impl Told {
    /// For the second process, which is heard only until it is killed.
    pub(crate) fn aloud() -> Self {
        Self { is_aloud: true, ..Self::default() }
    }
    fn known(&self) -> MutexGuard<'_, BTreeMap<(JobId, EventType), u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn add(&self, job: JobId, ty: EventType) {
        if self.is_aloud {
            writeln!(std::io::stdout().lock(), "{MARK} {job} {ty}").expect("the parent listens");
        } else {
            *self.known().entry((job, ty)).or_default() += 1;
        }
    }
    /// Takes note of a line of the second process. Answers whether it was one of these.
    pub(crate) fn hear(&self, line: &str) -> bool {
        let Some((_, said)) = line.rsplit_once(MARK) else { return false };
        let words: Vec<&str> = said.split_whitespace().collect();
        let [job, ty] = words[..] else { panic!("half a line was heard: {line}") };
        self.add(job.parse().unwrap(), ty.parse().unwrap());
        true
    }
    /// Nothing of it is missing in the log. Answers how much it was.
    pub(crate) fn check(&self, seen: &Seen) -> u64 {
        let counts = seen.counts();
        let known = self.known();
        for ((job, ty), n) in &*known {
            let found = counts.get(&(*job, *ty)).copied().unwrap_or_default();
            assert!(
                found >= *n,
                "{ty} of {job} was acknowledged {n} times, and the log has it {found} times"
            );
        }
        known.values().sum()
    }
}
