//! The one reader of the event log in this process. Whoever follows the log reads from its ring, and falls back to
//! pages from the store, by themselves: they own nothing but a place.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stepwell_core::{Error, EventType, JobId, Result, event::EventFilter, store::Store};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{event_cursor::Found, wire::Frame};

/// Events that the ring holds. Whoever is further behind reads from the store.
const RING: usize = 8_192;
/// How far the reader goes back for those who had begun to follow before it.
const BACK: u64 = 1_000;
/// Stored rows read at once.
const PAGE: usize = 500;

pub(crate) struct Tail(Arc<Shared>);

pub(crate) struct Shared {
    store: Arc<dyn Store>,
    thread: Handle,
    state: Mutex<State>,
    /// Woken when the log has grown, and when somebody begins to listen.
    wake: Notify,
    /// The last `pos` that the ring has taken in.
    head: watch::Sender<u64>,
    closed: CancellationToken,
}

struct State {
    running: bool,
    /// Whether the reader knows where it is. Until it does, nobody can rely on it.
    active: bool,
    followers: usize,
    /// The earliest place that somebody began to follow from since the reader was last idle.
    wanted_from: u64,
    waiters: HashMap<JobId, Vec<oneshot::Sender<()>>>,
    ring: VecDeque<Arc<Frame>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            running: false,
            active: false,
            followers: 0,
            wanted_from: u64::MAX,
            waiters: HashMap::new(),
            ring: VecDeque::new(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    pub(super) fn new(store: Arc<dyn Store>, thread: Handle) -> Self {
        Self(Arc::new(Shared {
            store,
            thread,
            state: Mutex::default(),
            wake: Notify::new(),
            head: watch::Sender::new(0),
            closed: CancellationToken::new(),
        }))
    }
    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Resolves when the job may have ended. It is a hint: the caller looks, and asks again if it has not.
    pub(crate) fn end_of(&self, id: JobId) -> impl Future<Output = Result<()>> + Send + use<> {
        let (end, ended) = oneshot::channel();
        {
            let mut state = self.0.lock();
            let waiters = state.waiters.entry(id).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(end);
        }
        self.run();
        let closed = self.0.closed.clone();
        async move {
            tokio::select! {
                _ = ended => Ok(()),
                () = closed.cancelled() => Err(Error::closed()),
            }
        }
    }

    /// Follows the log after a `pos`.
    pub(crate) fn follow(&self, after: u64, filter: EventFilter) -> Follower {
        {
            let mut state = self.0.lock();
            state.followers += 1;
            state.wanted_from = state.wanted_from.min(after);
        }
        self.run();
        Follower { shared: self.0.clone(), cursor: after, filter, head: self.0.head.subscribe() }
    }

    /// Starts the reader with the first one who listens.
    fn run(&self) {
        if !std::mem::replace(&mut self.0.lock().running, true) {
            self.0.thread.spawn(read(self.0.clone()));
        }
        self.wake();
    }
    /// Lets everybody have what is there, then ends all subscriptions.
    pub(super) async fn close(&self) {
        let at = *self.0.head.borrow();
        if self.0.lock().active {
            take_in(&self.0, at).await;
        }
        self.0.closed.cancel();
    }
}

async fn read(shared: Arc<Shared>) {
    let mut at = 0;
    loop {
        tokio::select! {
            () = shared.wake.notified() => {}
            () = shared.closed.cancelled() => return,
        }
        if let Some(place) = look(&shared, at).await {
            at = place;
        }
    }
}

/// Reads what is new, if anybody listens. Answers with the place reached.
async fn look(shared: &Shared, at: u64) -> Option<u64> {
    let (wanted, active) = {
        let mut state = shared.lock();
        state.waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        let wanted = state.followers > 0 || !state.waiters.is_empty();
        if !wanted {
            state.active = false;
            state.wanted_from = u64::MAX;
            state.ring.clear();
        }
        (wanted, state.active)
    };
    if !wanted {
        return None;
    }
    if active {
        return take_in(shared, at).await;
    }
    // What happened before this place is not seen: everybody who waits since before looks again.
    let head = shared.store.events(u64::MAX, 1, EventFilter::default()).await.ok()?.head;
    let (waiters, from) = {
        let mut state = shared.lock();
        state.active = true;
        state.ring.clear();
        // Whoever has just begun finds in the ring what was said meanwhile, even if the store closes before it looks.
        let from = state.wanted_from.clamp(head.saturating_sub(BACK), head);
        (std::mem::take(&mut state.waiters), from)
    };
    wake_all(waiters.into_values().flatten());
    take_in(shared, from).await
}

async fn take_in(shared: &Shared, mut at: u64) -> Option<u64> {
    loop {
        let followed = shared.lock().followers > 0;
        // Without followers only the ends matter, and the rest need not be decoded.
        let types = match followed {
            true => Vec::new(),
            false => vec![EventType::Completed, EventType::Failed, EventType::Cancelled, EventType::Deleted],
        };
        let filter = EventFilter { types, internal: true, ..EventFilter::default() };
        let page = match shared.store.events(at, PAGE, filter).await {
            Ok(page) => page,
            Err(error) => {
                // Read again at the next change. Nobody misses anything: the place stays.
                tracing::warn!(%error, "failed to read the event log");
                return Some(at);
            }
        };
        let mut ended = Vec::new();
        {
            let mut state = shared.lock();
            if state.ring.back().is_some_and(|last| last.pos() + 1 < page.floor) {
                // Retention was faster than this reader: what is left of the ring does not join what follows.
                state.ring.clear();
            }
            for event in page.events {
                if event.ty.is_terminal() || event.ty == EventType::Deleted {
                    ended.extend(state.waiters.remove(&event.job).into_iter().flatten());
                }
                if followed {
                    state.ring.push_back(Arc::new(Frame::new(event)));
                }
            }
            let excess = state.ring.len().saturating_sub(RING);
            state.ring.drain(..excess);
            // A ring with a hole would be read as if nothing were missing.
            if !followed {
                state.ring.clear();
            }
        }
        wake_all(ended.into_iter());
        let done = page.next == at || page.next >= page.head;
        at = page.next.max(at);
        shared.head.send_replace(at);
        if done {
            return Some(at);
        }
    }
}

fn wake_all(waiters: impl Iterator<Item = oneshot::Sender<()>>) {
    for waiter in waiters {
        // Whoever no longer waits need not be told.
        waiter.send(()).ok();
    }
}

/// One who follows the log: a place, and what is wanted. It costs nothing while it does not look.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    pub(crate) cursor: u64,
    pub(crate) filter: EventFilter,
    head: watch::Receiver<u64>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.lock().followers -= 1;
    }
}

