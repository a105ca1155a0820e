//! Heartbeats: a side file with a slot for each session.
//!
//! They do not go through the writer. A long transaction of the application on the same file would hold them all up,
//! and
//! the first process to get through would bury everyone else.
//!
//! | bytes of a slot | |
//! |---|---|
//! | 0–15, 16–23, 24–31 | session, time of the beat, checksum: written by the session |
//! | 32–47, 48–55 | the session that was found dead, checksum: written by whoever found it |

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stepwell_core::{Clock, Error, Result, SessionId, session::Beat, time::since_boot};

const SLOT_BYTES: u64 = 64;
const GRAVE: u64 = 32;

/// The side file.
#[derive(Debug)]
pub(crate) struct Live {
    file: File,
    /// Decides instead of the machine's boot time if it is turned by hand: tests turn it past a session's life.
    manual: Option<Clock>,
    /// The sessions of this process.
    slots: RwLock<HashMap<SessionId, u32>>,
    closed: AtomicBool,
}

impl Live {
    pub(crate) fn open(path: &Path, clock: &Clock) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let manual = clock.is_manual().then(|| clock.clone());
        Ok(Self { file, manual, slots: RwLock::default(), closed: AtomicBool::new(false) })
    }
    /// The time by which beats are measured.
    pub(crate) fn time(&self) -> Duration {
        match &self.manual {
            Some(clock) => Duration::from_micros(clock.now().as_micros().unsigned_abs()),
            None => since_boot(),
        }
    }
    /// Whether time passes only when a test says so.
    pub(crate) fn is_manual(&self) -> bool {
        self.manual.is_some()
    }

    /// Takes a slot for a session of this process, with a first beat.
    pub(crate) fn enter(&self, session: SessionId, slot: u32) -> Result<()> {
        self.write_beat(session, slot)?;
        self.slots.write().unwrap_or_else(PoisonError::into_inner).insert(session, slot);
        Ok(())
    }
    /// Nothing is written from now on: the heartbeat's thread may outlast the store by a beat.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
    /// Forgets a session of this process.
    pub(crate) fn leave(&self, session: SessionId) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    /// Keeps a session of this process alive, unless it was found dead.
    pub(crate) fn beat(&self, session: SessionId) -> Result<Beat> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        let slot = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(&session).copied();
        let Some(slot) = slot else { return Ok(Beat { alive: false }) };
        // A dead session's slot goes to another, whose death then stands where this one's stood.
        if self.is_buried(session, slot) || !self.is_held_by(session, slot) {
            return Ok(Beat { alive: false });
        }
        self.write_beat(session, slot)?;
        Ok(Beat { alive: true })
    }
    fn write_beat(&self, session: SessionId, slot: u32) -> Result<()> {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(session.as_bytes());
        let micros = u64::try_from(self.time().as_micros()).unwrap_or(u64::MAX);
        bytes[16..24].copy_from_slice(&micros.to_le_bytes());
        let sum = checksum(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        let written = self.file.write_all_at(&bytes, u64::from(slot) * SLOT_BYTES);
        written.map_err(|error| Error::storage("record a heartbeat", error))
    }

    /// When a session last beat; none if its slot does not say.
    pub(crate) fn last_beat(&self, session: SessionId, slot: u32) -> Option<Duration> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, u64::from(slot) * SLOT_BYTES).ok()?;
        let valid = bytes[..16] == *session.as_bytes() && bytes[24..] == checksum(&bytes[..24]).to_le_bytes();
        let micros = u64::from_le_bytes(bytes[16..24].try_into().ok()?);
        valid.then(|| Duration::from_micros(micros))
    }

    /// Tells a session that it was found dead. Once told, it stays dead: its own beats do not touch these bytes.
    pub(crate) fn bury(&self, session: SessionId, slot: u32) -> Result<()> {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(session.as_bytes());
        let sum = checksum(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        let written = self.file.write_all_at(&bytes, u64::from(slot) * SLOT_BYTES + GRAVE);
        written.map_err(|error| Error::storage("tell a session that it is dead", error))
    }
    fn is_held_by(&self, session: SessionId, slot: u32) -> bool {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, u64::from(slot) * SLOT_BYTES).is_ok()
            && bytes == *session.as_bytes()
    }
    fn is_buried(&self, session: SessionId, slot: u32) -> bool {
        let mut bytes = [0; 24];
        self.file.read_exact_at(&mut bytes, u64::from(slot) * SLOT_BYTES + GRAVE).is_ok()
            && bytes[..16] == *session.as_bytes()
            && bytes[16..] == checksum(&bytes[..16]).to_le_bytes()
    }
}

/// FNV-1a: it tells a torn slot from a whole one, and nobody is cheated by it but himself.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> (tempfile::TempDir, Live, SessionId) {
        let dir = tempfile::tempdir().unwrap();
        let live = Live::open(&dir.path().join("a.db-live"), &Clock::system()).unwrap();
        (dir, live, SessionId::from_bytes([7; 16]))
    }

    #[test]
    fn a_session_beats_until_it_is_buried() {
        let (_dir, live, session) = live();
        assert!(!live.beat(session).unwrap().alive, "it never entered");
        live.enter(session, 3).unwrap();
        let first = live.last_beat(session, 3).unwrap();
        assert!(live.beat(session).unwrap().alive);
        assert!(live.last_beat(session, 3).unwrap() >= first);
        live.bury(session, 3).unwrap();
        assert!(!live.beat(session).unwrap().alive);
        assert!(!live.beat(session).unwrap().alive, "it stays dead");
    }

    #[test]
    fn a_slot_speaks_only_for_its_session() {
        let (_dir, live, session) = live();
        live.enter(session, 0).unwrap();
        live.bury(session, 0).unwrap();
        let next = SessionId::from_bytes([8; 16]);
        live.enter(next, 0).unwrap();
        assert!(live.beat(next).unwrap().alive);
        assert_eq!(live.last_beat(session, 0), None);
        assert_eq!(live.last_beat(next, 9), None, "beyond the end of the file");
    }
}
