//! Whom to ask, as it is said on the command line.

use std::{env, path::PathBuf};

use stepwell::webhook::WebhookOptions;
use url::Url;

use super::{Client, here::Here, there::There};
use crate::{
    failure::{FailedTo, Failure, code},
    store::StoreAddress,
    webhooks::WebhookArguments,
};

/// Where `dev` and `serve` listen unless they are told otherwise.
const DEFAULT: &str = "http://127.0.0.1:7717";

/// Whom to ask: a server, or a store without one.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Whom to ask")]
pub(crate) struct Target {
    /// The server, http://127.0.0.1:7717 unless set. [env: STEPWELL_SERVER]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "store", value_parser = server)]
    server: Option<Url>,
    /// A store in place of a server: sqlite:PATH, or postgres://USER@HOST/DATABASE. [env: STEPWELL_STORE]
    #[arg(long, global = true, value_name = "STORE")]
    store: Option<StoreAddress>,
    /// The file with the server's token. [env: STEPWELL_TOKEN_FILE, or the token itself in STEPWELL_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where webhooks may go that are named to a store. A server knows by itself.
    #[arg(skip = WebhookOptions::new())]
    webhooks: WebhookOptions,
    #[arg(skip)]
    make: bool,
}

fn server(text: &str) -> Result<Url, String> {
    let wrong = || "it is the address of a server, such as https://jobs.example.com".to_owned();
    let url: Url = text.parse().map_err(|_| wrong())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_plain && is_http { Ok(url) } else { Err(wrong()) }
}

/// Whom to ask, as it was chosen.
enum Chosen {
    Server(Url),
    Store(StoreAddress),
}

/// By what something was chosen that nobody has set.
const BY_DEFAULT: &str = "default";

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
    /// Makes ready to ask.
    ///
    /// # Errors
    /// If the environment says what cannot be, or the store cannot be opened.
    pub(crate) async fn open(&self) -> Result<Client, Failure> {
        const NAMED: &str = "is it running, and is the address right?";
        const UNNAMED: &str = "start one with `stepwell dev` or `stepwell serve`, name another with --server, or a \
                               store with --store";
        match self.choose(variable)? {
            (Chosen::Store(store), _) => {
                let here = Here::open(&store, self.make, self.webhooks.clone()).await?;
                Ok(Client::Here(Box::new(here)))
            }
            (Chosen::Server(url), by) => {
                let token = self.token()?.map(|(token, _)| token);
                let hint = if by == BY_DEFAULT { UNNAMED } else { NAMED };
                Ok(Client::There(Box::new(There::new(url, token.as_deref(), hint)?)))
            }
        }
    }
    /// What is asked, and by what it was chosen. The token itself is not told.
    ///
    /// # Errors
    /// If the environment says what cannot be, or the token cannot be read.
    pub(crate) fn told(&self) -> Result<Vec<Told>, Failure> {
        Ok(match self.choose(variable)? {
            (Chosen::Store(store), by) => vec![("store", store.to_string(), by.to_owned())],
            (Chosen::Server(url), by) => {
                let token = match self.token()? {
                    Some((_, by)) => ("token", "set".to_owned(), by),
                    None => ("token", "none".to_owned(), BY_DEFAULT.to_owned()),
                };
                vec![("server", url.to_string(), by.to_owned()), token]
            }
        })
    }

    /// A flag says more than the environment, and that more than the default. Answers also with what chose.
    fn choose(&self, variable: impl Fn(&str) -> Option<String>) -> Result<(Chosen, &'static str), Failure> {
        const SERVER: &str = "STEPWELL_SERVER";
        const STORE: &str = "STEPWELL_STORE";
        if let Some(store) = &self.store {
            return Ok((Chosen::Store(store.clone()), "--store"));
        }
        if let Some(url) = &self.server {
            return Ok((Chosen::Server(url.clone()), "--server"));
        }
        let wrong =
            |name: &str, why: String| Failure::with_code(code::USAGE, format!("understand {name}"), why);
        match (variable(SERVER), variable(STORE)) {
            (Some(_), Some(_)) => {
                let why = "STEPWELL_SERVER is set, too; unset one of them, or say --server or --store";
                Err(wrong(STORE, why.to_owned()))
            }
            (Some(text), None) => {
                Ok((Chosen::Server(server(&text).map_err(|why| wrong(SERVER, why))?), SERVER))
            }
            (None, Some(text)) => Ok((Chosen::Store(text.parse().map_err(|why| wrong(STORE, why))?), STORE)),
            (None, None) => Ok((Chosen::Server(server(DEFAULT).failed_to("name the server")?), BY_DEFAULT)),
        }
    }

    /// A secret stands in no list of processes: it comes from a file or the environment. Answers also with what named
    /// it.
    fn token(&self) -> Result<Option<(String, String)>, Failure> {
        let named = self.token_file.clone().map(|file| (file, "--token-file"));
        let named = named
            .or_else(|| variable("STEPWELL_TOKEN_FILE").map(|file| (file.into(), "STEPWELL_TOKEN_FILE")));
        let Some((file, by)) = named else {
            return Ok(variable("STEPWELL_TOKEN").map(|token| (token, "STEPWELL_TOKEN".to_owned())));
        };
        let what = format!("read the token from {}", file.display());
        let text = std::fs::read_to_string(&file).failed_to(&what)?;
        match text.trim() {
            "" => Err(Failure::to(what, "it is empty; put there what `tokens create` printed")),
            token => Ok(Some((token.to_owned(), format!("{by} {}", file.display())))),
        }
    }
}

/// What the environment says. An empty variable says nothing.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: Option<&str>, store: Option<&str>, environment: &[(&str, &str)]) -> String {
        let target = Target {
            server: server.map(|text| super::server(text).unwrap()),
            store: store.map(|text| text.parse().unwrap()),
            token_file: None,
            webhooks: WebhookOptions::new(),
            make: false,
        };
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        match target.choose(variable) {
            Ok((Chosen::Server(url), by)) => format!("{url} by {by}"),
            Ok((Chosen::Store(store), by)) => format!("{store} by {by}"),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn a_flag_says_more_than_the_environment_and_that_more_than_the_default() {
        let (server, store) = (("STEPWELL_SERVER", "https://b.example"), ("STEPWELL_STORE", "sqlite:b.db"));
        assert_eq!(chosen(None, None, &[]), "http://127.0.0.1:7717/ by default");
        assert_eq!(chosen(None, None, &[server]), "https://b.example/ by STEPWELL_SERVER");
        assert_eq!(chosen(None, None, &[store]), "sqlite:b.db by STEPWELL_STORE");
        assert_eq!(chosen(None, Some("sqlite:a.db"), &[server, store]), "sqlite:a.db by --store");
        assert_eq!(
            chosen(Some("http://a.example/x"), None, &[server, store]),
            "http://a.example/x by --server"
        );
        assert!(chosen(None, None, &[server, store]).contains("unset one"));
        assert!(chosen(None, None, &[("STEPWELL_SERVER", "b.example")]).contains("STEPWELL_SERVER"));
    }

    #[test]
    fn a_server_is_an_address_without_anything_secret_in_it() {
        for text in ["localhost:7717", "ftp://x", "http://", "https://user:pass@x", "http://x?token=y"] {
            server(text).unwrap_err();
        }
    }
}
