//! Query parameters, read strictly: a misspelt one is an error and not ignored.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::Problem;

/// Query parameters. Unknown and repeated ones are refused by the type.
pub(crate) struct Query<T>(pub(crate) T);

/// Query parameters as they came.
pub(crate) struct Raw(pub(crate) Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Raw {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or("");
        // Decoding would replace what is not UTF-8, and then another value would be looked for than was meant.
        let decoded = form_urlencoded::parse(text.as_bytes());
        let pairs: Vec<(String, String)> =
            decoded.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let wrong = |(name, value): &&(String, String)| {
            let bad = |text: &str| text.contains(['\0', '\u{fffd}']);
            bad(name) || bad(value)
        };
        match pairs.iter().find(wrong) {
            Some((name, _)) => {
                Err(Problem::of(format!("?{name}"), "is not UTF-8, or holds the character U+0000"))
            }
            None => Ok(Self(pairs)),
        }
    }
}

impl Raw {
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(&self.0);
        let text = text.finish();
        let pairs = form_urlencoded::parse(text.as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
            let message = error.inner().to_string();
            let named = message.split('`').nth(1).filter(|_| message.contains(" field `"));
            let path = error.path().to_string();
            let name = named.unwrap_or(path.as_str());
            Problem::of(format!("?{name}"), format!("is wrong: {message}"))
        })
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Raw::from_request_parts(parts, state).await?.decode().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding is tried")]
    struct Asked {
        limit: Option<u16>,
        kind: Option<String>,
    }

    fn pointer_of(pairs: &[(&str, &str)]) -> String {
        let raw = Raw(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        raw.decode::<Asked>().unwrap_err().errors[0].pointer.clone()
    }

    #[test]
    fn a_fault_is_found() {
        assert_eq!(pointer_of(&[("limit", "many")]), "?limit");
        assert_eq!(pointer_of(&[("limits", "1")]), "?limits");
        assert_eq!(pointer_of(&[("kind", "a"), ("kind", "b")]), "?kind");
    }
}
