//! The type that people open, and how an operation becomes all or nothing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stepwell_core::{
    Clock, Error, Result,
    store::{Change, Listener, inbox::InboxEntry},
};

use crate::state::{State, Tx};

/// How long a session lives without a beat, unless it is set.
const SESSION_TTL: Duration = Duration::from_secs(30);

/// A store in memory. What it acknowledges lasts as long as it does.
pub struct Memory {
    pub(crate) clock: Clock,
    pub(crate) generation: [u8; 16],
    pub(crate) session_ttl: Duration,
    state: Mutex<State>,
    listeners: Mutex<Vec<Arc<Listener>>>,
}

impl Memory {
    /// An empty store. `generation` names its event log, and should be random.
    #[must_use]
    pub fn new(clock: Clock, generation: [u8; 16]) -> Self {
        Self {
            clock,
            generation,
            session_ttl: SESSION_TTL,
            state: Mutex::default(),
            listeners: Mutex::default(),
        }
    }
    /// Sets how long a session lives without a beat: 30 seconds unless set.
    #[must_use]
    pub fn with_session_ttl(mut self, session_ttl: Duration) -> Self {
        self.session_ttl = session_ttl;
        self
    }
    /// Puts a row into the inbox, as an application does in its own transaction, and answers the row's number, which
    /// replaces the one given. There is no SQL to do it with.
    pub fn push_inbox(&self, entry: InboxEntry) -> i64 {
        let n = self.lock().push_inbox(entry);
        self.notify(Change { foreign: true, ..Change::default() });
        n
    }
    /// Counts every job anew and compares with the counters that were kept, for tests.
    ///
    /// # Errors
    /// What differs.
    pub fn recount(&self) -> Result<(), String> {
        self.lock().recount()
    }

    /// Runs one operation: all of it, or, if it fails, nothing of it. Tells the listeners afterwards.
    pub(crate) fn transact<T>(&self, operation: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let mut state = self.open()?;
        let mut tx = Tx { state: &mut state, now: self.clock.now(), change: Change::default() };
        let answer = operation(&mut tx);
        let change = tx.change;
        match &answer {
            Ok(_) => state.commit(),
            Err(_) => state.roll_back(),
        }
        drop(state);
        if answer.is_ok() && change != Change::default() {
            self.notify(change);
        }
        answer
    }
    /// Reads.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T> {
        self.open().map(|state| read(&state))
    }
    pub(crate) fn listen_with(&self, listener: Listener) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            // A panic in the middle of an operation leaves its journal behind.
            let mut state = poisoned.into_inner();
            state.roll_back();
            state
        })
    }
    fn open(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.closed { Err(Error::closed()) } else { Ok(state) }
    }
    /// Outside of every lock, so that a listener may call the store.
    fn notify(&self, change: Change) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            listener(change);
        }
    }
}
