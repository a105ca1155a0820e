//! Looks names up, few at a time.
//!
//! The system looks a name up on a thread that nobody can stop: when a receiver's name servers do not answer, the
//! attempt ends in time and its look-up does not. So one name takes one look-up, whoever asks for it and however often,
//! and all of them take a bounded number of threads until they have really ended.
//!
//! Names that hang must not keep others from being looked up. A look-up has its turn for a few seconds; then whoever
//! waits for it is told that there is no answer, and its thread is counted apart, so that the turn is free for the next
//! name. And some turns are for names only that were found before: whatever anybody makes up, those go on.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::phase_fn::BoxFuture;

/// Look-ups that have their turn at once.
const TURNS: usize = 64;
/// Turns beside these, for names that were found before.
const TURNS_OF_KNOWN: usize = 32;
/// How long a turn is. An attempt has no longer to connect.
const TURN: Duration = Duration::from_secs(5);
/// Look-ups that have had their turn and still hold a thread. With the turns, these are far fewer than the threads that
/// the runtime has for what blocks. When there are more, turns are held until some have ended.
const OVERDUE_MAX: usize = 128;
/// Names that are remembered as found.
const KNOWN_MAX: usize = 4_096;

/// Looks a name up.
pub(super) trait Resolve: Send + Sync {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's own way to look names up.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// None until the look-up has ended, then what it found, if it found anything.
type Answer = Option<Option<Arc<[IpAddr]>>>;

/// All look-ups under way.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Shared>);

struct Shared {
    resolver: Arc<dyn Resolve>,
    state: Mutex<State>,
    turns: Semaphore,
    turns_of_known: Semaphore,
    overdue: Semaphore,
}

#[derive(Default)]
struct State {
    under_way: HashMap<String, Arc<watch::Sender<Answer>>>,
    /// Names that were found the last time.
    known: HashSet<String>,
}

impl Lookups {
    pub(super) fn new(resolver: Arc<dyn Resolve>) -> Self {
        let [turns, turns_of_known, overdue] = [TURNS, TURNS_OF_KNOWN, OVERDUE_MAX].map(Semaphore::new);
        Self(Arc::new(Shared { resolver, state: Mutex::default(), turns, turns_of_known, overdue }))
    }

    /// The addresses of a name; none if they could not be found.
    pub(super) async fn addresses(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        let mut answer = self.ask(name);
        let answer = answer.wait_for(Option::is_some).await.ok()?;
        answer.clone().flatten()
    }

    /// Joins the look-up of this name that is under way, or begins one.
    fn ask(&self, name: &str) -> watch::Receiver<Answer> {
        let mut state = self.0.lock();
        if let Some(answer) = state.under_way.get(name) {
            return answer.subscribe();
        }
        let (answer, receiver) = watch::channel(None);
        let answer = Arc::new(answer);
        state.under_way.insert(name.to_owned(), answer.clone());
        // Not part of the attempt: it goes on when the attempt has ended.
        tokio::spawn(look_up(self.0.clone(), name.to_owned(), answer));
        receiver
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Waits for a turn. None would mean that there are none any more, which does not happen.
    async fn turn(&self, name: &str) -> Option<SemaphorePermit<'_>> {
        let is_known = self.lock().known.contains(name);
        tokio::select! {
            biased;
            turn = self.turns.acquire() => turn.ok(),
            turn = self.turns_of_known.acquire(), if is_known => turn.ok(),
        }
    }
    /// Remembers how a look-up went.
    fn note(&self, name: &str, was_found: bool) {
        let known = &mut self.lock().known;
        match was_found {
            true if known.contains(name) => {}
            true => {
                // Any of them: the next look-up of that name is as one for the first time.
                let one = known.iter().next().filter(|_| known.len() >= KNOWN_MAX).cloned();
                one.iter().for_each(|one| _ = known.remove(one));
                known.insert(name.to_owned());
            }
            false => _ = known.remove(name),
        }
    }
}

async fn look_up(shared: Arc<Shared>, name: String, answer: Arc<watch::Sender<Answer>>) {
    // Taken back also if the runtime ends, or the resolver panics.
    let entry = Entry { shared: &shared, name: &name };
    let turn = tokio::select! {
        turn = shared.turn(&name) => turn,
        // Whoever wanted it has given up before it had its turn.
        () = answer.closed() => return,
    };
    let resolving = shared.resolver.resolve(name.clone());
    tokio::pin!(resolving);
    let found = match tokio::time::timeout(TURN, resolving.as_mut()).await {
        Ok(found) => found,
        Err(_) => {
            shared.note(&name, false);
            // Nobody waits any longer, now and until it has ended.
            answer.send_replace(Some(None));
            tokio::select! {
                found = resolving.as_mut() => found,
                _place = shared.overdue.acquire() => {
                    drop(turn);
                    resolving.await
                }
            }
        }
    };
    shared.note(&name, found.is_ok());
    drop(entry);
    answer.send_replace(Some(found.ok().map(Arc::from)));
}

/// That a name is being looked up.
struct Entry<'l> {
    shared: &'l Shared,
    name: &'l str,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.shared.lock().under_way.remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::sync::Notify;

