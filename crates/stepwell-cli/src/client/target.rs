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
}

fn server(text: &str) -> Result<Url, String> {
    let wrong = || "it is the address of a server, such as https://jobs.example.com".to_owned();
    let url: Url = text.parse().map_err(|_| wrong())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_plain && is_http { Ok(url) } else { Err(wrong()) }
}

/// What was chosen, and by what.
enum Chosen {
    Server(Url, &'static str),
    Store(StoreAddress),
}

impl Target {
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
        match self.choose(|name| env::var(name).ok().filter(|value| !value.is_empty()))? {
            Chosen::Store(store) => {
                Ok(Client::Here(Box::new(Here::open(&store, self.webhooks.clone()).await?)))
            }
            Chosen::Server(url, hint) => {
                let token = self.token()?;
                Ok(Client::There(Box::new(There::new(url, token.as_deref(), hint)?)))
            }
        }
    }

    /// A flag says more than the environment, and that more than the default.
    fn choose(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Chosen, Failure> {
        const NAMED: &str = "is it running, and is the address right?";
        const UNNAMED: &str = "start one with `stepwell dev` or `stepwell serve`, name another with --server, or a \
                               store with --store";
        if let Some(store) = &self.store {
            return Ok(Chosen::Store(store.clone()));
        }
        if let Some(url) = &self.server {
            return Ok(Chosen::Server(url.clone(), NAMED));
        }
        let wrong =
            |name: &str, why: String| Failure::with_code(code::USAGE, format!("understand {name}"), why);
        match (variable("STEPWELL_SERVER"), variable("STEPWELL_STORE")) {
            (Some(_), Some(_)) => {
                let why = "STEPWELL_SERVER is set, too; unset one of them, or say --server or --store";
                Err(wrong("STEPWELL_STORE", why.to_owned()))
            }
            (Some(text), None) => {
                let url = server(&text).map_err(|why| wrong("STEPWELL_SERVER", why))?;
                Ok(Chosen::Server(url, NAMED))
            }
            (None, Some(text)) => {
                Ok(Chosen::Store(text.parse().map_err(|why| wrong("STEPWELL_STORE", why))?))
            }
            (None, None) => Ok(Chosen::Server(server(DEFAULT).failed_to("name the server")?, UNNAMED)),
        }
    }

    /// A secret stands in no list of processes: it comes from a file or the environment.
    fn token(&self) -> Result<Option<String>, Failure> {
        let named = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let file = self.token_file.clone().or_else(|| named("STEPWELL_TOKEN_FILE").map(PathBuf::from));
        let Some(file) = file else { return Ok(named("STEPWELL_TOKEN")) };
        let what = format!("read the token from {}", file.display());
        let text = std::fs::read_to_string(&file).failed_to(&what)?;
        match text.trim() {
            "" => Err(Failure::to(what, "it is empty; put there what `tokens create` printed")),
            token => Ok(Some(token.to_owned())),
        }
    }
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
        };
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        match target.choose(variable) {
            Ok(Chosen::Server(url, _)) => url.to_string(),
            Ok(Chosen::Store(store)) => store.to_string(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn a_flag_says_more_than_the_environment_and_that_more_than_the_default() {
        let (server, store) = (("STEPWELL_SERVER", "https://b.example"), ("STEPWELL_STORE", "sqlite:b.db"));
        assert_eq!(chosen(None, None, &[]), "http://127.0.0.1:7717/");
        assert_eq!(chosen(None, None, &[server]), "https://b.example/");
        assert_eq!(chosen(None, None, &[store]), "sqlite:b.db");
        assert_eq!(chosen(None, Some("sqlite:a.db"), &[server, store]), "sqlite:a.db");
        assert_eq!(chosen(Some("http://a.example/x"), None, &[server, store]), "http://a.example/x");
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
