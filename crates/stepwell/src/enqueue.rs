//! A job about to be enqueued.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    time::{Duration, SystemTime},
};

use stepwell_core::{
    Error, JobId, Json, Name, OnConflict, Result, Unique, limits,
    machine::{NewJob, Once},
    schedule::When,
    webhook::JobWebhook,
};

use crate::{client::Stepwell, handle::JobHandle, job::Job};

/// How urgent a job is: the higher runs first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub i16);

impl Priority {
    /// After what is normal.
    pub const LOW: Self = Self(-100);
    /// What a job has unless set.
    pub const NORMAL: Self = Self(0);
    /// Before what is normal.
    pub const HIGH: Self = Self(100);
}

/// The type of jobs whose kind is not known at compile time.
#[derive(Clone, Copy, Debug)]
pub enum Untyped {}

/// A job about to be enqueued. Await it, or write it inside your own transaction.
#[must_use = "nothing is enqueued until this is awaited or written into a transaction"]
pub struct Enqueue<'s, J> {
    pub(crate) stepwell: &'s Stepwell,
    pub(crate) new: Result<NewJob>,
    job: PhantomData<fn() -> J>,
}

impl<'s, J> Enqueue<'s, J> {
    pub(crate) fn new(stepwell: &'s Stepwell, kind: Name, payload: Result<Json>) -> Self {
        let id = stepwell.engine.entropy.job_id(stepwell.clock().now());
        let new = payload.map(|payload| NewJob::new(id, kind, payload));
        Self { stepwell, new, job: PhantomData }
    }
    fn set(mut self, change: impl FnOnce(&mut NewJob)) -> Self {
        if let Ok(new) = &mut self.new {
            change(new);
        }
        self
    }

    /// Its id; a fresh one unless set. A second job with an id that exists is refused.
    pub fn id(self, id: JobId) -> Self {
        self.set(|new| new.id = id)
    }
    /// How urgent it is.
    pub fn priority(self, priority: Priority) -> Self {
        self.set(|new| new.priority = priority.0)
    }
    /// Not before this time. Accepts `SystemTime`, and whatever your date library converts into it.
    pub fn run_at(self, at: impl Into<SystemTime>) -> Self {
        let at = at.into().into();
        self.set(|new| new.when = When::At(at))
    }
    /// Not before so long from now, by the store's clock.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|new| new.when = When::After(delay))
    }
    /// If no worker has taken it so long from now, it fails as expired.
    pub fn expires_in(self, after: Duration) -> Self {
        self.set(|new| new.expires = Some(When::After(after)))
    }
    /// If no worker has taken it by then, it fails as expired.
    pub fn expires_at(self, at: impl Into<SystemTime>) -> Self {
        let at = at.into().into();
        self.set(|new| new.expires = Some(When::At(at)))
    }
    /// What makes it the same as another; then there is no second one, and the handle is the first one's.
    pub fn unique(self, unique: Unique) -> Self {
        self.set(|new| new.unique = Some(unique))
    }
    /// What happens if [`unique`](Self::unique) matches a job that there is: the answer is that job, unless set. It is
    /// decided in the commit that answers, and with [`once`](Self::once) a request that comes again is answered as it
    /// was, and changes nothing.
    ///
    /// ```
    /// # use stepwell::{Job, OnConflict, Stepwell, Unique};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Digest { user: u64, news: u32 }
    /// # impl Job for Digest { const KIND: &'static str = "digest"; type Output = (); }
    /// # async fn example(stepwell: Stepwell) -> stepwell::Result<()> {
    /// // While the digest waits to be sent, the newest one counts.
    /// let digest = Digest { user: 7, news: 3 };
    /// stepwell.enqueue(digest).unique(Unique::key(7)).on_conflict(OnConflict::Replace).await?;
    /// # Ok(()) }
    /// ```
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        self.set(|new| new.on_conflict = on_conflict)
    }
    /// Refuses the job, whatever [`on_conflict`](Self::on_conflict) says, if its unique key stands for one that is in
    /// none of these queues, and was put into none of them: for whoever may use these queues only.
    pub fn unique_in(self, queues: impl IntoIterator<Item = Name>) -> Self {
        let queues = queues.into_iter().collect();
        self.set(|new| new.unique_in = Some(queues))
    }
    /// Its queue: `default` unless set.
    pub fn queue(self, queue: impl Into<Name>) -> Self {
        let queue = queue.into();
        self.set(|new| new.queue = Some(queue))
    }
    /// A word to find it by. May be called several times.
    pub fn tag(self, tag: impl Into<Name>) -> Self {
        let tag = tag.into();
        self.set(|new| new.tags.push(tag))
    }
    /// A key and value to find it by. May be called several times.
    pub fn attribute(self, key: impl Into<Name>, value: impl ToString) -> Self {
        let (key, value) = (key.into(), value.to_string());
        self.set(|new| drop(new.attributes.insert(key, value)))
    }
    /// A webhook of its own, which is told of its end, whatever becomes of this process.
    ///
    /// Where it may go, and what a secret looks like, is checked if the feature `webhooks` is enabled.
    pub fn webhook(self, webhook: JobWebhook) -> Self {
        #[cfg(feature = "webhooks")]
        if let Err(error) = self.stepwell.engine.webhooks.check_of_job(&webhook) {
            return Self { new: self.new.and(Err(error)), ..self };
        }
        self.set(|new| new.webhook = Some(webhook))
    }
    /// Makes this request count once: sent again within a day under the same key, it is answered with the same job
    /// ([`JobHandle::is_replayed`]), also when that job has gone. The fingerprint tells requests apart: the same key
    /// with another one is an error.
    ///
    /// It is not the same as [`unique`](Self::unique), which says that two jobs mean the same.
    pub fn once(self, key: impl Into<String>, fingerprint: impl Into<String>) -> Self {
        let once = Once { key: key.into(), fingerprint: fingerprint.into() };
        self.set(|new| new.once = Some(once))
    }
    /// How often in a row its worker may die before it is given up as poisoned: 5 unless set.
    pub fn max_crashes(self, crashes: u32) -> Self {
        self.set(|new| new.max_crashes = Some(crashes))
    }
}

