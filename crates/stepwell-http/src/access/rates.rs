//! How often somebody may ask.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::front::{Code, Problem};

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Callers that are counted at once.
const CALLERS_MAX: usize = 10_000;

/// One count for each caller.
pub(crate) struct Rates {
    quota: Option<(u32, Quota)>,
    limiters: Mutex<HashMap<Arc<str>, Arc<Limiter>>>,
}

/// How a request was counted.
pub(crate) struct Counted {
    per_minute: u32,
    left: u32,
}

impl Rates {
    pub(crate) fn new(per_minute: Option<u32>) -> Self {
        let quota = per_minute.and_then(NonZeroU32::new).map(|n| (n.get(), Quota::per_minute(n)));
        Self { quota, limiters: Mutex::default() }
    }
    /// Counts a request.
    ///
    /// # Errors
    /// That there were too many, and when the next may come.
    pub(crate) fn count(&self, who: &Arc<str>) -> Result<Option<Counted>, Problem> {
        let Some((per_minute, quota)) = self.quota else { return Ok(None) };
        let limiter = {
            // Nothing that can panic runs under the lock.
            let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
            if limiters.len() >= CALLERS_MAX && !limiters.contains_key(who) {
                // Whoever is forgotten begins anew, which is to their advantage.
                limiters.clear();
            }
            let fresh =
                || Arc::new(RateLimiter::direct(quota).with_middleware::<StateInformationMiddleware>());
            limiters.entry(who.clone()).or_insert_with(fresh).clone()
        };
        match limiter.check() {
            Ok(snapshot) => Ok(Some(Counted { per_minute, left: snapshot.remaining_burst_capacity() })),
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let detail = format!("the limit is {per_minute} requests a minute for one token");
                let wait = wait.max(Duration::from_millis(1));
                Err(Problem::new(Code::RateLimited, detail).retry_after(wait))
            }
        }
    }
}

impl Counted {
    /// Tells the caller, in the form of draft-ietf-httpapi-ratelimit-headers.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Self { per_minute, left } = self;
        let refill = (per_minute - left.min(per_minute)) * 60 / (*per_minute).max(1);
        for (name, value) in [
            ("ratelimit-policy", format!("\"default\";q={per_minute};w=60")),
            ("ratelimit", format!("\"default\";r={left};t={refill}")),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}
