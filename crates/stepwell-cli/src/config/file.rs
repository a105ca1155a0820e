//! Where `stepwell.toml` and `config.toml` are, and how they are read.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use stepwell::{Builder, process::CommandKind, webhook::WebhookOptions};

use super::{Asked, Serving, kinds::Kinds, queues::Queues};
use crate::failure::{FailedTo, Failure};

/// The file that is looked for where the program is started.
const NAME: &str = "stepwell.toml";
/// The file of everything that this machine's users share.
const OF_MACHINE: &str = "/etc/stepwell/config.toml";
/// Bytes of it. More is no configuration.
const BYTES_MAX: u64 = 1 << 20;

/// What a file says.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    path: PathBuf,
    /// Where the file is: relative paths in it begin there.
    home: PathBuf,
    said: Said,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default)]
    kinds: Kinds,
    #[serde(default)]
    queues: Queues,
    #[serde(default)]
    webhooks: Webhooks,
    #[serde(default)]
    client: Asked,
    #[serde(default)]
    profiles: BTreeMap<String, Asked>,
    #[serde(default)]
    serve: Serving,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhooks {
    #[serde(default)]
    allow: Vec<String>,
}

impl Config {
    /// The file that is looked for where the program is started.
    pub(crate) const NAME: &str = NAME;

    /// The user's own file, if the environment says where that is.
    pub(crate) fn of_user() -> Option<PathBuf> {
        of_user(|name| env::var_os(name).map(PathBuf::from))
    }
    /// Whether a file could say this: `./stepwell.toml`, or one that is shared.
    ///
    /// # Errors
    /// If it cannot be understood.
    pub(crate) fn check(path: &Path, text: &str, is_shared: bool) -> Result<(), Failure> {
        let home = path.parent().unwrap_or(Path::new("")).to_owned();
        let config = Self::understand(path, home, text, is_shared)?;
        if is_shared { config.check_shared() } else { Ok(()) }
    }

    /// Reads the file that is named; or `./stepwell.toml`, if there is one.
    ///
    /// # Errors
    /// If the file that is named cannot be read, or one does not say what it could.
    pub(crate) fn find(named: Option<&Path>) -> Result<Option<Self>, Failure> {
        match named {
            Some(path) => Self::read(path).map(Some),
            None => match fs::exists(NAME).failed_to(format!("look for ./{NAME}"))? {
                true => Self::read(Path::new(NAME)).map(Some),
                false => Ok(None),
            },
        }
    }

    /// Every file that there is, the one that counts most first: the one that is named, or `./stepwell.toml`; the
    /// user's `config.toml`; the machine's.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn all(named: Option<&Path>) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> = Self::find(named)?.into_iter().collect();
        for path in Self::of_user().into_iter().chain([OF_MACHINE.into()]) {
            if fs::exists(&path).failed_to(format!("look for {}", path.display()))? {
                all.push(Self::read_shared(&path)?);
            }
        }
        Ok(all)
    }

    fn read_shared(path: &Path) -> Result<Self, Failure> {
        let config = Self::read_as(path, true)?;
        config.check_shared().map(|()| config)
    }
    fn check_shared(&self) -> Result<(), Failure> {
        let Said { kinds, queues, webhooks, .. } = &self.said;
        if !kinds.is_empty() || !queues.is_empty() || !webhooks.allow.is_empty() {
            let why =
                "kinds, queues and webhooks are for stepwell.toml; this file has client, profiles and serve";
            return Err(Failure::to(format!("read {}", self.path.display()), why));
        }
        Ok(())
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        Self::read_as(path, false)
    }

    /// Only what the user has written, or the machine's administrator, may name programs to run for every command.
    fn read_as(path: &Path, may_run: bool) -> Result<Self, Failure> {
        let what = format!("read {}", path.display());
        let text = read_text(path).map_err(|error| {
            let fix = match error.kind() {
                io::ErrorKind::NotFound => "; name a file that exists with --config",
                io::ErrorKind::PermissionDenied => {
                    "; let this user read it, and keep secrets in files of their own"
                }
                _ => "",
            };
            Failure::to(&what, format!("{error}{fix}"))
        })?;
        let home = path.canonicalize().failed_to(&what)?;
        let home = home.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        Self::understand(path, home, &text, may_run)
    }

    fn understand(path: &Path, home: PathBuf, text: &str, may_run: bool) -> Result<Self, Failure> {
        let what = format!("read {}", path.display());
        let mut said: Said = toml::from_str(text).map_err(|error| Failure::to(&what, place(text, &error)))?;
        if let Some(problem) = said.kinds.problem() {
            return Err(Failure::to(what, problem));
        }
        let asked = said.profiles.iter().map(|(name, asked)| (format!("profiles.{name}"), asked));
        for (table, asked) in asked.chain([("client".to_owned(), &said.client)]) {
            if let Some(problem) = asked.problem(may_run) {
                return Err(Failure::to(what, format!("[{table}]: {problem}")));
            }
        }
        if let Some(problem) = said.serve.problem() {
            return Err(Failure::to(what, format!("[serve]: {problem}")));
        }
        for network in &said.webhooks.allow {
            WebhookOptions::new().allow(network).check().failed_to(format!("{what}: webhooks.allow"))?;
        }
        said.client = said.client.at(&home);
        said.serve = said.serve.at(&home);
        said.profiles = said.profiles.into_iter().map(|(name, asked)| (name, asked.at(&home))).collect();
        Ok(Self { path: path.to_owned(), home, said })
    }

    /// What a file would say that has this text.
    #[cfg(test)]
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, Failure> {
        Self::understand(Path::new(path), PathBuf::from("/home"), text, true)
    }
    /// Where it was read from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
    /// Whether it has kinds of jobs to work.
    pub(crate) fn has_kinds(&self) -> bool {
        !self.said.kinds.is_empty()
    }
    /// The names of its kinds.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.said.kinds.names()
    }
    /// Whom commands ask.
    pub(crate) fn client(&self) -> &Asked {
        &self.said.client
    }
    /// Whom commands ask that name a profile.
    pub(crate) fn profiles(&self) -> &BTreeMap<String, Asked> {
        &self.said.profiles
    }
    /// How `serve` serves.
    pub(crate) fn serve(&self) -> &Serving {
        &self.said.serve
    }
    /// Its kinds, as they are worked.
    pub(crate) fn command_kinds(&self) -> Vec<CommandKind> {
        self.said.kinds.made(&self.home)
    }
    /// Its queues, and how many jobs of each run at once in this process, where that is said.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        self.said.queues.at_once()
    }
    /// Works its kinds and queues.
    pub(crate) fn add_to(&self, builder: Builder) -> Builder {
        let builder = self.said.queues.add_to(builder);
        self.command_kinds().into_iter().fold(builder, Builder::command_kind)
    }
    /// Lets webhooks go where it says.
    pub(crate) fn allow(&self, options: WebhookOptions) -> WebhookOptions {
        self.said.webhooks.allow.iter().fold(options, |options, network| options.allow(network))
    }
}

