//! How an application decides who somebody is.

use std::{fmt, sync::Arc};

use http::{HeaderMap, header, request::Parts};

use super::Grant;
use crate::{
    front::{Code, Problem},
    hub::Hub,
};

/// Who may do what. There is no default: choose one.
#[derive(Clone)]
pub struct Access(pub(super) Policy);

#[derive(Clone)]
pub(super) enum Policy {
    Tokens,
    Unrestricted,
    Custom(Arc<Decide>),
}

type Decide = dyn Fn(&Parts) -> Result<Grant, Refusal> + Send + Sync;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not known who they are.
    Unknown,
    /// It is known, and they may do nothing here.
    Forbidden,
}

impl Access {
    /// Whoever has a token of this store, within the token's scopes.
    #[must_use]
    pub fn tokens() -> Self {
        Self(Policy::Tokens)
    }
    /// Everybody who can reach the router may do everything, and see every payload: for a loopback address on a machine
    /// without other users, or behind an application's own check.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self(Policy::Unrestricted)
    }
    /// Whatever the application decides on the head of a request, which it may have marked before: with a session in
    /// its extensions, say.
    pub fn by(decide: impl Fn(&Parts) -> Result<Grant, Refusal> + Send + Sync + 'static) -> Self {
        Self(Policy::Custom(Arc::new(decide)))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Policy::Tokens => "Access::tokens()",
            Policy::Unrestricted => "Access::unrestricted()",
            Policy::Custom(_) => "Access::by(..)",
        })
    }
}

impl Hub {
    /// Who sends this request.
    pub(super) async fn who(&self, parts: &Parts) -> Result<Arc<Grant>, Problem> {
        let unknown = |detail: &str| Problem::new(Code::Unauthenticated, detail);
        match &self.access.0 {
            Policy::Unrestricted => Ok(Arc::new(Grant::everything("everybody"))),
            Policy::Custom(decide) => match decide(parts) {
                Ok(grant) => Ok(Arc::new(grant)),
                Err(Refusal::Unknown) => Err(unknown("it is not known who sends this request")),
                Err(Refusal::Forbidden) => {
                    Err(Problem::new(Code::ForbiddenScope, "whoever sends this request may do nothing here"))
                }
            },
            Policy::Tokens => {
                let Some(text) = bearer(&parts.headers) else {
                    return Err(unknown("the request has no `Authorization: Bearer` header with a token"));
                };
                // One answer for all reasons: it tells nobody which ids exist.
                let found = self.tokens.grant(text).await?;
                found
                    .map(Arc::new)
                    .ok_or_else(|| unknown("the token does not exist, has ended, or was revoked"))
            }
        }
    }
    /// Whether somebody who was let in before would be let in now.
    pub(crate) async fn is_still_good(&self, grant: &Grant) -> bool {
        if grant.expires_at.is_some_and(|end| end <= self.stepwell.clock().now()) {
            return false;
        }
        match self.access.0 {
            // A store that does not answer now is no reason to cut everybody off.
            Policy::Tokens => self.tokens.is_good(&grant.who).await.unwrap_or(true),
            Policy::Unrestricted | Policy::Custom(_) => true,
        }
    }
    pub(super) fn is_restricted(&self) -> bool {
        !matches!(self.access.0, Policy::Unrestricted)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let text = values.next()?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}
