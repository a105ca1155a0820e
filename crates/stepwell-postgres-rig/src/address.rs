//! Where a server is, as URLs say it.

use std::{env, net::TcpStream};

use crate::error::{Error, Result};

/// A server, and the user who may do everything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its superuser, who needs no password.
    pub user: String,
    /// The name or the number of its machine.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Address {
    /// What a URL like `postgres://user@host:port/database` says.
    ///
    /// # Errors
    /// If it says it otherwise, or with a password: the rig speaks to servers that let it in without one.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong =
            || Error::new(format!("failed to read `{url}`: write it as postgres://user@host:port/database"));
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let server = rest.ok_or_else(wrong)?.split(['/', '?']).next().unwrap_or_default();
        let (user, server) = server.rsplit_once('@').ok_or_else(wrong)?;
        let (host, port) = server.rsplit_once(':').unwrap_or((server, "5432"));
        if user.is_empty() || user.contains([':', '%']) || host.is_empty() || host.contains(':') {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self { user: user.to_owned(), host: host.to_owned(), port })
    }

    /// What the variable of this name says.
    ///
    /// # Errors
    /// If it is not set, with what to do about it, or if it is not a URL.
    pub fn from_env(name: &str) -> Result<Self> {
        match env::var(name) {
            Ok(url) if !url.is_empty() => Self::parse(&url),
            _ => Err(Error::new(format!(
                "failed to find a server to test on, because {name} is not set: run `cargo xtask test -- NAME`, which \
                 starts one, or set it to a superuser's URL"
            ))),
        }
    }

    /// A URL for the database of this name.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}@{}:{}/{database}", self.user, self.host, self.port)
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port))
            .map_err(Error::io(format_args!("connect to {}:{}", self.host, self.port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_written() {
        let address = Address::parse("postgresql://me@db.example:6000/one?x=1").unwrap();
        assert_eq!(address.url("two"), "postgres://me@db.example:6000/two");
        assert_eq!(Address::parse("postgres://me@db.example/").unwrap().port, 5432);
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        for url in [
            "mysql://a@b/c",
            "postgres://b/c",
            "postgres://a:secret@b/c",
            "postgres://a@b:port/",
            "postgres://@b",
        ] {
            assert!(Address::parse(url).unwrap_err().to_string().contains(url), "{url}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_says_what_to_run() {
        let error = Address::from_env("STEPWELL_TEST_NOTHING").unwrap_err().to_string();
        assert!(error.contains("STEPWELL_TEST_NOTHING") && error.contains("cargo xtask test"), "{error}");
    }
}