impl Follower {
    /// What there is after the place, at most so many events; none if there is nothing yet.
    pub(crate) async fn look(&mut self, at_most: usize) -> Result<Option<Found>> {
        self.head.mark_unchanged();
        if let Some(frames) = self.ring_after(at_most) {
            return Ok(frames.map(Found::Events));
        }
        // What few events match is looked for in whole pages, however few are asked for.
        let rows = if self.filter == EventFilter::default() { PAGE.min(at_most) } else { PAGE };
        let page = self.shared.store.events(self.cursor, rows, self.filter.clone()).await?;
        let oldest = page.floor;
        if self.cursor > page.head {
            self.cursor = oldest.saturating_sub(1);
            return Ok(Some(Found::Reset { oldest }));
        }
        if self.cursor.saturating_add(1) < oldest {
            self.cursor = oldest - 1;
            return Ok(Some(Found::Gap { oldest }));
        }
        let moved = page.next > self.cursor;
        // Those that are too many are found again by the next look.
        self.cursor = match page.events.get(at_most.saturating_sub(1)) {
            Some(last) if page.events.len() > at_most => last.pos,
            _ => page.next.max(self.cursor),
        };
        let frames = page.events.into_iter().take(at_most).map(|event| Arc::new(Frame::new(event))).collect();
        Ok(moved.then_some(Found::Events(frames)))
    }

    /// What the ring holds after the place; none if the ring does not reach back that far, or not yet forward to it.
    fn ring_after(&mut self, at_most: usize) -> Option<Option<Vec<Arc<Frame>>>> {
        let state = self.shared.lock();
        let (first, last) = (state.ring.front()?.pos(), state.ring.back()?.pos());
        if !state.active || self.cursor.saturating_add(1) < first || self.cursor > last {
            return None;
        }
        if self.cursor == last {
            return Some(None);
        }
        let skip = usize::try_from(self.cursor + 1 - first).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut reached = self.cursor;
        for frame in state.ring.iter().skip(skip).take(PAGE) {
            reached = frame.pos();
            if self.filter.matches(frame.stored()) {
                found.push(frame.clone());
                if found.len() >= at_most {
                    break;
                }
            }
        }
        drop(state);
        self.cursor = reached;
        Some(Some(found))
    }

    /// Waits until there may be something after the place. Answers false when the queue has been closed and there is
    /// nothing more to come.
    pub(crate) async fn grown(&mut self) -> bool {
        if self.shared.closed.is_cancelled() {
            return *self.head.borrow() > self.cursor;
        }
        tokio::select! {
            changed = self.head.changed() => changed.is_ok(),
            () = self.shared.closed.cancelled() => *self.head.borrow() > self.cursor,
        }
    }
}
