//! The one reader of the event log in this process. Whoever follows the log reads from its ring, and falls back to
//! pages from the store.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stepwell_core::{
    Error, EventType, JobId, Result,
    event::{Event as Stored, EventFilter},
    store::Store,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use crate::events::{Change, Event};

/// Events that the ring holds. Whoever is further behind reads from the store.
const RING: usize = 8_192;
/// Stored rows read at once.
const PAGE: usize = 500;
/// Events that wait for a subscriber. One that is slower holds up only itself.
const WAITING: usize = 256;
/// Time that subscribers have for the last events once the queue was closed.
const CLOSING: Duration = Duration::from_millis(500);

pub(crate) struct Tail(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    thread: Handle,
    state: Mutex<State>,
    /// Woken when the log has grown, and when somebody begins to listen.
    wake: Notify,
    /// The last `pos` that the ring has taken in.
    head: watch::Sender<u64>,
    closed: CancellationToken,
}

#[derive(Default)]
struct State {
    running: bool,
    /// Whether the reader knows where it is. Until it does, nobody can rely on it.
    active: bool,
    followers: usize,
    waiters: HashMap<JobId, Vec<oneshot::Sender<()>>>,
    ring: VecDeque<Arc<Stored>>,
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

    /// Events after a `pos`, until the tail is closed or the receiver dropped.
    pub(crate) fn subscribe(&self, after: u64, filter: EventFilter) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.0.lock().followers += 1;
        self.run();
        self.0.thread.spawn(follow(self.0.clone(), after, filter, sender));
        receiver
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
    let waiters = {
        let mut state = shared.lock();
        state.active = true;
        state.ring.clear();
        std::mem::take(&mut state.waiters)
    };
    shared.head.send_replace(head);
    wake_all(waiters.into_values().flatten());
    take_in(shared, head).await
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
            for event in page.events {
                if event.ty.is_terminal() || event.ty == EventType::Deleted {
                    ended.extend(state.waiters.remove(&event.job).into_iter().flatten());
                }
                if followed {
                    state.ring.push_back(Arc::new(event));
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

/// One subscriber: a cursor, and nothing else.
async fn follow(shared: Arc<Shared>, after: u64, filter: EventFilter, sender: mpsc::Sender<Event>) {
    let following = async {
        let mut cursor = after;
        let mut head = shared.head.subscribe();
        loop {
            head.mark_unchanged();
            let closed = shared.closed.is_cancelled();
            match step(&shared, &mut cursor, &filter, &sender).await {
                Ok(true) => {}
                Ok(false) if closed => return,
                Ok(false) => tokio::select! {
                    _ = head.changed() => {}
                    () = shared.closed.cancelled() => {}
                },
                Err(Gone) => return,
            }
        }
    };
    tokio::select! {
        () = following => {}
        () = sender.closed() => {}
        // A subscriber that takes nothing does not keep a closed queue's stream open.
        () = async {
            shared.closed.cancelled().await;
            tokio::time::sleep(CLOSING).await;
        } => {}
    }
    shared.lock().followers -= 1;
}

/// The subscriber has gone.
struct Gone;

/// Sends what is there. Answers whether there may be more.
async fn step(
    shared: &Shared,
    cursor: &mut u64,
    filter: &EventFilter,
    sender: &mpsc::Sender<Event>,
) -> Result<bool, Gone> {
    if let Some(events) = from_ring(shared, *cursor) {
        for event in events {
            *cursor = event.pos;
            if filter.matches(&event) {
                sender.send(Event::from((*event).clone())).await.map_err(|_| Gone)?;
            }
        }
        return Ok(false);
    }
    let page = match shared.store.events(*cursor, PAGE, filter.clone()).await {
        Ok(page) => page,
        Err(error) if error.is_closed() => return Err(Gone),
        Err(error) => {
            tracing::warn!(%error, "failed to read the event log");
            return Ok(false);
        }
    };
    let oldest = page.floor;
    let about_the_stream =
        |change| Event::about_the_stream(oldest.saturating_sub(1), shared.store.clock().now(), change);
    if *cursor > page.head {
        sender.send(about_the_stream(Change::StreamReset { oldest })).await.map_err(|_| Gone)?;
        *cursor = oldest.saturating_sub(1);
        return Ok(true);
    }
    if *cursor + 1 < oldest {
        sender.send(about_the_stream(Change::StreamGap { oldest })).await.map_err(|_| Gone)?;
        *cursor = oldest - 1;
        return Ok(true);
    }
    for event in page.events {
        sender.send(Event::from(event)).await.map_err(|_| Gone)?;
    }
    let more = page.next > *cursor && page.next < page.head;
    *cursor = page.next.max(*cursor);
    Ok(more)
}

/// What the ring holds after a `pos`; none if the ring does not reach back that far, or not yet forward to it.
fn from_ring(shared: &Shared, cursor: u64) -> Option<Vec<Arc<Stored>>> {
    let state = shared.lock();
    let first = state.ring.front()?.pos;
    if !state.active || cursor + 1 < first {
        return None;
    }
    let skip = usize::try_from(cursor + 1 - first).unwrap_or(usize::MAX);
    Some(state.ring.iter().skip(skip).take(PAGE).cloned().collect())
}