impl<'s, J: 'static> IntoFuture for Enqueue<'s, J> {
    type Output = Result<JobHandle<J>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 's>>;
    fn into_future(self) -> Self::IntoFuture {
        let Self { stepwell, new, .. } = self;
        Box::pin(async move {
            let answers = stepwell.engine.store.enqueue(vec![new?]).await?;
            let enqueued = answers.into_iter().next().unwrap_or_else(|| Err(Error::closed()))?;
            Ok(JobHandle::of(stepwell.clone(), enqueued))
        })
    }
}

/// Several jobs about to be enqueued in one commit.
#[must_use = "nothing is enqueued until this is awaited"]
pub struct EnqueueMany<'s, J: Job> {
    stepwell: &'s Stepwell,
    jobs: Result<Vec<(J, NewJob)>>,
}

impl<'s, J: Job> EnqueueMany<'s, J> {
    pub(crate) fn new(stepwell: &'s Stepwell, jobs: impl IntoIterator<Item = J>) -> Self {
        let now = stepwell.clock().now();
        let jobs = jobs.into_iter().map(|job| {
            let new = NewJob::new(stepwell.engine.entropy.job_id(now), J::KIND, Json::of(&job)?);
            Ok((job, new))
        });
        Self { stepwell, jobs: jobs.collect() }
    }
    /// Sets options of each job, given the job: its unique key, say.
    ///
    /// ```
    /// # use stepwell::{Job, Priority, Stepwell, Unique};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Index { path: String }
    /// # impl Job for Index { const KIND: &'static str = "index"; type Output = (); }
    /// # async fn example(stepwell: Stepwell, files: Vec<Index>) -> stepwell::Result<()> {
    /// stepwell
    ///     .enqueue_many(files)
    ///     .each(|file, enqueue| enqueue.unique(Unique::key(&file.path)).priority(Priority::LOW))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn each(mut self, mut options: impl FnMut(&J, Enqueue<'s, J>) -> Enqueue<'s, J>) -> Self {
        let stepwell = self.stepwell;
        self.jobs = self.jobs.and_then(|jobs| {
            let with_options = |(job, new): (J, NewJob)| {
                let new = options(&job, Enqueue { stepwell, new: Ok(new), job: PhantomData }).new?;
                Ok((job, new))
            };
            jobs.into_iter().map(with_options).collect()
        });
        self
    }
}

impl<'s, J: Job> IntoFuture for EnqueueMany<'s, J> {
    /// A handle for each job, in order; or the first error. What was valid is stored all the same when others were
    /// refused, so that each answer is told apart.
    type Output = Result<Vec<Result<JobHandle<J>>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 's>>;
    fn into_future(self) -> Self::IntoFuture {
        let Self { stepwell, jobs } = self;
        // Only the requests go on: the jobs themselves need not be `Send` across the wait.
        let news = jobs.map(|jobs| jobs.into_iter().map(|(_, new)| new).collect::<Vec<_>>());
        Box::pin(async move {
            let news = news?;
            if news.len() > limits::ENQUEUE_BATCH_MAX {
                let problem =
                    format!("are {}, the limit of one call is {}", news.len(), limits::ENQUEUE_BATCH_MAX);
                return Err(Error::invalid("jobs", problem));
            }
            let answers = stepwell.engine.store.enqueue(news).await?;
            let handle = |answer: Result<stepwell_core::store::Enqueued>| {
                answer.map(|enqueued| JobHandle::of(stepwell.clone(), enqueued))
            };
            Ok(answers.into_iter().map(handle).collect())
        })
    }
}
