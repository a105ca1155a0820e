//! What is allowed to somebody.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use stepwell::{JobRecord, Name, Timestamp};

use super::Scope;
use crate::front::{Code, Problem};

/// What is allowed to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names them in the audit log, sets their idempotency keys apart from others', and counts their requests.
    pub who: Arc<str>,
    /// How people call them.
    pub name: Arc<str>,
    /// What they may do.
    pub scopes: BTreeSet<Scope>,
    /// In which queues only, if not in all.
    pub queues: Option<BTreeSet<Name>>,
    /// With jobs of which kinds only, if not with all.
    pub kinds: Option<BTreeSet<Name>>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    /// Everything.
    #[must_use]
    pub fn everything(who: &str) -> Self {
        Self::of(who, [Scope::Admin])
    }
    /// These scopes, in every queue and for every kind.
    #[must_use]
    pub fn of(who: &str, scopes: impl IntoIterator<Item = Scope>) -> Self {
        let (who, scopes) = (Arc::from(who), scopes.into_iter().collect());
        Self { name: Arc::clone(&who), who, scopes, queues: None, kinds: None, expires_at: None }
    }

    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&Scope::Admin) || self.scopes.contains(&scope)
    }
    pub(crate) fn is_limited(&self) -> bool {
        self.queues.is_some() || self.kinds.is_some()
    }
    pub(crate) fn covers(&self, queue: &str, kind: &str) -> bool {
        self.covers_queue(queue) && self.covers_kind(kind)
    }
    pub(crate) fn covers_queue(&self, queue: &str) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.contains(queue))
    }
    pub(crate) fn covers_kind(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }
    /// Whether a job is theirs to see: it is in one of their queues, or was put into one of them.
    pub(crate) fn covers_job(&self, job: &JobRecord) -> bool {
        self.covers(&job.queue, &job.kind) || self.covers(&job.home_queue, &job.kind)
    }
    /// Whether they may put a job there.
    pub(crate) fn expect(&self, queue: &str, kind: &str) -> Result<(), Problem> {
        let refused = |what: &str, name: &str| {
            Problem::new(Code::ForbiddenScope, format!("the token is not for the {what} {name:?}"))
        };
        if !self.covers_queue(queue) {
            return Err(refused("queue", queue));
        }
        if !self.covers_kind(kind) {
            return Err(refused("kind", kind));
        }
        Ok(())
    }
    /// Whether they may do what concerns every queue and kind at once.
    pub(crate) fn expect_unlimited(&self, what: &str) -> Result<(), Problem> {
        if !self.is_limited() {
            return Ok(());
        }
        let detail = format!("{what} takes a token that is not limited to queues or kinds");
        Err(Problem::new(Code::ForbiddenScope, detail))
    }
}

/// Who asks. It is there in every operation behind the guard.
pub(crate) struct Caller(pub(crate) Arc<Grant>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without the guard nobody may do anything: what is forgotten there is shut, not open.
        let grant = parts.extensions.get::<Arc<Grant>>().cloned();
        Ok(Self(grant.unwrap_or_else(|| Arc::new(Grant::of("nobody", [])))))
    }
}

/// Whoever asks may do what concerns every queue and kind at once. What is asked for is refused otherwise.
pub(crate) struct Unlimited;

impl<S: Sync> FromRequestParts<S> for Unlimited {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Caller(grant)) = Caller::from_request_parts(parts, state).await;
        grant.expect_unlimited("this").map(|()| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_grant_covers_what_it_names() {
        let mut grant = Grant::of("a", [Scope::JobsRead]);
        assert!(grant.covers("q", "k") && !grant.is_limited() && !grant.allows(Scope::JobsManage));
        grant.queues = Some(BTreeSet::from(["mail".into()]));
        assert!(grant.covers("mail", "k") && !grant.covers("q", "k"));
        grant.kinds = Some(BTreeSet::from(["send".into()]));
        assert!(grant.covers("mail", "send") && !grant.covers("mail", "k"));
        assert!(grant.expect("mail", "k").is_err() && grant.expect_unlimited("it").is_err());
        assert!(Grant::everything("a").allows(Scope::JobsManage));
    }
}
