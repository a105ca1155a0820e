//! What is known, and what somebody looks at.

use std::collections::VecDeque;

use serde_json::Value;

use crate::output::field;

/// Events that are remembered.
const EVENTS_MAX: usize = 200;

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Jobs,
    Failed,
    Queues,
    Events,
}

impl Pane {
    pub(super) const ALL: [Self; 4] = [Self::Jobs, Self::Failed, Self::Queues, Self::Events];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jobs => "Jobs",
            Self::Failed => "Failed",
            Self::Queues => "Queues",
            Self::Events => "Events",
        }
    }
    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0)
    }
    /// The one so many places further on, in a circle.
    pub(super) fn next(self, by: usize) -> Self {
        Self::ALL[(self.place() + by) % Self::ALL.len()]
    }
}

/// What is known of the queue at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) stats: Value,
    pub(super) queues: Vec<Value>,
    pub(super) jobs: Vec<Value>,
    pub(super) failed: Vec<Value>,
}

/// Something that changes the queue, and is done once it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Retry(String),
    Cancel(String),
    Pause(String),
    Resume(String),
}

impl Act {
    /// What it does, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Retry(id) => format!("retry the job {}", crate::output::short(id)),
            Self::Cancel(id) => format!("cancel the job {}", crate::output::short(id)),
            Self::Pause(queue) => format!("pause the queue {queue}"),
            Self::Resume(queue) => format!("resume the queue {queue}"),
        }
    }
}

/// All there is to show.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    pub(super) known: Known,
    pub(super) events: VecDeque<Value>,
    pub(super) pane: Pane,
    pub(super) row: usize,
    /// Only rows that hold this are shown.
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) typing: bool,
    /// Whether what is shown stays as it is.
    pub(super) frozen: bool,
    pub(super) help: bool,
    /// The job that is looked at.
    pub(super) detail: Option<Value>,
    /// What waits to be confirmed.
    pub(super) asked: Option<Act>,
    /// What was said last: how an act went, or why nothing is known.
    pub(super) said: String,
}

impl Board {
    pub(super) fn learn(&mut self, known: Known) {
        if !self.frozen {
            self.known = known;
            self.row = self.row.min(self.rows().len().saturating_sub(1));
        }
    }
    pub(super) fn hear(&mut self, event: Value) {
        if !self.frozen {
            self.events.push_front(event);
            self.events.truncate(EVENTS_MAX);
        }
    }
    /// What the pane lists, as far as the filter lets through.
    pub(super) fn rows(&self) -> Vec<&Value> {
        let all: Vec<&Value> = match self.pane {
            Pane::Jobs => self.known.jobs.iter().collect(),
            Pane::Failed => self.known.failed.iter().collect(),
            Pane::Queues => self.known.queues.iter().collect(),
            Pane::Events => self.events.iter().collect(),
        };
        let names = ["id", "jobId", "name", "kind", "queue", "state", "type"];
        let holds = |row: &&Value| names.iter().any(|name| field(row, name).contains(&self.filter));
        all.into_iter().filter(holds).collect()
    }
    pub(super) fn selected(&self) -> Option<&Value> {
        self.rows().get(self.row).copied()
    }
}
