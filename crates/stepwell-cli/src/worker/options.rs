//! What can be set of `stepwell worker`.

use std::{collections::BTreeMap, time::Duration};

use stepwell::{Name, PlanSpec, process::Programs};

use crate::{
    config::Config,
    failure::{Failure, code},
    output::Output,
};

/// The queue of jobs that name none.
const DEFAULT_QUEUE: &str = "default";
/// Jobs of one queue at once, unless set.
const AT_ONCE: u16 = 16;

/// What can be set; the words for it are in `commands::worker`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) queues: Vec<String>,
    pub(crate) concurrency: Option<u16>,
    pub(crate) once: bool,
    pub(crate) name: Option<String>,
    pub(crate) grace: Duration,
    pub(crate) out: Output,
}

/// Queues, and how many jobs of each run at once.
pub(super) type Lanes = BTreeMap<Name, usize>;

impl Options {
    /// What the worker is called.
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{host}/{}", std::process::id())
        })
    }
    /// Every queue that the file, or nobody, names.
    pub(super) fn known_queues(&self, programs: &Programs) -> Vec<Name> {
        let of_phases = programs.plans().flat_map(|plan: &PlanSpec| plan.phases.iter());
        let named = of_phases.filter_map(|phase| phase.queue.clone());
        let configured = self.config.queues().map(|(queue, _)| Name::from(queue));
        let mut queues: Vec<Name> = named.chain(configured).chain([DEFAULT_QUEUE.into()]).collect();
        queues.sort();
        queues.dedup();
        queues
    }
    /// The queues that are worked.
    ///
    /// # Errors
    /// If a queue that is named is a kind.
    pub(super) fn lanes(&self, programs: &Programs) -> Result<Lanes, Failure> {
        let known = self.known_queues(programs);
        let is_kind = |queue: &&String| self.config.kinds().any(|kind| kind == queue.as_str());
        let is_unknown = |queue: &&String| known.iter().all(|known| **known != ***queue);
        if let Some(kind) = self.queues.iter().filter(is_kind).find(is_unknown) {
            let why = format!(
                "that is a kind, and no queue that {} names; jobs wait in a queue, which is `{DEFAULT_QUEUE}` unless \
                 they were enqueued to another. If there is one of that name, say so in the file: [queues.{kind}]",
                self.config.path().display()
            );
            return Err(Failure::with_code(code::USAGE, format!("work the queue {kind:?}"), why));
        }
        let wanted: Vec<Name> = match self.queues.is_empty() {
            true => known,
            false => self.queues.iter().map(|queue| Name::from(&**queue)).collect(),
        };
        let at_once = |queue: &Name| {
            let configured = self.config.queues().find(|(name, _)| *name == &**queue);
            self.concurrency.or(configured.and_then(|(_, at_once)| at_once)).unwrap_or(AT_ONCE)
        };
        let lanes = wanted.into_iter().map(|queue| (queue.clone(), usize::from(at_once(&queue))));
        Ok(lanes.filter(|(_, at_once)| *at_once > 0).collect())
    }
}
