//! Whom to ask, chosen from what flags, the environment and files say.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use url::Url;

use super::target::server_address;
use crate::{
    config::{Asked, Config},
    failure::{FailedTo, Failure, code},
    store::StoreAddress,
};

/// Where `dev` and `serve` listen unless they are told otherwise.
const DEFAULT: &str = "http://127.0.0.1:7717";
/// By what something was chosen that nobody has set.
pub(super) const BY_DEFAULT: &str = "default";

/// Whom to ask.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Whom {
    Server(Url),
    Store(StoreAddress),
}

/// Where the token of a server is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Itself(String),
    File(PathBuf),
    /// What this program prints.
    Command(Vec<String>),
}

/// What was chosen, each with what chose it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) profile: Option<(String, &'static str)>,
    pub(super) whom: (Whom, String),
    pub(super) token: Option<(Token, String)>,
}

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags<'a> {
    pub(super) server: Option<&'a Url>,
    pub(super) store: Option<&'a StoreAddress>,
    pub(super) token_file: Option<&'a Path>,
    pub(super) profile: Option<&'a str>,
}

/// A table of a file, and how it is called.
type Table<'c> = (String, &'c Asked);

impl Flags<'_> {
    /// A flag says more than the environment, that more than a profile, and that more than what every command is told.
    /// Files are read only where they can matter.
    pub(super) fn choose(
        self,
        variable: impl Fn(&str) -> Option<String>,
        files: impl FnOnce() -> Result<Vec<Config>, Failure>,
    ) -> Result<Choice, Failure> {
        let profile = self.profile(&variable);
        let (spoken, token) = (self.whom(&variable)?, self.token(&variable));
        let is_enough = match &spoken {
            Some((Whom::Store(_), _)) => true,
            Some((Whom::Server(_), _)) => token.is_some(),
            None => false,
        };
        let files = if is_enough && profile.is_none() { Vec::new() } else { files()? };
        let tables = tables(&files, profile.as_ref())?;
        let whom = match spoken.or_else(|| tables.iter().find_map(whom_of)) {
            Some(whom) => whom,
            None => {
                (Whom::Server(server_address(DEFAULT).failed_to("name the server")?), BY_DEFAULT.to_owned())
            }
        };
        let token = match &whom.0 {
            Whom::Server(url) => token.or_else(|| tables.iter().find_map(|table| token_for(url, table))),
            Whom::Store(_) => None,
        };
        Ok(Choice { profile, whom, token })
    }

    /// The same, for what is done to a store and to nothing else.
    pub(super) fn choose_store(
        self,
        variable: impl Fn(&str) -> Option<String>,
        files: impl FnOnce() -> Result<Vec<Config>, Failure>,
    ) -> Result<Option<StoreAddress>, Failure> {
        if let Some(store) = self.store {
            return Ok(Some(store.clone()));
        }
        if let Some(store) = store_of(&variable)? {
            return Ok(Some(store));
        }
        let files = files()?;
        let tables = tables(&files, self.profile(&variable).as_ref())?;
        Ok(tables.iter().find_map(|(_, asked)| asked.store.clone()))
    }

    fn profile(self, variable: &impl Fn(&str) -> Option<String>) -> Option<(String, &'static str)> {
        const PROFILE: &str = "STEPWELL_PROFILE";
        let named = self.profile.map(|name| (name.to_owned(), "--profile"));
        named.or_else(|| variable(PROFILE).map(|name| (name, PROFILE)))
    }
    fn whom(self, variable: &impl Fn(&str) -> Option<String>) -> Result<Option<(Whom, String)>, Failure> {
        const SERVER: &str = "STEPWELL_SERVER";
        if let Some(store) = self.store {
            return Ok(Some((Whom::Store(store.clone()), "--store".to_owned())));
        }
        if let Some(url) = self.server {
            return Ok(Some((Whom::Server(url.clone()), "--server".to_owned())));
        }
        match (variable(SERVER), store_of(variable)?) {
            (Some(_), Some(_)) => {
                let why = "STEPWELL_SERVER is set, too; unset one of them, or say --server or --store";
                Err(not_understood(STORE, why))
            }
            (Some(text), None) => {
                let url = server_address(&text).map_err(|why| not_understood(SERVER, &why))?;
                Ok(Some((Whom::Server(url), SERVER.to_owned())))
            }
            (None, Some(store)) => Ok(Some((Whom::Store(store), STORE.to_owned()))),
            (None, None) => Ok(None),
        }
    }
    fn token(self, variable: &impl Fn(&str) -> Option<String>) -> Option<(Token, String)> {
        const FILE: &str = "STEPWELL_TOKEN_FILE";
        const TOKEN: &str = "STEPWELL_TOKEN";
        let file = |file: PathBuf, by: &str| (Token::File(file.clone()), format!("{by} {}", file.display()));
        let named = self.token_file.map(|named| file(named.to_owned(), "--token-file"));
        let named = named.or_else(|| variable(FILE).map(|named| file(named.into(), FILE)));
        named.or_else(|| variable(TOKEN).map(|token| (Token::Itself(token), TOKEN.to_owned())))
    }
}

