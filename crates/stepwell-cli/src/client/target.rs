//! Whom to ask, as it is said on the command line.

use std::{env, path::PathBuf};

use stepwell::webhook::WebhookOptions;
use url::Url;

use super::{
    Client,
    choice::{BY_DEFAULT, Choice, Flags, Token, Whom},
    here::Here,
    there::There,
};
use crate::{
    config::Config,
    failure::{Failure, code},
    output::beside,
    store::StoreAddress,
    webhooks::WebhookArguments,
};

/// Whom to ask: a server, or a store without one.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Whom to ask")]
pub(crate) struct Target {
    /// The server, http://127.0.0.1:7717 unless set. [env: STEPWELL_SERVER]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "store", value_parser = server_address)]
    server: Option<Url>,
    /// A store in place of a server: sqlite:PATH, or postgres://USER@HOST/DATABASE. [env: STEPWELL_STORE]
    #[arg(long, global = true, value_name = "STORE")]
    store: Option<StoreAddress>,
    /// The file with the server's token. [env: STEPWELL_TOKEN_FILE, or the token itself in STEPWELL_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What a file says under [profiles.NAME]; flags and the environment count more. [env: STEPWELL_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Where webhooks may go that are named to a store. A server knows by itself.
    #[arg(skip = WebhookOptions::new())]
    webhooks: WebhookOptions,
    #[arg(skip)]
    make: bool,
}

/// The store that something is done to, as it is said on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoreTarget {
    /// The store: sqlite:PATH, or postgres://USER@HOST/DATABASE. [env: STEPWELL_STORE]
    #[arg(long, global = true, value_name = "STORE")]
    store: Option<StoreAddress>,
    /// What a file says under [profiles.NAME]; flags and the environment count more. [env: STEPWELL_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
}

/// Reads the address of a server.
///
/// # Errors
/// How it is written.
pub(crate) fn server_address(text: &str) -> Result<Url, String> {
    let wrong = || "it is the address of a server, such as https://jobs.example.com".to_owned();
    let url: Url = text.parse().map_err(|_| wrong())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_plain && is_http { Ok(url) } else { Err(wrong()) }
}

/// A setting, for people: what it is called, what it is, and what set it.
pub(crate) type Told = (&'static str, String, String);

impl Target {
    /// The same, for a command that may be the first: the store is made if there is none.
    pub(crate) fn that_may_be_made(self) -> Self {
        Self { make: true, ..self }
    }
    /// The same, for a command that names webhooks.
    pub(crate) fn with_webhooks(mut self, webhooks: &WebhookArguments) -> Self {
        self.webhooks = webhooks.options();
        self
    }
    /// The store, if one is asked and no server.
    ///
    /// # Errors
    /// If the environment or a file says what cannot be.
    pub(crate) fn chosen_store(&self) -> Result<Option<StoreAddress>, Failure> {
        match self.choice()?.whom {
            (Whom::Store(store), _) => Ok(Some(store)),
            (Whom::Server(_), _) => Ok(None),
        }
    }
    /// Makes ready to ask.
    ///
    /// # Errors
    /// If the environment or a file says what cannot be, the token cannot be read, or the store cannot be opened.
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        const NAMED: &str = "is it running, and is the address right?";
        const UNNAMED: &str = "start one with `stepwell dev` or `stepwell serve`, name another with --server, or a \
                               store with --store";
        let choice = self.choice()?;
        self.tell_of_profile(&choice);
        match choice.whom {
            (Whom::Store(store), _) => {
                let here = Here::open(&store, self.make, self.webhooks.clone()).await?;
                Ok(Client::Here(Box::new(here)))
            }
            (Whom::Server(url), by) => {
                let token = match &choice.token {
                    Some((token, _)) => Some(token.read().await?),
                    None => None,
                };
                let hint = if by == BY_DEFAULT { UNNAMED } else { NAMED };
                Ok(Client::There(Box::new(There::new(url, token.as_deref(), hint)?)))
            }
        }
    }
    /// The profile that a flag names.
    pub(crate) fn named_profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }
    /// What is asked, for people.
    ///
    /// # Errors
    /// If the environment or a file says what cannot be.
    pub(crate) fn place(&self) -> Result<String, Failure> {
        Ok(match self.choice()?.whom {
            (Whom::Store(store), _) => store.to_string(),
            (Whom::Server(url), _) => url.as_str().trim_end_matches('/').to_owned(),
        })
    }
    /// What is asked, and by what it was chosen. The token itself is not told, and no program is run for it.
    ///
    /// # Errors
    /// If the environment or a file says what cannot be, or the token cannot be read.
    pub(crate) async fn told(&self) -> Result<Vec<Told>, Failure> {
        let Choice { profile, whom, token } = self.choice()?;
        let mut told: Vec<Told> =
            profile.into_iter().map(|(name, by)| ("profile", name, by.to_owned())).collect();
        match whom {
            (Whom::Store(store), by) => told.push(("store", store.to_string(), by)),
            (Whom::Server(url), by) => {
                told.push(("server", url.to_string(), by));
                told.push(match token {
                    Some((Token::Command(_), by)) => ("token", "set".to_owned(), format!("{by} token_cmd")),
                    Some((token, by)) => {
                        token.read().await?;
                        ("token", "set".to_owned(), by)
                    }
                    None => ("token", "none".to_owned(), BY_DEFAULT.to_owned()),
                });
            }
        }
        Ok(told)
    }

    fn choice(&self) -> Result<Choice, Failure> {
        let flags = Flags {
            server: self.server.as_ref(),
            store: self.store.as_ref(),
            token_file: self.token_file.as_deref(),
            profile: self.profile.as_deref(),
        };
        flags.choose(variable, files)
    }
    /// Whoever names a profile, and is not asked what it says, shall know.
    fn tell_of_profile(&self, choice: &Choice) {
        if let (Some(profile), by) = (&self.profile, &choice.whom.1)
            && by.starts_with("STEPWELL_")
        {
            beside(format_args!("stepwell: {by} is set, and counts more than the profile {profile:?}"));
        }
    }
}

impl StoreTarget {
    /// The store.
    ///
    /// # Errors
    /// If the environment or a file says what cannot be, or nothing names one.
    pub(crate) fn store(&self) -> Result<StoreAddress, Failure> {
        let flags =
            Flags { store: self.store.as_ref(), profile: self.profile.as_deref(), ..Flags::default() };
        flags.choose_store(variable, files)?.ok_or_else(|| {
            let why = "no store is named; say --store sqlite:PATH, or set STEPWELL_STORE";
            Failure::with_code(code::USAGE, "work on the store", why)
        })
    }
}

/// What files say.
fn files() -> Result<Vec<Config>, Failure> {
    Config::all(variable("STEPWELL_CONFIG").map(PathBuf::from).as_deref())
}

/// What the environment says. An empty variable says nothing.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_without_anything_secret_in_it() {
        for text in ["localhost:7717", "ftp://x", "http://", "https://user:pass@x", "http://x?token=y"] {
            server_address(text).unwrap_err();
        }
    }
}
