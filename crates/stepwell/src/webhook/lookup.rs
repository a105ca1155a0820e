//! Looks names up, few at a time.
//!
//! The system looks a name up on a thread that nobody can stop: when a receiver's name servers do not answer, the
//! attempt ends in time and its look-up does not. So one name takes one look-up, whoever asks for it and however often,
//! and all of them take a bounded number of threads until they have really ended.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, watch};

use crate::phase_fn::BoxFuture;

/// Look-ups under way at once: far fewer than the threads that the runtime has for what blocks.
const LOOKUPS_MAX: usize = 64;

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
    under_way: Mutex<HashMap<String, Arc<watch::Sender<Answer>>>>,
    permits: Semaphore,
}

impl Lookups {
    pub(super) fn new(resolver: Arc<dyn Resolve>) -> Self {
        let (under_way, permits) = (Mutex::default(), Semaphore::new(LOOKUPS_MAX));
        Self(Arc::new(Shared { resolver, under_way, permits }))
    }

    /// The addresses of a name; none if they could not be found.
    pub(super) async fn addresses(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        let mut answer = self.ask(name);
        let answer = answer.wait_for(Option::is_some).await.ok()?;
        answer.clone().flatten()
    }

    /// Joins the look-up of this name that is under way, or begins one.
    fn ask(&self, name: &str) -> watch::Receiver<Answer> {
        let mut under_way = self.0.lock();
        if let Some(answer) = under_way.get(name) {
            return answer.subscribe();
        }
        let (answer, receiver) = watch::channel(None);
        let answer = Arc::new(answer);
        under_way.insert(name.to_owned(), answer.clone());
        // Not part of the attempt: it goes on when the attempt has ended.
        tokio::spawn(look_up(self.0.clone(), name.to_owned(), answer));
        receiver
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<watch::Sender<Answer>>>> {
        // Nothing that can panic runs under the lock.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_up(shared: Arc<Shared>, name: String, answer: Arc<watch::Sender<Answer>>) {
    // Taken back also if the runtime ends, or the resolver panics.
    let entry = Entry { shared: &shared, name: &name };
    let permit = tokio::select! {
        permit = shared.permits.acquire() => permit,
        // Whoever wanted it has given up before it had its turn.
        () = answer.closed() => return,
    };
    let found = shared.resolver.resolve(name.clone()).await;
    drop(permit);
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
        self.shared.lock().remove(self.name);
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
    /// Asks as an attempt does: for a time.
    async fn ask(lookups: &Lookups, name: &str) -> Result<usize, &'static str> {
        let answer = tokio::time::timeout(Duration::from_secs(5), lookups.addresses(name)).await;
        answer.map_err(|_| "timed out")?.map(|found| found.len()).ok_or("not found")
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_hangs_takes_one_look_up_and_starves_nobody() {
        let resolver = Arc::new(Hanging::default());
        let lookups = Lookups::new(resolver.clone());
        for _ in 0..2 * LOOKUPS_MAX {
            assert_eq!(ask(&lookups, "hangs").await, Err("timed out"));
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
        assert_eq!(ask(&lookups, "works").await, Ok(1));
        assert_eq!(ask(&lookups, "unknown").await, Err("not found"));
        // When it has ended at last, it is asked anew.
        resolver.go_on.notify_waiters();
        while !lookups.0.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        resolver.go_on.notify_one();
        assert_eq!(ask(&lookups, "hangs").await, Ok(1));
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_that_hang_take_a_bounded_number_of_threads() {
        let resolver = Arc::new(Hanging::default());
        let lookups = Lookups::new(resolver.clone());
        let names: Vec<String> = (0..2 * LOOKUPS_MAX).map(|nth| format!("hangs{nth}")).collect();
        let all = names.iter().map(|name| ask(&lookups, name));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|answer| *answer == Err("timed out")));
        assert_eq!(resolver.asked.load(Ordering::SeqCst), LOOKUPS_MAX);
        // Those that have not begun are forgotten with those who wanted them.
        while lookups.0.lock().len() > LOOKUPS_MAX {
            tokio::task::yield_now().await;
        }
        resolver.go_on.notify_waiters();
        assert_eq!(ask(&lookups, "works").await, Ok(1));
        assert!(lookups.0.lock().is_empty());
    }
}
