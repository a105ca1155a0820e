//! Which log it is, and how far it goes, as far as this node knows.
//!
//! After a failover the log may be shorter than it was, and grow again: places that were given are given anew. Whoever
//! comes to a server that has not written this log before finds it out by the server's timeline, and takes down how far
//! the log goes, before anything is written. If that is less than what he has seen, the log has another generation; and
//! so it is found by everybody who comes later, and has seen more. Who has seen nothing, because he has just been
//! started, takes a log as another one unless commits were waiting for the standby.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use stepwell_core::{Error, Result};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{connection::Conn, error, ledger::get, sql::sql};

/// How often a generation may be found to be over in a row.
const TRIES_MAX: u32 = 5;
const DOING: &str = "find out whether the log is the same";

/// What is known here.
pub(crate) struct Head {
    known: Mutex<Known>,
    /// What a new generation is made of.
    random: [u8; 16],
}

/// A generation, and how far its log goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    generation: Arc<str>,
    /// Which of the store's generations it is.
    n: i64,
    /// Of the server that wrote it; none if it cannot be known.
    timeline: Option<String>,
    /// The last `pos` that was seen by this node itself; none if it has just been started.
    seen: Option<u64>,
    /// The last one that it was told of.
    last: u64,
}

/// What the database says.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    generation: Uuid,
    n: i64,
    last: u64,
    /// Of the server.
    timeline: Option<String>,
    /// Of the one that has written last.
    written_on: Option<String>,
    /// How far the log went when that began.
    began_at: u64,
    is_awaited: bool,
    is_sealed: bool,
}

/// What that means for the log that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the same.
    Same,
    /// It is the same, on a server that has not written it yet.
    Moved,
    /// It is another one: places that were given are not there any more.
    Lost,
}

impl Standing {
    /// Reads the columns of a row, from this one on.
    pub(crate) fn read(row: &Row, first: usize) -> Result<Self> {
        Ok(Self {
            generation: get(row, first, DOING)?,
            n: get(row, first + 1, DOING)?,
            last: get::<i64>(row, first + 2, DOING)?.cast_unsigned(),
            timeline: get(row, first + 3, DOING)?,
            written_on: get(row, first + 4, DOING)?,
            began_at: get::<i64>(row, first + 5, DOING)?.cast_unsigned(),
            is_awaited: get(row, first + 6, DOING)?,
            is_sealed: get(row, first + 7, DOING)?,
        })
    }
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited
    }
    /// What it means to whoever knew this before it was asked for. Whatever was known then was committed, and is seen
    /// by whoever asks after that, unless it has been lost.
    pub(crate) fn verdict(&self, before: &Known) -> Verdict {
        // Of the same generation.
        let seen = before.seen.filter(|_| self.n == before.n);
        let is_less = |end: u64| seen.is_some_and(|seen| end < seen);
        let is_elsewhere = self.timeline.is_some() && self.timeline != self.written_on;
        if self.is_sealed {
            // Nothing is written, and whoever lets it be written to begins a generation.
            return Verdict::Same;
        }
        if is_less(self.last) || (before.seen.is_some() && self.n < before.n) {
            return Verdict::Lost;
        }
        if is_elsewhere {
            // Nobody else has been here before.
            let can_tell = seen.is_some() || self.is_awaited || self.written_on.is_none();
            return if can_tell { Verdict::Moved } else { Verdict::Lost };
        }
        let has_moved = before.timeline.is_some() && before.timeline != self.written_on;
        match has_moved && is_less(self.began_at) {
            true => Verdict::Lost,
            false => Verdict::Same,
        }
    }
    pub(crate) fn n(&self) -> i64 {
        self.n
    }
    pub(crate) fn last(&self) -> u64 {
        self.last
    }
}

impl Head {
    pub(crate) fn new(random: [u8; 16]) -> Self {
        Self { known: Mutex::default(), random }
    }
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// What is known now: to be asked for before the database is.
    pub(crate) fn known(&self) -> Known {
        self.lock().clone()
    }
    pub(crate) fn generation(&self) -> Arc<str> {
        self.lock().generation.clone()
    }
    /// The last `pos` that is known to be committed, and of which generation.
    pub(crate) fn last(&self) -> (i64, u64) {
        let known = self.lock();
        (known.n, known.last)
    }

    /// Takes note of a place that was committed in a generation. That may be the one before, if it was on the way.
    pub(crate) fn grow(&self, n: i64, last: u64) {
        let mut known = self.lock();
        if n == known.n {
            (known.seen, known.last) = (known.seen.max(Some(last)), known.last.max(last));
        }
    }
    /// Takes note of a place that another node tells of. It proves nothing: anybody may say anything there.
    pub(crate) fn hear(&self, n: i64, last: u64) {
        let mut known = self.lock();
        if n == known.n {
            known.last = known.last.max(last);
        }
    }