const STORE: &str = "STEPWELL_STORE";

fn store_of(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<StoreAddress>, Failure> {
    variable(STORE).map(|text| text.parse().map_err(|why: String| not_understood(STORE, &why))).transpose()
}

fn not_understood(name: &str, why: &str) -> Failure {
    Failure::with_code(code::USAGE, format!("understand {name}"), why)
}

/// The tables that count, the first one most.
fn tables<'c>(
    files: &'c [Config],
    profile: Option<&(String, &'static str)>,
) -> Result<Vec<Table<'c>>, Failure> {
    let mut tables = Vec::new();
    if let Some((name, by)) = profile {
        let found = files.iter().find_map(|file| Some((file, file.profiles().get(name)?)));
        let (file, asked) = found.ok_or_else(|| no_such_profile(files, name, by))?;
        tables.push((format!("{} [profiles.{name}]", file.path().display()), asked));
    }
    tables.extend(files.iter().map(|file| (format!("{} [client]", file.path().display()), file.client())));
    Ok(tables)
}

fn no_such_profile(files: &[Config], name: &str, by: &str) -> Failure {
    let known: BTreeSet<&str> =
        files.iter().flat_map(|file| file.profiles().keys()).map(String::as_str).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let why = match known.as_slice() {
        [] => "no file has profiles; write one as [profiles.NAME] into ./stepwell.toml or config.toml"
            .to_owned(),
        known => format!("there is no such profile; there are {}", known.join(", ")),
    };
    Failure::with_code(code::USAGE, format!("find the profile {name:?} of {by}"), why)
}

fn whom_of((by, asked): &Table<'_>) -> Option<(Whom, String)> {
    let server = asked.server.clone().map(Whom::Server);
    let whom = server.or_else(|| asked.store.clone().map(Whom::Store))?;
    Some((whom, by.clone()))
}

