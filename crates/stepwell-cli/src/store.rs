//! Where a queue is stored, as it is named on the command line.

use std::{fmt, path::PathBuf, str::FromStr};

use stepwell::{Builder, Stepwell};

/// Where a queue is stored: `sqlite:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreAddress(PathBuf);

impl StoreAddress {
    pub(crate) fn builder(&self) -> Builder {
        Stepwell::sqlite(&self.0)
    }
    pub(crate) fn exists(&self) -> bool {
        self.0.exists()
    }
}

impl FromStr for StoreAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err("it is sqlite: and the path of a file, such as sqlite:app.db".into()),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite:{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_with_its_kind() {
        assert_eq!("sqlite:a/b.db".parse::<StoreAddress>().unwrap().to_string(), "sqlite:a/b.db");
        for text in ["app.db", "sqlite:", "postgres://x", ""] {
            text.parse::<StoreAddress>().unwrap_err();
        }
    }
}