    /// Takes note of what the database says. Answers whether the log has grown.
    pub(crate) fn take(&self, found: &Standing) -> bool {
        let generation = found.generation.to_string();
        let mut known = self.lock();
        if *known.generation != *generation {
            // Of two who have asked, the one who has asked first may come second.
            if found.n >= known.n {
                let (n, timeline, last) = (found.n, found.written_on.clone(), found.last);
                *known = Known { generation: generation.into(), n, timeline, seen: Some(last), last };
            }
            return true;
        }
        let grown = found.last > known.last;
        (known.seen, known.last) = (known.seen.max(Some(found.last)), known.last.max(found.last));
        known.timeline.clone_from(&found.written_on);
        grown
    }
    /// A generation to come after this one.
    pub(crate) fn next(&self, before: &Standing) -> Uuid {
        let digest = Sha256::new()
            .chain_update(self.random)
            .chain_update(before.generation.as_bytes())
            .chain_update(before.n.to_be_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Uuid::from_bytes(bytes)
    }
}

/// Finds out which log the database has, on a connection on which nothing was written yet, and begins a new generation
/// if it is not the one that was known.
pub(crate) fn recognize(conn: &mut Conn) -> Result<Standing> {
    let failed = error::of(DOING);
    for _ in 0..TRIES_MAX {
        let before = conn.target().head.known();
        let row = conn.query_opt(sql!("meta", "standing"), &[]).map_err(&failed)?;
        let row = row.ok_or_else(|| Error::fatal("the log has no head; restore a backup"))?;
        let found = Standing::read(&row, 0)?;
        let end = found.last.cast_signed();
        // If another node is faster, what it does is as good.
        match found.verdict(&before) {
            Verdict::Same => {
                conn.target().head.take(&found);
                return Ok(found);
            }
            Verdict::Moved => {
                conn.execute(sql!("meta", "begin_timeline"), &[&found.n, &end]).map_err(&failed)?;
            }
            Verdict::Lost => {
                let next = conn.target().head.next(&found);
                let begin = sql!("meta", "begin_generation");
                if conn.execute(begin, &[&next, &found.n, &end]).map_err(&failed)? > 0 {
                    warn(&found);
                }
            }
        }
    }
    Err(Error::storage(DOING, "it changes each time; is there more than one server that can be written to?"))
}

/// Says what has happened, once for all nodes.
pub(crate) fn warn(found: &Standing) {
    tracing::warn!(
        last = found.last,
        "the end of the event log may have been lost, in a failover or a crash: it goes on as a new generation, and \
         whoever follows it is told to read it again"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(n: i64, generation: u8, last: u64) -> Standing {
        Standing {
            generation: Uuid::from_bytes([generation; 16]),
            n,
            last,
            timeline: Some("1".into()),
            written_on: Some("1".into()),
            began_at: 0,
            is_awaited: false,
            is_sealed: false,
        }
    }
    /// On another server, before anybody has written there.
    fn elsewhere(last: u64) -> Standing {
        Standing { timeline: Some("2".into()), ..standing(0, 1, last) }
    }
    /// Afterwards.
    fn moved(began_at: u64, last: u64) -> Standing {
        Standing { written_on: Some("2".into()), began_at, ..elsewhere(last) }
    }
    /// One who has seen twelve.
    fn who_has_seen_12() -> Head {
        let head = Head::new([7; 16]);
        head.take(&standing(0, 1, 10));
        head.grow(0, 12);
        head
    }

    #[test]
    fn a_log_that_ends_before_a_place_that_was_seen_is_another_one() {
        let head = who_has_seen_12();
        let before = head.known();
        assert_eq!(standing(0, 1, 12).verdict(&before), Verdict::Same);
        assert_eq!(standing(0, 1, 11).verdict(&before), Verdict::Lost);
        assert_eq!(Standing { is_sealed: true, ..standing(0, 1, 11) }.verdict(&before), Verdict::Same);
        assert_eq!(standing(1, 2, 3).verdict(&before), Verdict::Same, "somebody has found it out before");
        head.hear(0, 100);
        assert_eq!(standing(0, 1, 12).verdict(&head.known()), Verdict::Same, "what others say is no proof");
    }

    #[test]
    fn on_another_server_it_counts_how_far_the_log_went_at_first() {
        let before = who_has_seen_12().known();
        assert_eq!(elsewhere(11).verdict(&before), Verdict::Lost);
        assert_eq!(elsewhere(12).verdict(&before), Verdict::Moved);
        assert_eq!(moved(12, 20).verdict(&before), Verdict::Same);
        assert_eq!(moved(11, 20).verdict(&before), Verdict::Lost, "it has grown again");
        // Who has seen nothing cannot tell, unless nothing can be lost.
        let nothing = Known::default();
        assert_eq!(elsewhere(12).verdict(&nothing), Verdict::Lost);
        assert_eq!(Standing { is_awaited: true, ..elsewhere(12) }.verdict(&nothing), Verdict::Moved);
        assert_eq!(Standing { written_on: None, ..elsewhere(12) }.verdict(&nothing), Verdict::Moved);
        assert_eq!(moved(11, 20).verdict(&nothing), Verdict::Same);
        // Nor can the timeline be known everywhere.
        assert_eq!(Standing { timeline: None, ..standing(0, 1, 12) }.verdict(&before), Verdict::Same);
    }

    #[test]
    fn in_a_new_generation_what_was_on_the_way_counts_no_more() {
        let head = who_has_seen_12();
        assert!(head.take(&standing(1, 2, 5)));
        head.grow(0, 12);
        head.hear(0, 13);
        assert_eq!((head.last(), head.known().seen), ((1, 5), Some(5)));
        // One who had asked before.
        head.take(&standing(0, 1, 10));
        assert_eq!(head.last(), (1, 5));
        head.grow(1, 6);
        assert_eq!(head.last(), (1, 6));
        // The new generation was lost as well, and another one has its number.
        assert_eq!(standing(0, 1, 10).verdict(&head.known()), Verdict::Lost);
        head.take(&standing(1, 3, 4));
        assert_eq!((head.last(), &*head.generation()), ((1, 4), &*Uuid::from_bytes([3; 16]).to_string()));
    }

    #[test]
    fn two_nodes_do_not_make_the_same_generation_of_one() {
        let (one, other) = (Head::new([1; 16]), Head::new([2; 16]));
        let before = standing(0, 1, 10);
        assert!(one.next(&before) != other.next(&before) && one.next(&before) != before.generation);
        assert_ne!(one.next(&before), one.next(&standing(1, 1, 10)));
    }
}
