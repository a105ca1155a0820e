//! Takes in how attempts go, and disables an endpoint for which nothing has gone well for too long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use stepwell_core::{
    Json, Result, Timestamp,
    setting::{Expected, PutSetting},
    store::Store,
    webhook::{ENDPOINTS, ENDPOINTS_MAX},
};

use super::{
    endpoint::{self, DisabledReason},
    health::{SCOPE, Stored, WRITE_INTERVAL},
};

/// How often a record is decided on anew when another process was faster.
const TRIES: usize = 3;

/// What this process has seen and written of its endpoints.
pub(super) struct Pulse {
    store: Arc<dyn Store>,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    written_at: Timestamp,
    failing: bool,
}

impl Pulse {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, seen: Mutex::default() }
    }

    /// Takes in how an attempt ended. Answers why the endpoint was disabled, if it was.
    ///
    /// Written when something changes, and otherwise once a minute, so that a busy endpoint costs nothing.
    pub(super) async fn note(
        &self,
        endpoint: &str,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<DisabledReason>> {
        let fresh =
            |seen: &Seen| seen.failing == error.is_some() && now.since(seen.written_at) < WRITE_INTERVAL;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.get(endpoint).is_some_and(fresh) {
                return Ok(None);
            }
            if seen.len() > 2 * ENDPOINTS_MAX {
                // Of endpoints that have been deleted. What is still needed is read again.
                seen.clear();
            }
            seen.insert(endpoint.to_owned(), Seen { written_at: now, failing: error.is_some() });
        }
        for _ in 0..TRIES {
            let found = self.store.setting(SCOPE.into(), endpoint.to_owned()).await?;
            let mut health =
                found.as_ref().map_or_else(|| Ok(Stored::default()), |found| Stored::read(&found.value))?;
            health.note(error, now);
            let expected = found.map_or(Expected::Absent, |found| Expected::Version(found.version));
            let value = Some(Json::of(&health)?);
            let put = PutSetting { scope: SCOPE.into(), key: endpoint.to_owned(), value, expected };
            match self.store.put_settings(vec![put]).await {
                Err(error) if error.is_version_mismatch() => {}
                Err(error) => return Err(error),
                Ok(_) if error.is_some() && health.is_hopeless(now) => {
                    return self.disable(endpoint, DisabledReason::Failing, now).await;
                }
                Ok(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Disables an endpoint, unless it is disabled or gone. Answers why it is, if that was done here.
    pub(super) async fn disable(
        &self,
        id: &str,
        reason: DisabledReason,
        now: Timestamp,
    ) -> Result<Option<DisabledReason>> {
        for _ in 0..TRIES {
            let Some(setting) = self.store.setting(ENDPOINTS.into(), id.to_owned()).await? else {
                return Ok(None);
            };
            let mut stored = endpoint::Stored::read(&setting.value)?;
            if !stored.is_enabled() {
                return Ok(None);
            }
            stored.disable(reason, now);
            let (value, expected) = (Some(Json::of(&stored)?), Expected::Version(setting.version));
            let put = PutSetting { scope: ENDPOINTS.into(), key: id.to_owned(), value, expected };
            match self.store.put_settings(vec![put]).await {
                Err(error) if error.is_version_mismatch() => {}
                answer => return answer.map(|_| Some(reason)),
            }
        }
        Ok(None)
    }
}
