//! Versions of single resources, as ETags.

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use super::{Code, Problem};

/// The ETag of a version.
pub(crate) fn etag(version: u64) -> HeaderValue {
    // Digits and quotes are always a header's value.
    HeaderValue::try_from(format!("\"v{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"v0\""))
}

/// What the request makes depend on the version: `If-Match` and `If-None-Match`.
pub(crate) struct Condition {
    /// The version that the caller has seen, and wants to change.
    pub(crate) only_at: Option<u64>,
    /// Versions that the caller already has.
    known: Vec<u64>,
}

impl Condition {
    pub(crate) fn is_known(&self, version: u64) -> bool {
        self.known.contains(&version)
    }
}

impl<S: Sync> FromRequestParts<S> for Condition {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let known = tags(&parts.headers, header::IF_NONE_MATCH)?;
        let only_at = match tags(&parts.headers, header::IF_MATCH)?.as_slice() {
            [] => None,
            [version] => Some(*version),
            _ => {
                let detail = "`If-Match` must name one ETag, the one that was seen last, such as \"v3\"";
                return Err(Problem::new(Code::Validation, detail));
            }
        };
        Ok(Self { only_at, known })
    }
}

/// The versions in a list of ETags. `*` and foreign ETags match nothing: `If-Match: *` is every request without it.
fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Vec<u64>, Problem> {
    let mut versions = Vec::new();
    for value in headers.get_all(&name) {
        let text = value.to_str().unwrap_or("");
        for tag in text.split(',').map(str::trim).filter(|tag| *tag != "*") {
            let number =
                tag.trim_start_matches("W/").strip_prefix("\"v").and_then(|tag| tag.strip_suffix('"'));
            match number.and_then(|number| number.parse().ok()) {
                Some(version) => versions.push(version),
                // Another server's tag is never ours, so an edit on it must fail rather than happen.
                None if name == header::IF_MATCH => versions.push(u64::MAX),
                None => {}
            }
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_are_written() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, "\"v3\", W/\"v4\", \"abc\", *".parse().unwrap());
        assert_eq!(tags(&headers, header::IF_NONE_MATCH).unwrap(), [3, 4]);
        headers.insert(header::IF_MATCH, etag(7));
        assert_eq!(tags(&headers, header::IF_MATCH).unwrap(), [7]);
        headers.insert(header::IF_MATCH, "\"abc\"".parse().unwrap());
        assert_eq!(tags(&headers, header::IF_MATCH).unwrap(), [u64::MAX]);
    }
}
