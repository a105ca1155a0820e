//! Small durable records, for what is built on top: access tokens, saved views, an audit log.

use stepwell_core::{
    Json, Name, Result,
    setting::{Expected, PutSetting, Setting, Settings, SettingsRequest},
};

use crate::client::Stepwell;

/// Small durable records beside the jobs, by scope and key. Scopes that begin with `stepwell.` are Stepwell's own.
///
/// ```
/// # async fn example(stepwell: stepwell::Stepwell) -> stepwell::Result<()> {
/// use stepwell::{Expected, Json};
///
/// let records = stepwell.records("my.views");
/// let version = records.put("late", Some(Json::of("state=failed")?), Expected::Absent).await?;
/// records.put("late", None, Expected::Version(version)).await?;
/// # Ok(()) }
/// ```
pub struct Records<'s> {
    pub(crate) stepwell: &'s Stepwell,
    pub(crate) scope: Name,
}

impl Stepwell {
    /// The small records of a scope.
    pub fn records(&self, scope: impl Into<Name>) -> Records<'_> {
        Records { stepwell: self, scope: scope.into() }
    }
}

impl Records<'_> {
    /// A record.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn get(&self, key: &str) -> Result<Option<Setting>> {
        self.stepwell.engine.store.setting(self.scope.clone(), key.to_owned()).await
    }
    /// Writes a record, or removes it, and answers with its version.
    ///
    /// # Errors
    /// If there is something else than was expected ([`Error::is_version_mismatch`](crate::Error)); if a limit is
    /// broken; or if the store fails.
    pub async fn put(&self, key: &str, value: Option<Json>, expected: Expected) -> Result<u64> {
        let put = PutSetting { scope: self.scope.clone(), key: key.to_owned(), value, expected };
        let versions = self.stepwell.engine.store.put_settings(vec![put]).await?;
        Ok(versions.first().copied().unwrap_or(0))
    }
    /// A page of records, in the order of their keys: those that begin with `prefix`, after a key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        descending: bool,
        limit: usize,
    ) -> Result<Settings> {
        let (scope, prefix) = (self.scope.clone(), prefix.to_owned());
        self.stepwell.engine.store.settings(SettingsRequest { scope, prefix, after, descending, limit }).await
    }
}
