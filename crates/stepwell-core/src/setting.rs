//! Small durable records of the layers above the jobs: webhook endpoints, access tokens, the audit log.
//!
//! A store keeps them without knowing what they are: a value under a scope and a key, with a version to compare.

use crate::{error::Error, json::Json, limits, name::Name, time::Timestamp};

/// The scope under which is kept what requests with an idempotency key have made, if that was a record. A key is kept
/// for [`limits::IDEMPOTENCY_KEPT`].
pub const MADE_ONCE: &str = "stepwell.once.records";

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What kind of record it is. Records are listed scope by scope.
    pub scope: Name,
    /// Its key within the scope. Records are listed in the order of their keys, byte by byte.
    pub key: String,
    /// Changes with every write, and never repeats within the scope.
    pub version: u64,
    /// When it was written last.
    pub at: Timestamp,
    /// The record itself.
    pub value: Json,
}

/// What a writer has seen before it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// It does not matter.
    #[default]
    Anything,
    /// There is no such record.
    Absent,
    /// The record has this version.
    Version(u64),
}

/// A write of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSetting {
    /// The scope.
    pub scope: Name,
    /// The key.
    pub key: String,
    /// The value; none removes the record.
    pub value: Option<Json>,
    /// What must be there for the write to happen.
    pub expected: Expected,
}

/// Which records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsRequest {
    /// The scope.
    pub scope: Name,
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one; before it if the order is descending.
    pub after: Option<String>,
    /// Whether the last key comes first.
    pub descending: bool,
    /// How many; at most [`limits::PAGE_MAX`].
    pub limit: usize,
}

impl SettingsRequest {
    /// The first page of a scope.
    #[must_use]
    pub fn of(scope: impl Into<Name>) -> Self {
        Self {
            scope: scope.into(),
            prefix: String::new(),
            after: None,
            descending: false,
            limit: limits::PAGE_MAX,
        }
    }
    /// The limit, kept within its bounds.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.clamp(1, limits::PAGE_MAX)
    }
}

/// A page of records, and how often the scope has been written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The records.
    pub items: Vec<Setting>,
    /// Rises with every write to the scope. Two readings with the same revision have seen the same records.
    pub revision: u64,
}

impl PutSetting {
    /// Whether the record keeps within the limits.
    ///
    /// # Errors
    /// What breaks a rule.
    pub fn check(&self) -> Result<(), Error> {
        crate::name::check("scope", &self.scope)?;
        crate::machine::check_key("key", &self.key)?;
        let bytes = self.value.as_ref().map_or(0, Json::bytes);
        if bytes > limits::SETTING_BYTES_MAX {
            let problem = format!("is {bytes} bytes long, the limit is {}", limits::SETTING_BYTES_MAX);
            return Err(Error::invalid("value", problem));
        }
        match self.value.as_ref().and_then(|value| value.problem(limits::JSON_DEPTH_MAX)) {
            Some(problem) => Err(Error::invalid("value", problem)),
            None => Ok(()),
        }
    }
    /// Whether what is there is what the writer expects.
    ///
    /// # Errors
    /// That it has changed, with the version that it has now: 0 if there is no record.
    pub fn compare(&self, found: Option<u64>) -> Result<(), Error> {
        match (self.expected, found) {
            (Expected::Anything, _) | (Expected::Absent, None) => Ok(()),
            (Expected::Version(version), Some(found)) if version == found => Ok(()),
            (_, found) => Err(Error::version_mismatch(found.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(expected: Expected) -> PutSetting {
        PutSetting { scope: "s".into(), key: "k".into(), value: Some(Json::null()), expected }
    }

    #[test]
    fn a_write_happens_only_on_what_was_expected() {
        for (expected, found, happens) in [
            (Expected::Anything, None, true),
            (Expected::Anything, Some(3), true),
            (Expected::Absent, None, true),
            (Expected::Absent, Some(3), false),
            (Expected::Version(3), Some(3), true),
            (Expected::Version(3), Some(4), false),
            (Expected::Version(3), None, false),
        ] {
            assert_eq!(put(expected).compare(found).is_ok(), happens, "{expected:?} on {found:?}");
        }
    }

    #[test]
    fn a_record_has_limits() {
        let mut long = put(Expected::Anything);
        long.value = Json::of(&"x".repeat(limits::SETTING_BYTES_MAX)).ok();
        assert_eq!(long.check().unwrap_err().field(), Some("value"));
        let long = PutSetting { key: "k".repeat(limits::KEY_BYTES_MAX + 1), ..put(Expected::Anything) };
        assert_eq!(long.check().unwrap_err().field(), Some("key"));
        put(Expected::Anything).check().unwrap();
    }
}
