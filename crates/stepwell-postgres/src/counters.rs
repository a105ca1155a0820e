//! How many jobs there are by queue, kind and state: one delta per commit, whatever the number of transitions.

use foldhash::HashMap;
use stepwell_core::JobState;

use crate::{connection::Call, sql::sql};

/// Into how many parts the numbers are divided. Connections of one part wait for each other's commits.
pub(crate) const PARTS: i32 = 64;

/// A queue, a kind and a state.
type Place = (i32, i32, u8);

/// What a transaction adds to the counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(HashMap<Place, i64>);

impl Counters {
    pub(crate) fn add(&mut self, queue: i32, kind: i32, state: JobState, n: i64) {
        *self.0.entry((queue, kind, state as u8)).or_default() += n;
    }
    /// By how many the jobs of a queue that sessions own have become more.
    pub(crate) fn running(&self, queue: i32) -> i64 {
        const OWNED: [u8; 2] = [JobState::Running as u8, JobState::Cancelling as u8];
        let of_queue = self.0.iter().filter(|((of, _, state), _)| *of == queue && OWNED.contains(state));
        of_queue.map(|(_, n)| n).sum()
    }
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
    /// How the deltas are written, if there are any; they are forgotten.
    pub(crate) fn take(&mut self, part: i32) -> Option<Call<'static>> {
        let deltas: Vec<_> = self.0.drain().filter(|(_, n)| *n != 0).collect();
        if deltas.is_empty() {
            return None;
        }
        let column = |of: fn(&(Place, i64)) -> i32| deltas.iter().map(of).collect::<Vec<_>>();
        let call = Call::new(sql!("meta", "count")).with(part);
        let call = call.with(column(|delta| delta.0.0)).with(column(|delta| delta.0.1));
        let states: Vec<i16> = deltas.iter().map(|delta| delta.0.2.into()).collect();
        Some(call.with(states).with(deltas.iter().map(|delta| delta.1).collect::<Vec<_>>()))
    }
}
