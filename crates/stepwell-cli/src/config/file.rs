//! Where `stepwell.toml` is, and how it is read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use stepwell::{Builder, webhook::WebhookOptions};

use super::{kinds::Kinds, queues::Queues};
use crate::failure::{FailedTo, Failure};

/// The file that is looked for where the program is started.
const NAME: &str = "stepwell.toml";
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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhooks {
    #[serde(default)]
    allow: Vec<String>,
}

impl Config {
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

    fn read(path: &Path) -> Result<Self, Failure> {
        let what = format!("read {}", path.display());
        let text = read_text(path).map_err(|error| {
            let fix = match error.kind() {
                io::ErrorKind::NotFound => "; name a file that exists with --config",
                _ => "",
            };
            Failure::to(&what, format!("{error}{fix}"))
        })?;
        let said: Said = toml::from_str(&text).map_err(|error| Failure::to(&what, place(&text, &error)))?;
        if let Some(problem) = said.kinds.problem() {
            return Err(Failure::to(what, problem));
        }
        for network in &said.webhooks.allow {
            WebhookOptions::new().allow(network).check().failed_to(format!("{what}: webhooks.allow"))?;
        }
        let home = path.canonicalize().failed_to(&what)?;
        let home = home.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        Ok(Self { path: path.to_owned(), home, said })
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
    /// Works its kinds and queues.
    pub(crate) fn add_to(&self, builder: Builder) -> Builder {
        self.said.kinds.add_to(self.said.queues.add_to(builder), &self.home)
    }
    /// Lets webhooks go where it says.
    pub(crate) fn allow(&self, options: WebhookOptions) -> WebhookOptions {
        self.said.webhooks.allow.iter().fold(options, |options, network| options.allow(network))
    }
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
        ] {
            let refusal = refusal(text);
            assert!(words.iter().all(|word| refusal.contains(word)), "{text}: {refusal}");
            assert!(!refusal.contains('\n'), "{refusal}");
        }
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let refusal = Config::find(Some(Path::new("/nowhere/stepwell.toml"))).unwrap_err().to_string();
        assert!(refusal.contains("--config"), "{refusal}");
    }
}
