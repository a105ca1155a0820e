//! The one reader of the event log in this process. Whoever follows the log reads from its ring, and falls back to
//! pages from the store, by themselves: they own nothing but a place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stepwell_core::{Error, EventType, JobId, Result, event::EventFilter, store::Store};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{event_cursor::Found, wire::Frame};

use super::ring::Ring;

/// How far the reader goes back for those who had begun to follow before it.
const BACK: u64 = 1_000;
/// Stored rows read at once.
const PAGE: usize = 500;
/// How often to look while somebody listens and nobody said that there is something. Being told is only faster: a
/// commit of another process can be seen so late that nothing tells of it any more.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Tail(Arc<Shared>);

pub(crate) struct Shared {
    store: Arc<dyn Store>,
    thread: Handle,
    /// How often to look.
    look: Duration,
    state: Mutex<State>,
    /// Woken when the log has grown, and when somebody begins to listen.
    wake: Notify,
    /// The last `pos` that the ring has taken in.
    head: watch::Sender<u64>,
    closed: CancellationToken,
}

struct State {
    /// Of the log that is read.
    generation: Arc<str>,
    running: bool,
    /// Whether the reader knows where it is. Until it does, nobody can rely on it.
    active: bool,
    followers: usize,
    /// The earliest place that somebody began to follow from since the reader was last idle.
    wanted_from: u64,
    waiters: HashMap<JobId, Vec<oneshot::Sender<()>>>,
    ring: Ring,
}

impl Default for State {
    fn default() -> Self {
        Self {
            generation: "".into(),
            running: false,
            active: false,
            followers: 0,
            wanted_from: u64::MAX,
            waiters: HashMap::new(),
            ring: Ring::default(),
        }
    }
}

