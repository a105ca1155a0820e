//! What a worker says, in words or as JSON.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Options, options::Lanes};
use crate::output::{Output, clean};

/// What is due within this time is waited for before nothing is left to do.
const SOON: Duration = Duration::from_mins(1);

/// What a worker says.
#[derive(Clone, Copy)]
pub(super) struct Told(Output);

impl Told {
    pub(super) fn on(out: Output) -> Self {
        Self(out)
    }
    /// Says what it works, and for whom.
    pub(super) fn working(self, options: &Options, lanes: &Lanes, place: &str) {
        let kinds: Vec<&str> = options.config.kinds().collect();
        let queues: Vec<&str> = lanes.keys().map(|queue| &**queue).collect();
        let words = format!(
            "working {} of {} in {}, for {place}",
            kinds.join(", "),
            options.config.path().display(),
            queues.join(", ")
        );
        let object = json!({
            "type": "worker:working", "kinds": kinds, "queues": queues, "config": options.config.path(),
            "for": place, "name": options.name(),
        });
        self.say(&words, &object);
    }
    /// Says that it ends.
    pub(super) fn ending(self) {
        let words = "ending: phases that run may end; another signal shortens it";
        self.say(words, &json!({ "type": "worker:ending" }));
    }
    /// Says that nothing is left to do.
    pub(super) fn idle(self, next_due: Option<Duration>) {
        let words = match next_due {
            Some(due) => format!("nothing is left to do; the next job is due in {} s", due.as_secs()),
            None => "nothing is left to do".to_owned(),
        };
        let next_due_ms = next_due.map(|due| u64::try_from(due.as_millis()).unwrap_or(u64::MAX));
        self.say(&words, &json!({ "type": "worker:idle", "nextDueMs": next_due_ms }));
    }
    fn say(self, words: &str, object: &Value) {
        let line = if self.0.is_json() { object.to_string() } else { clean(words) };
        // Whoever has stopped reading does not stop the work.
        writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()).ok();
    }
}

/// Whether nothing is left to do for now: what comes is not due soon.
pub(super) fn is_far(next_due: Option<Duration>) -> bool {
    next_due.is_none_or(|due| due > SOON)
}
