//! Processes that left their group and outlived their try.
//!
//! The group is killed when a try ends. What left it can still be found by its marks, which takes a look at every
//! process of the machine, some 20 µs each. So one look serves all tries that have ended within a second.

use std::{
    collections::HashSet,
    io,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    marks::{self, Marked, Marks, Try},
    strays,
};

/// The time from the end of a try to the look that follows it.
const PAUSE: Duration = Duration::from_secs(1);

/// The tries of this process.
static TRIES: LazyLock<Mutex<Tries>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Tries {
    /// Those under way.
    under_way: HashSet<Try>,
    /// Whether some have ended since the last look began.
    have_ended: bool,
    /// Whether somebody is going to look.
    is_looked_for: bool,
}

fn lock() -> MutexGuard<'static, Tries> {
    // Nothing that can panic runs under the lock.
    TRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A try under way: what has its marks may run.
pub(super) struct UnderWay(Try);

impl UnderWay {
    /// Must be there before the child is.
    pub(super) fn begin(marks: Marked) -> Self {
        let Marked { try_of, .. } = marks;
        lock().under_way.insert(try_of.clone());
        Self(try_of)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut tries = lock();
        tries.under_way.remove(&self.0);
        tries.have_ended = true;
        if std::mem::replace(&mut tries.is_looked_for, true) {
            return;
        }
        drop(tries);
        match super::thread::handle() {
            Ok(thread) => drop(thread.spawn(look())),
            // Nothing was started then.
            Err(_) => lock().is_looked_for = false,
        }
    }
}

async fn look() {
    loop {
        tokio::time::sleep(PAUSE).await;
        lock().have_ended = false;
        let ended = tokio::task::spawn_blocking(sweep).await.map_err(io::Error::other).flatten();
        match ended {
            Ok(0) => {}
            Ok(ended) => {
                tracing::warn!(
                    ended,
                    "processes had left their group and outlived their phase; they were ended"
                );
            }
            Err(error) => tracing::warn!(%error, "failed to look for processes that outlived their phase"),
        }
        let mut tries = lock();
        if !tries.have_ended {
            tries.is_looked_for = false;
            return;
        }
    }
}

/// Kills what this process has started for tries that are no longer under way.
fn sweep() -> io::Result<usize> {
    let own = marks::own()?;
    // Whoever has the marks of a try was started after that was under way, so that it is looked up now, and not before.
    let is_over = |marks: &Marks<'_>| marks.try_of().is_some_and(|it| !lock().under_way.contains(&it));
    strays::kill_all(|marks| marks.parent == own && is_over(marks))
}
