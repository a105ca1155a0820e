//! The part of an address that names something.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::Problem;

/// What the address names. There is one name in it.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if !name.contains('\0') => Ok(Self(name)),
            // What cannot be a name names nothing.
            _ => Err(Problem::not_found("thing")),
        }
    }
}
