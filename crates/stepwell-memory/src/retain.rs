//! Which ended jobs retention does not keep.

use stepwell_core::{JobState, Timestamp, store::Row};

use crate::state::State;

impl State {
    /// Those that ended at or before `cutoff`, and the first `excess` in any case.
    pub(crate) fn ended(&self, state: JobState, cutoff: Timestamp, excess: u64, limit: usize) -> Vec<Row> {
        let earliest = Timestamp::from_micros(i64::MIN);
        let of_state = self.ended.range((state, earliest, i64::MIN)..).map(|(key, ())| *key);
        let going = (0_u64..)
            .zip(of_state)
            .take_while(|(nth, (of, at, _))| *of == state && (*nth < excess || *at <= cutoff));
        self.rows(going.take(limit).map(|(_, (_, _, key))| key))
    }
}