/// A token that a file names goes to the server that stands beside it, and to no other: a file in the directory where
/// one happens to be must not have the user's token sent elsewhere.
fn token_for(url: &Url, (by, asked): &Table<'_>) -> Option<(Token, String)> {
    if asked.server.as_ref() != Some(url) {
        return None;
    }
    let file = asked.token_file.clone().map(Token::File);
    let token = file.or_else(|| asked.token_cmd.clone().map(Token::Command))?;
    Some((token, by.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = r#"
        [client]
        server = "https://here.example"
        [profiles.prod]
        server = "https://prod.example"
        token_file = "prod.token"
        [profiles.file]
        store = "sqlite:jobs.db"
    "#;
    const SHARED: &str = r#"
        [client]
        server = "https://mine.example"
        token_cmd = ["pass", "stepwell"]
        [profiles.mine]
        server = "https://here.example"
        token_file = "/here.token"
    "#;

    fn files() -> Result<Vec<Config>, Failure> {
        Ok(vec![Config::parse("./stepwell.toml", HERE)?, Config::parse("/mine/config.toml", SHARED)?])
    }

    /// What is chosen, and by what.
    fn chosen(flags: Flags<'_>, environment: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        match flags.choose(variable, files) {
            Ok(Choice { whom: (Whom::Server(url), by), token, .. }) => match token {
                Some((token, token_by)) => format!("{url} by {by}, {token:?} by {token_by}"),
                None => format!("{url} by {by}"),
            },
            Ok(Choice { whom: (Whom::Store(store), by), token, .. }) => {
                assert!(token.is_none());
                format!("{store} by {by}")
            }
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn a_flag_says_more_than_the_environment_that_more_than_a_profile_and_that_more_than_the_rest() {
        let url = server_address("http://a.example/x").unwrap();
        let store: StoreAddress = "sqlite:a.db".parse().unwrap();
        let prod = Flags { profile: Some("prod"), ..Flags::default() };
        let server = ("STEPWELL_SERVER", "https://b.example");
        assert_eq!(chosen(Flags { server: Some(&url), ..prod }, &[server]), "http://a.example/x by --server");
        assert_eq!(chosen(Flags { store: Some(&store), ..prod }, &[server]), "sqlite:a.db by --store");
        assert_eq!(chosen(prod, &[server]), "https://b.example/ by STEPWELL_SERVER");
        assert_eq!(chosen(prod, &[("STEPWELL_STORE", "sqlite:b.db")]), "sqlite:b.db by STEPWELL_STORE");
        assert!(
            chosen(prod, &[]).starts_with("https://prod.example/ by ./stepwell.toml [profiles.prod], File(")
        );
        assert!(
            chosen(Flags::default(), &[("STEPWELL_PROFILE", "file")])
                .ends_with("by ./stepwell.toml [profiles.file]")
        );
        assert_eq!(chosen(Flags::default(), &[]), "https://here.example/ by ./stepwell.toml [client]");
        let both = [server, ("STEPWELL_STORE", "sqlite:b.db")];
        assert!(chosen(Flags::default(), &both).contains("unset one"));
        let none = Flags::default().choose(|_| None, || Ok(Vec::new())).unwrap();
        assert_eq!(none.whom, (Whom::Server(server_address(DEFAULT).unwrap()), BY_DEFAULT.to_owned()));
    }

    #[test]
    fn a_token_goes_to_the_server_beside_it_and_to_no_other() {
        let mine = server_address("https://mine.example").unwrap();
        let to_mine = chosen(Flags { server: Some(&mine), ..Flags::default() }, &[]);
        assert_eq!(
            to_mine,
            r#"https://mine.example/ by --server, Command(["pass", "stepwell"]) by /mine/config.toml [client]"#
        );
        // The directory names a server, and only the profile has a token for it.
        assert!(!chosen(Flags::default(), &[]).contains("token"));
        let with_profile = chosen(Flags { profile: Some("mine"), ..Flags::default() }, &[]);
        assert!(with_profile.contains("here.token"), "{with_profile}");
        let token = chosen(Flags::default(), &[("STEPWELL_TOKEN", "x")]);
        assert!(token.ends_with(r#"Itself("x") by STEPWELL_TOKEN"#), "{token}");
        let file = Flags { token_file: Some(Path::new("t")), ..Flags::default() };
        assert!(chosen(file, &[("STEPWELL_TOKEN", "x")]).ends_with(r#"File("t") by --token-file t"#));
    }

    #[test]
    fn an_unknown_profile_is_refused_with_those_that_there_are() {
        let unknown = chosen(Flags { profile: Some("prd"), ..Flags::default() }, &[]);
        assert!(
            unknown.contains("\"prd\" of --profile") && unknown.ends_with("there are file, mine, prod"),
            "{unknown}"
        );
    }

    #[test]
    fn what_is_done_to_a_store_takes_no_server() {
        let store =
            |flags: Flags<'_>| flags.choose_store(|_| None, files).unwrap().map(|store| store.to_string());
        assert_eq!(store(Flags::default()), None);
        let named = store(Flags { profile: Some("file"), ..Flags::default() });
        assert!(named.unwrap().ends_with("jobs.db"));
    }
}