impl Shared {
    /// Begins again if the log has become another one: what the ring holds is of the one before, and whoever waits
    /// looks for himself.
    fn see_generation(&self, state: &mut State) {
        let generation = self.store.generation();
        if state.generation != generation {
            state.generation = generation;
            state.active = false;
            state.ring.clear();
            self.head.send_replace(0);
        }
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    /// The jitter, between 0 and 1, keeps many processes from looking together.
    pub(super) fn new(store: Arc<dyn Store>, thread: Handle, jitter: f64) -> Self {
        Self(Arc::new(Shared {
            store,
            thread,
            look: LOOK.mul_f64(0.5 + jitter),
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
        let generation = {
            let mut state = self.0.lock();
            self.0.see_generation(&mut state);
            state.followers += 1;
            state.wanted_from = state.wanted_from.min(after);
            state.generation.clone()
        };
        self.run();
        let head = self.0.head.subscribe();
        Follower { shared: self.0.clone(), generation, cursor: after, filter, head, failed: false }
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
        let reached = self.0.lock().ring.ends().map(|(_, last)| last);
        let mut at = reached.unwrap_or_else(|| *self.0.head.borrow());
        if self.0.lock().active
            && let Err(error) = take_in(&self.0, &mut at).await
        {
            tracing::warn!(%error, "failed to read the end of the event log");
        }
        self.0.closed.cancel();
    }
}

async fn read(shared: Arc<Shared>) {
    let mut at = 0;
    let mut listened_to = true;
    let (mut pause, mut after_failure) = (PAUSE, PAUSE);
    loop {
        tokio::select! {
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(pause), if listened_to => {}
            () = shared.closed.cancelled() => return,
        }
        match look(&shared, &mut at).await {
            Ok(wanted) => (listened_to, pause, after_failure) = (wanted, shared.look, PAUSE),
            Err(error) if error.is_closed() => return,
            Err(error) => {
                // Nobody misses anything: the place stays.
                tracing::warn!(%error, "failed to read the event log; trying again");
                (listened_to, pause) = (true, after_failure);
                after_failure = (after_failure * 2).min(shared.look);
            }
        }
    }
}

/// Reads what is new, if anybody listens, and answers whether that is so.
async fn look(shared: &Shared, at: &mut u64) -> Result<bool> {
    let (wanted, active) = {
        let mut state = shared.lock();
        shared.see_generation(&mut state);
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
        return Ok(false);
    }
    if active {
        take_in(shared, at).await?;
        return Ok(true);
    }
    // What happened before this place is not seen: everybody who waits since before looks again.
    let head = shared.store.events(u64::MAX, 1, EventFilter::default()).await?.head;
    let (waiters, from) = {
        let mut state = shared.lock();
        state.active = true;
        state.ring.clear();
        // Whoever has just begun finds in the ring what was said meanwhile, even if the store closes before it looks.
        let from = state.wanted_from.clamp(head.saturating_sub(BACK), head);
        (std::mem::take(&mut state.waiters), from)
    };
    wake_all(waiters.into_values().flatten());
    *at = from;
    take_in(shared, at).await?;
    Ok(true)
}

/// Reads on from a place, and moves it, up to the end of the log.
async fn take_in(shared: &Shared, at: &mut u64) -> Result<()> {
    loop {
        let followed = shared.lock().followers > 0;
        // Without followers only the ends matter, and the rest need not be decoded.
        let types = match followed {
            true => Vec::new(),
            false => vec![EventType::Completed, EventType::Failed, EventType::Cancelled, EventType::Deleted],
        };
        let filter = EventFilter { types, internal: true, ..EventFilter::default() };
        let page = shared.store.events(*at, PAGE, filter).await?;
        let mut ended = Vec::new();
        {
            let mut state = shared.lock();
            if state.ring.ends().is_some_and(|(_, last)| last + 1 < page.floor) {
                // Retention was faster than this reader: what is left of the ring does not join what follows.
                state.ring.clear();
            }
            for event in page.events {
                if event.ty.is_terminal() || event.ty == EventType::Deleted {
                    ended.extend(state.waiters.remove(&event.job).into_iter().flatten());
                }
                if followed {
                    state.ring.push(Frame::new(event));
                }
            }
            if page.is_damaged {
                // Any end may be in what cannot be read: whoever waits for one looks.
                ended.extend(std::mem::take(&mut state.waiters).into_values().flatten());
            }
            // A ring with a hole would be read as if nothing were missing.
            if !followed || page.is_damaged {
                state.ring.clear();
            }
        }
        wake_all(ended.into_iter());
        let done = page.next == *at || page.next >= page.head;
        *at = page.next.max(*at);
        // Whoever follows is not woken for nothing. Of the reader and whoever closes, one may be ahead of the other.
        shared.head.send_if_modified(|head| {
            let grows = *at > *head;
            *head = (*at).max(*head);
            grows
        });
        if done {
            return Ok(());
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
    /// Of the log that the place is in.
    pub(crate) generation: Arc<str>,
    pub(crate) cursor: u64,
    pub(crate) filter: EventFilter,
    head: watch::Receiver<u64>,
    /// Whether the last look failed, so that there may be something that nobody will tell of again.
    failed: bool,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.lock().followers -= 1;
    }
}

impl Follower {
    /// What there is after the place, at most so many events; none if there is nothing yet.
    pub(crate) async fn look(&mut self, at_most: usize) -> Result<Option<Found>> {
        let found = self.find(at_most).await;
        self.failed = found.is_err();
        found
    }
    async fn find(&mut self, at_most: usize) -> Result<Option<Found>> {
        self.head.mark_unchanged();
        let generation = self.shared.lock().generation.clone();
        if generation != self.generation {
            let floor = self.shared.store.events(u64::MAX, 1, EventFilter::default()).await?.floor;
            (self.generation, self.cursor) = (generation, floor.saturating_sub(1));
            return Ok(Some(Found::Reset { oldest: floor }));
        }
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
        if page.is_damaged {
            self.cursor = page.next;
            return Ok(Some(Found::Gap { oldest: page.next + 1 }));
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
        let (first, last) = state.ring.ends()?;
        if !state.active || self.cursor.saturating_add(1) < first || self.cursor > last {
            return None;
        }
        if self.cursor == last {
            return Some(None);
        }
        let mut found = Vec::new();
        let mut reached = self.cursor;
        for frame in state.ring.from(self.cursor + 1).take(PAGE) {
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
        let (thread, failed) = (&self.shared.thread, self.failed);
        let pause = async {
            // Not here, because the caller's runtime may have no timers. Only the end of the thread cuts it short.
            thread.spawn(tokio::time::sleep(PAUSE)).await.ok();
        };
        tokio::select! {
            changed = self.head.changed() => changed.is_ok(),
            () = pause, if failed => true,
            () = self.shared.closed.cancelled() => *self.head.borrow() > self.cursor,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::flaky::Flaky, *};

    /// Longer than anything that is looked at now and then takes. The time is turned by the runtime when nothing runs.
    const LONG: Duration = Duration::from_mins(1);

    fn tail(store: &Arc<Flaky>) -> Tail {
        Tail::new(store.clone(), Handle::current(), 0.5)
    }
    /// Lets the reader do what it has been woken for.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_end_hears_of_it_although_a_read_failed() {
        let store = Arc::new(Flaky::new());
        let tail = tail(&store);
        let id = store.add(1).await;
        let first = tail.end_of(id);
        first.await.expect("whoever waits since before the reader began looks again");
        let end = tail.end_of(id);
        settle().await;
        store.end(id).await;
        store.fail(1);
        tail.wake();
        tokio::time::timeout(LONG, end).await.expect("it is read again").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_end_hears_of_it_although_the_first_read_failed() {
        let store = Arc::new(Flaky::new());
        let id = store.add(1).await;
        store.fail(1);
        let end = tail(&store).end_of(id);
        tokio::time::timeout(LONG, end).await.expect("it is read again").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_end_hears_of_it_although_nobody_was_told() {
        let store = Arc::new(Flaky::new());
        let tail = tail(&store);
        let id = store.add(1).await;
        tail.end_of(id).await.unwrap();
        let end = tail.end_of(id);
        settle().await;
        store.end(id).await;
        tokio::time::timeout(LONG, end).await.expect("it is found").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_reads_again_after_a_read_of_his_own_failed() {
        let store = Arc::new(Flaky::new());
        let tail = tail(&store);
        store.add(1).await;
        let _newest = tail.follow(1, EventFilter::default());
        settle().await;
        store.add(2).await;
        tail.wake();
        settle().await;
        // The ring does not reach back to his place.
        let mut behind = tail.follow(0, EventFilter::default());
        settle().await;
        store.fail(1);
        assert!(behind.look(10).await.is_err());
        assert!(tokio::time::timeout(LONG, behind.grown()).await.expect("he may look again"));
        assert!(matches!(behind.look(10).await, Ok(Some(Found::Events(found))) if found.len() == 2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_woken_and_nothing_is_read_for_nothing() {
        let store = Arc::new(Flaky::new());
        let tail = tail(&store);
        store.add(1).await;
        let mut follower = tail.follow(0, EventFilter::default());
        settle().await;
        assert!(matches!(follower.look(10).await, Ok(Some(Found::Events(_)))));
        settle().await;
        assert!(follower.look(10).await.unwrap().is_none());
        let woken = tokio::time::timeout(LONG, follower.grown()).await;
        assert!(woken.is_err(), "nothing has happened");
        drop(follower);
        settle().await;
        let reads = store.reads();
        tokio::time::sleep(LONG).await;
        assert_eq!(store.reads(), reads, "nobody listens");
    }
}