/// The user's own file. A relative path in the environment names none.
fn of_user(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    config.map(|config| config.join("stepwell/config.toml"))
}

fn read_text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than the limit of {BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// What is wrong, and where, on one line.
fn place(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().map(|span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
    let at = line.map_or_else(String::new, |line| format!("line {line}: "));
    format!("{at}{}", error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        fs::write(&path, text).unwrap();
        Config::find(Some(&path)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, words) in [
            ("[kinds.a]\nquue = \"x\"\nphases = []", &["line 2", "quue"] as &[&str]),
            ("[knids.a]\n", &["line 1", "knids"]),
            ("[[kinds.a.phases]]\nname = \"p\"\n", &["run"]),
            ("[[kinds.a.phases]]\nname = \"p\"\nrun = [\"x\"]\ntimeout = \"soon\"\n", &["line 4", "\"30s\""]),
            ("[[kinds.a.phases]]\nname = \"p\"\nrun = \"x y\"\n", &["line 3", "sequence"]),
            (
                "[[kinds.a.phases]]\nname = \"p\"\nrun = [\"x\"]\nretry = { attempts = 0 }\n",
                &["`p` of `a`", "attempts"],
            ),
            (
                "[[kinds.a.phases]]\nname = \"p\"\nrun = [\"x\"]\nretry = { attempts = 2, delays = [\"1s\"] }\n",
                &["`p` of `a`", "delays"],
            ),
            ("[queues.media]\nconcurrency = \"four\"\n", &["line 2"]),
            ("[webhooks]\nallow = [\"localhost\"]\n", &["webhooks.allow"]),
            ("kinds = ", &["line 1"]),
            ("[client]\nserver = \"a.example\"\n", &["line 2", "https://"]),
            ("[client]\nstor = \"sqlite:a.db\"\n", &["line 2", "stor"]),
            (
                "[profiles.a]\nserver = \"http://a\"\nstore = \"sqlite:a.db\"\n",
                &["[profiles.a]", "leave one out"],
            ),
            ("[profiles.a]\ntoken_file = \"x\"\n", &["[profiles.a]", "add server"]),
            ("[client]\nserver = \"http://a\"\ntoken_cmd = [\"x\"]\n", &["[client]", "config.toml"]),
            ("[serve]\nlisten = \"7717\"\n", &["line 2"]),
            ("[serve]\nkeep = \"0s\"\n", &["[serve]", "at least 1s"]),
        ] {
            let refusal = refusal(text);
            assert!(words.iter().all(|word| refusal.contains(word)), "{text}: {refusal}");
            assert!(!refusal.contains('\n'), "{refusal}");
        }
    }

    #[test]
    fn the_users_file_is_where_the_environment_says() {
        let of = |variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().find(|(known, _)| *known == name);
            of_user(|name| found(name).map(|(_, value)| PathBuf::from(value)))
        };
        let home = ("HOME", "/me");
        assert_eq!(of(&[home]), Some("/me/.config/stepwell/config.toml".into()));
        assert_eq!(of(&[home, ("XDG_CONFIG_HOME", "/x")]), Some("/x/stepwell/config.toml".into()));
        assert_eq!(of(&[home, ("XDG_CONFIG_HOME", "x")]), Some("/me/.config/stepwell/config.toml".into()));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_is_shared_has_no_kinds_and_may_name_a_program_for_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, "[client]\nserver = \"http://a\"\ntoken_cmd = [\"x\"]\n").unwrap();
        assert!(Config::read_shared(&path).unwrap().client().token_cmd.is_some());
        fs::write(&path, "[queues.a]\nconcurrency = 1\n").unwrap();
        assert!(Config::read_shared(&path).unwrap_err().to_string().contains("stepwell.toml"));
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let refusal = Config::find(Some(Path::new("/nowhere/stepwell.toml"))).unwrap_err().to_string();
        assert!(refusal.contains("--config"), "{refusal}");
    }
}
