//! What may be allowed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stepwell::Error;

macro_rules! scopes {
    ($($(#[doc = $doc:literal])* $Scope:ident = $text:literal;)+) => {
        /// What a token may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Scope {
            $($(#[doc = $doc])* $Scope,)+
        }
        impl Scope {
            /// Every scope.
            pub const ALL: &'static [Self] = &[$(Self::$Scope),+];
            /// The scope's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Scope => $text),+ }
            }
        }
    };
}
scopes! {
    /// See jobs, with their payloads, results and logs.
    JobsRead = "jobs:read";
    /// Create jobs.
    JobsEnqueue = "jobs:enqueue";
    /// Edit, cancel, retry, rerun and delete jobs, one by one and in bulk.
    JobsManage = "jobs:manage";
    /// See queues, kinds and statistics.
    QueuesRead = "queues:read";
    /// Pause and resume queues, and set their limits.
    QueuesManage = "queues:manage";
    /// Follow events.
    EventsRead = "events:read";
    /// See webhooks and deliveries.
    WebhooksRead = "webhooks:read";
    /// Make, change and delete webhooks, and replay deliveries.
    WebhooksManage = "webhooks:manage";
    /// Register as a worker, claim phases, and report on them.
    Workers = "workers";
    /// Read the metrics, and how the server is doing.
    Metrics = "metrics";
    /// Everything, tokens and the audit log included.
    Admin = "admin";
}

impl Scope {
    /// The scopes that change nothing.
    pub const READ_ONLY: [Self; 5] =
        [Self::JobsRead, Self::QueuesRead, Self::EventsRead, Self::WebhooksRead, Self::Metrics];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for Scope {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
            Error::invalid("scopes", format!("cannot hold {text:?}; the scopes are {}", known.join(", ")))
        })
    }
}
impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
impl utoipa::PartialSchema for Scope {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let names: Vec<&str> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(names))
            .description(Some("What a token may do."))
            .into()
    }
}
impl utoipa::ToSchema for Scope {}
