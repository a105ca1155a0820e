//! Whom commands ask, as a file says it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de::Error};
use url::Url;

use crate::{client::server_address, store::StoreAddress};

/// `[client]`, or a profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default, deserialize_with = "server")]
    pub(crate) server: Option<Url>,
    #[serde(default, deserialize_with = "store")]
    pub(crate) store: Option<StoreAddress>,
    pub(crate) token_file: Option<PathBuf>,
    /// A program that prints the token, and its arguments.
    pub(crate) token_cmd: Option<Vec<String>>,
}

fn server<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    server_address(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

fn store<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StoreAddress>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

impl Asked {
    /// What is wrong with it as a whole.
    pub(super) fn problem(&self, may_run: bool) -> Option<&'static str> {
        match self {
            Self { server: Some(_), store: Some(_), .. } => {
                Some("server and store are both given; leave one out")
            }
            Self { server: None, token_file: Some(_), .. }
            | Self { server: None, token_cmd: Some(_), .. } => {
                Some("a token goes to the server of the same table, and to no other; add server")
            }
            Self { token_file: Some(_), token_cmd: Some(_), .. } => {
                Some("token_file and token_cmd are both given; leave one out")
            }
            Self { token_cmd: Some(words), .. } if words.is_empty() => Some(
                "token_cmd is empty; it is a program and its arguments: [\"pass\", \"show\", \"stepwell\"]",
            ),
            // Whoever changes into a directory has not decided to run what somebody else has put there.
            Self { token_cmd: Some(_), .. } if !may_run => Some(
                "token_cmd is for config.toml, the user's or the machine's; put it there, or use token_file",
            ),
            _ => None,
        }
    }
    /// The same, with paths that begin where the file is.
    pub(super) fn at(mut self, home: &Path) -> Self {
        self.store = self.store.map(|store| store.at(home));
        self.token_file = self.token_file.map(|file| home.join(file));
        self
    }
}