    use super::*;

    /// Does not answer for names that begin with `hangs` until it is told to.
    #[derive(Default)]
    struct Hanging {
        asked: AtomicUsize,
        go_on: Arc<Notify>,
    }

    impl Resolve for Hanging {
        fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let go_on = self.go_on.clone();
            Box::pin(async move {
                match name.as_str() {
                    "unknown" => return Err(io::ErrorKind::NotFound.into()),
                    name if name.starts_with("hangs") => go_on.notified().await,
                    _ => {}
                }
                Ok(vec![IpAddr::from([192, 0, 2, 1])])
            })
        }
    }
    /// Asks as an attempt does: for a time, which is longer here than a turn.
    async fn ask(lookups: &Lookups, name: &str) -> Result<usize, &'static str> {
        let answer = tokio::time::timeout(TURN * 2, lookups.addresses(name)).await;
        answer.map_err(|_| "timed out")?.map(|found| found.len()).ok_or("not found")
    }
    async fn ask_many(lookups: &Lookups, lead: &str, n: usize) -> Vec<Result<usize, &'static str>> {
        let names: Vec<String> = (0..n).map(|nth| format!("{lead}{nth}")).collect();
        futures_util::future::join_all(names.iter().map(|name| ask(lookups, name))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_hangs_takes_one_look_up_and_starves_nobody() {
        let resolver = Arc::new(Hanging::default());
        let lookups = Lookups::new(resolver.clone());
        for _ in 0..2 * TURNS {
            assert_eq!(ask(&lookups, "hangs").await, Err("not found"));
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
        assert_eq!(ask(&lookups, "works").await, Ok(1));
        assert_eq!(ask(&lookups, "unknown").await, Err("not found"));
        // When it has ended at last, it is asked anew.
        resolver.go_on.notify_waiters();
        while !lookups.0.lock().under_way.is_empty() {
            tokio::task::yield_now().await;
        }
        resolver.go_on.notify_one();
        assert_eq!(ask(&lookups, "hangs").await, Ok(1));
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_hang_hold_up_a_new_name_for_one_turn() {
        let lookups = Lookups::new(Arc::new(Hanging::default()));
        let hang = ask_many(&lookups, "hangs", TURNS);
        let (hung, found) = tokio::join!(hang, async {
            tokio::task::yield_now().await;
            let begun = tokio::time::Instant::now();
            (ask(&lookups, "works").await, begun.elapsed())
        });
        assert!(hung.iter().all(|answer| *answer == Err("not found")));
        assert!(found.0 == Ok(1) && found.1 <= TURN, "{found:?}");
        // They still hang, and others are looked up at once.
        let begun = tokio::time::Instant::now();
        assert!(ask_many(&lookups, "works", 10 * TURNS).await.iter().all(|answer| *answer == Ok(1)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(lookups.0.lock().under_way.len(), TURNS);
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_that_hang_take_a_bounded_number_of_threads_and_leave_some_for_known_names() {
        let resolver = Arc::new(Hanging::default());
        let lookups = Lookups::new(resolver.clone());
        assert_eq!(ask(&lookups, "known").await, Ok(1));
        let all = TURNS + OVERDUE_MAX;
        for nth in 0..5 {
            ask_many(&lookups, &format!("hangs{nth}-"), all).await;
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), all + 1);
        // Those that have not begun are forgotten with those who wanted them.
        while lookups.0.lock().under_way.len() > all {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&lookups, "new").await, Err("timed out"));
        let begun = tokio::time::Instant::now();
        assert_eq!((ask(&lookups, "known").await, begun.elapsed()), (Ok(1), Duration::ZERO));
        resolver.go_on.notify_waiters();
        assert_eq!(ask(&lookups, "new").await, Ok(1));
        while !lookups.0.lock().under_way.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_names_are_remembered_than_there_is_room_for() {
        let lookups = Lookups::new(Arc::new(Hanging::default()));
        for nth in 0..KNOWN_MAX + 10 {
            assert_eq!(ask(&lookups, &format!("works{nth}")).await, Ok(1));
        }
        assert_eq!(ask(&lookups, "unknown").await, Err("not found"));
        assert_eq!(lookups.0.lock().known.len(), KNOWN_MAX);
    }
}
