//! The threads on which blocking phases run.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

type Task = Box<dyn FnOnce() + Send>;

/// A bounded pool. A call that its caller has given up on no longer counts: its thread is replaced, as long as no more
/// threads are lost in this way than the pool has places.
#[derive(Clone)]
pub(crate) struct BlockingPool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    places: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    threads: usize,
    idle: usize,
    abandoned: usize,
    closed: bool,
}

/// What a panicking function left behind.
pub(crate) type Panic = Box<dyn Any + Send>;

impl BlockingPool {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), places: places.max(1) }))
    }

    /// Runs a function on a thread of the pool.
    ///
    /// If the future is dropped before the function has begun, it never begins; if it has, it is abandoned.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panic> {
        let (answer, answered) = oneshot::channel();
        let call = Arc::new(Mutex::new(Call::Waiting));
        let mut guard = Guard { pool: self.clone(), call: call.clone(), armed: true };
        let pool = self.clone();
        self.submit(Box::new(move || {
            {
                let mut call = lock(&call);
                if *call == Call::Abandoned {
                    return;
                }
                *call = Call::Running;
            }
            let outcome = catch_unwind(AssertUnwindSafe(function));
            let was = std::mem::replace(&mut *lock(&call), Call::Done);
            if was == Call::Abandoned {
                pool.0.lock().abandoned -= 1;
            }
            // Nobody listens if the call was abandoned.
            drop(answer.send(outcome));
        }));
        let outcome = answered.await;
        guard.armed = false;
        outcome.unwrap_or_else(|_| Err(Box::new("the blocking pool was closed")))
    }

    /// How many functions run although their callers have given up on them.
    pub(crate) fn abandoned(&self) -> usize {
        self.0.lock().abandoned
    }
    /// Lets idle threads go, and takes no more work.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.waiting.clear();
        self.0.work.notify_all();
    }

    fn submit(&self, task: Task) {
        let mut state = self.0.lock();
        if state.closed {
            return;
        }
        state.waiting.push_back(task);
        self.grow(state);
    }
    fn grow(&self, mut state: MutexGuard<'_, State>) {
        let replaced = state.abandoned.min(self.0.places);
        if state.idle >= state.waiting.len() {
            self.0.work.notify_one();
        } else if state.threads < self.0.places + replaced {
            let shared = self.0.clone();
            let spawned =
                thread::Builder::new().name("stepwell-blocking".into()).spawn(move || shared.work());
            match spawned {
                Ok(_) => state.threads += 1,
                // The machine has no thread to give. Those there are go on with the work; if there are none, the
                // callers are told.
                Err(_) if state.threads == 0 => state.waiting.clear(),
                Err(_) => {}
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Waiting,
    Running,
    Abandoned,
    Done,
}

struct Guard {
    pool: BlockingPool,
    call: Arc<Mutex<Call>>,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let mut call = lock(&self.call);
        let was = std::mem::replace(&mut *call, Call::Abandoned);
        if was == Call::Running {
            let mut state = self.pool.0.lock();
            state.abandoned += 1;
            self.pool.grow(state);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.waiting.pop_front() {
                drop(state);
                task();
                state = self.lock();
            } else if state.closed || state.threads > self.places + state.abandoned.min(self.places) {
                break;
            } else {
                state.idle += 1;
                let (woken, waited) =
                    self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                if waited.timed_out() && state.waiting.is_empty() {
                    break;
                }
            }
        }
        state.threads -= 1;
    }
}

/// No lock of the pool is ever held while foreign code runs, so that a poisoned one still holds sound data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn it_answers_and_survives_a_panic() {
        let pool = BlockingPool::new(1);
        assert_eq!(pool.run(|| 1 + 1).await.ok(), Some(2));
        assert!(pool.run(|| panic!("planted")).await.is_err());
        assert_eq!(pool.run(|| 3).await.ok(), Some(3));
    }

    #[tokio::test]
    async fn an_abandoned_thread_is_replaced_within_the_bound() {
        let pool = BlockingPool::new(1);
        let (begun, has_begun) = mpsc::channel();
        let (let_go, gate) = mpsc::channel::<()>();
        let stuck = pool.run(move || {
            begun.send(()).unwrap();
            gate.recv().ok();
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), stuck).await.is_err());
        has_begun.recv().unwrap();
        assert_eq!(pool.abandoned(), 1);
        assert_eq!(pool.run(|| 4).await.ok(), Some(4), "on a replacement");
        drop(let_go);
        while pool.abandoned() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_call_dropped_before_it_began_never_begins() {
        let pool = BlockingPool::new(1);
        let (let_go, gate) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || gate.recv().is_err()).await.ok() }
        });
        tokio::task::yield_now().await;
        let (ran, has_run) = mpsc::channel();
        let second = pool.run(move || ran.send(()).unwrap());
        assert!(tokio::time::timeout(Duration::from_millis(20), second).await.is_err());
        drop(let_go);
        assert_eq!(first.await.unwrap(), Some(true));
        assert_eq!(pool.run(|| 5).await.ok(), Some(5));
        assert!(has_run.try_recv().is_err());
    }
}
