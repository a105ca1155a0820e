//! Events, in batches: the database keeps the position of a batch, and the places of events in it.

use stepwell_core::store::copy::{Record, Value};

use crate::batch::DAY_MICROS;

/// A batch of events: all of one day, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The position of its last event. It serves as the number of the batch, too.
    pub(super) last_pos: i64,
    /// The partition of its events.
    pub(super) day: i32,
    /// How many events.
    pub(super) n: i32,
}

/// The batches that hold these rows of the log, which come in their order.
pub(super) fn batches(records: &[Record]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for record in records {
        // What is something else is refused when the record itself is written.
        let number = |nth: usize| match record.0.get(nth) {
            Some(Value::Integer(n)) => *n,
            _ => 0,
        };
        let (last_pos, at) = (number(0), number(8));
        let (n, day) = (small(number(1)), small(at.div_euclid(DAY_MICROS)));
        match batches.last_mut() {
            Some(open) if open.day == day && open.last_pos + i64::from(n) == last_pos => {
                (open.last_pos, open.n) = (last_pos, open.n + n);
            }
            _ => batches.push(Batch { last_pos, day, n }),
        }
    }
    batches
}

fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(last_pos: i64, n: i64, at: i64) -> Record {
        let mut values = vec![Value::None; 12];
        (values[0], values[1], values[8]) = (Value::Integer(last_pos), Value::Integer(n), Value::Integer(at));
        Record(values)
    }

    #[test]
    fn a_batch_is_of_one_day_and_has_no_gap() {
        let rows = [
            row(2, 2, 5),
            row(3, 1, 6),
            row(6, 2, 7),
            row(7, 1, DAY_MICROS),
            row(9, 2, DAY_MICROS + 1),
            row(10, 1, DAY_MICROS - 1),
        ];
        let batch = |last_pos, day, n| Batch { last_pos, day, n };
        assert_eq!(batches(&rows), [batch(3, 0, 3), batch(6, 0, 2), batch(9, 1, 3), batch(10, 0, 1)]);
        assert_eq!(batches(&[]), []);
    }
}
