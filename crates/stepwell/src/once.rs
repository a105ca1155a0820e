//! Records that a request makes once, however often it is sent.
//!
//! Jobs have the same in the store. For a record, what the request has made is written down in the very commit that
//! makes it: of two requests with one key that come at once, one makes the record, and the other is told of it.

use serde::{Deserialize, Serialize};
use stepwell_core::{
    Error, Json, Result, limits,
    setting::{Expected, MADE_ONCE, PutSetting, Setting},
};

use crate::records::Records;

/// How often it is tried when somebody else was faster. Then there is an answer, unless that has just ended.
const TRIES: usize = 5;

/// A record that a request asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its key.
    pub key: String,
    /// Whether it was made before, by a request with the same idempotency key. It may have been changed or removed
    /// since.
    pub is_replayed: bool,
}

/// What a request has made.
#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    made: String,
}

impl Records<'_> {
    /// Makes a record, unless a request with the same idempotency key has made one within 24 hours: then that one is
    /// the answer. `once` is the key, and what tells requests with the same key apart.
    ///
    /// # Errors
    /// If another request had the key ([`Error::is_idempotency_mismatch`]); if there is a record already under `key`
    /// ([`Error::is_version_mismatch`]); if a limit is broken; or if the store fails.
    pub async fn make(&self, key: &str, value: Json, once: Option<(String, String)>) -> Result<Made> {
        let made = Made { key: key.to_owned(), is_replayed: false };
        let Some((once, fingerprint)) = once else {
            return self.put(key, Some(value), Expected::Absent).await.map(|_| made);
        };
        let kept = Json::of(&Kept { fingerprint: fingerprint.clone(), made: key.to_owned() })?;
        for nth in 1.. {
            let found = self.kept(&once).await?;
            if let Some(before) = self.replay(found.as_ref(), &fingerprint)? {
                return Ok(before);
            }
            let expected = found.map_or(Expected::Absent, |found| Expected::Version(found.version));
            let record = PutSetting {
                scope: self.scope.clone(),
                key: key.to_owned(),
                value: Some(value.clone()),
                expected: Expected::Absent,
            };
            let note = PutSetting {
                scope: MADE_ONCE.into(),
                key: self.key_of(&once),
                value: Some(kept.clone()),
                expected,
            };
            match self.stepwell.engine.store.put_settings(vec![record, note]).await {
                Err(error) if error.is_version_mismatch() && nth < TRIES => {}
                answer => return answer.map(|_| made),
            }
        }
        Ok(made)
    }
    /// What a request with this idempotency key has made, if it has made anything.
    ///
    /// # Errors
    /// If another request had the key ([`Error::is_idempotency_mismatch`]), or the store fails.
    pub async fn made(&self, (once, fingerprint): &(String, String)) -> Result<Option<Made>> {
        self.replay(self.kept(once).await?.as_ref(), fingerprint)
    }

    async fn kept(&self, once: &str) -> Result<Option<Setting>> {
        self.stepwell.engine.store.setting(MADE_ONCE.into(), self.key_of(once)).await
    }
    /// The same key may stand for one record of each scope.
    fn key_of(&self, once: &str) -> String {
        format!("{}:{once}", self.scope)
    }
    fn replay(&self, found: Option<&Setting>, fingerprint: &str) -> Result<Option<Made>> {
        let now = self.stepwell.clock().now();
        let Some(found) = found.filter(|found| found.at + limits::IDEMPOTENCY_KEPT > now) else {
            return Ok(None);
        };
        let kept: Kept = found.value.decode()?;
        match kept.fingerprint == fingerprint {
            true => Ok(Some(Made { key: kept.made, is_replayed: true })),
            false => Err(Error::idempotency_mismatch()),
        }
    }
}
