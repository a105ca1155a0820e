//! The newest events of the log, kept in memory once for all who follow it.

use std::{collections::VecDeque, sync::Arc};

use crate::wire::Frame;

/// Events that it holds,
const EVENTS_MAX: usize = 8_192;
/// and bytes, as far as they can be told. Whoever is further behind than it reaches reads from the store.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The newest events of the log, without a hole.
#[derive(Default)]
pub(super) struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

impl Ring {
    /// The first `pos` and the last one; none if it is empty.
    pub(super) fn ends(&self) -> Option<(u64, u64)> {
        Some((self.frames.front()?.pos(), self.frames.back()?.pos()))
    }
    /// What it holds from a `pos` on, which must not be before the first one.
    pub(super) fn from(&self, pos: u64) -> impl Iterator<Item = &Arc<Frame>> {
        let first = self.frames.front().map_or(pos, |frame| frame.pos());
        self.frames.iter().skip(usize::try_from(pos.saturating_sub(first)).unwrap_or(usize::MAX))
    }
    /// Takes in the next event. One that is there already is passed over: at the very end two read the log at once.
    pub(super) fn push(&mut self, frame: Frame) {
        match self.ends() {
            Some((_, last)) if frame.pos() <= last => return,
            // It would be read as if nothing were missing in between.
            Some((_, last)) if frame.pos() > last + 1 => self.clear(),
            _ => {}
        }
        self.bytes += frame.weight();
        self.frames.push_back(Arc::new(frame));
        while self.frames.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.weight();
        }
    }
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use stepwell_core::{Event, EventType, JobId, Json, Timestamp};

    use super::*;

    fn frame(pos: u64, data: usize) -> Frame {
        Frame::new(Event {
            pos,
            job: JobId::from_bytes([1; 16]),
            job_seq: pos,
            run: 1,
            ty: EventType::Started,
            at: Timestamp::from_micros(0),
            kind: "k".into(),
            queue: "q".into(),
            phase: None,
            attempt: 1,
            data: Json::of(&"x".repeat(data)).unwrap(),
            tags: Vec::new(),
            hooked: false,
        })
    }
    fn places(ring: &Ring, from: u64) -> Vec<u64> {
        ring.from(from).map(|frame| frame.pos()).collect()
    }

    #[test]
    fn a_page_that_two_readers_bring_is_there_once() {
        let mut ring = Ring::default();
        for pos in [5, 6, 7, 6, 7, 8] {
            ring.push(frame(pos, 0));
        }
        assert_eq!(ring.ends(), Some((5, 8)));
        assert_eq!(places(&ring, 5), [5, 6, 7, 8]);
        assert_eq!(places(&ring, 7), [7, 8]);
        assert!(places(&ring, 9).is_empty());
        ring.push(frame(10, 0));
        assert_eq!(ring.ends(), Some((10, 10)), "it has no hole");
    }

    #[test]
    fn it_holds_so_many_events_and_so_many_bytes() {
        let mut ring = Ring::default();
        let many = EVENTS_MAX as u64 + 10;
        (1..=many).for_each(|pos| ring.push(frame(pos, 0)));
        assert_eq!(ring.ends(), Some((11, many)));

        let mut ring = Ring::default();
        let large = BYTES_MAX / 40;
        for pos in 1..=100 {
            ring.push(frame(pos, large));
            let held: usize = ring.frames.iter().map(|frame| frame.weight()).sum();
            assert!(held <= BYTES_MAX && held == ring.bytes, "{held} bytes");
        }
        let (first, last) = ring.ends().unwrap();
        assert!(first > 50 && last == 100, "{first} to {last}");
        // What is larger than all of it is read from the store.
        ring.push(frame(101, BYTES_MAX));
        assert_eq!(ring.ends(), None);
        assert_eq!(ring.bytes, 0);
    }
}
