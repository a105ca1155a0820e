//! What the command line asks for.

use super::list::{PROOFS, Proof};
use crate::error::Error;

pub(crate) const ARGUMENTS: &str = "[machine|properties|kill9|shutdown|powerloss|webhooks|outward|processes|\
    chaos|log|fuzzed|signatures|conformance|static|browser|crowd] \
    [--states|--cases|--rounds|--minutes|--examples|--clients N] [--seed S] [--tier pr|nightly|release]";

/// Before a change is merged, each night, and before a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Pr,
    Nightly,
    Release,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) name: Option<String>,
    pub(super) tier: Tier,
    pub(super) size: Option<(String, u64)>,
    pub(super) seed: Option<u64>,
}

impl Request {
    pub(super) fn parse(words: &[String]) -> Result<Self, Error> {
        let mut request = Self { name: None, tier: Tier::Pr, size: None, seed: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .ok_or_else(|| Error::usage(format!("`{word}` needs a value after it")))
                    .map(String::as_str)
            };
            match word.as_str() {
                "--tier" => request.tier = tier(value()?)?,
                "--seed" => request.seed = Some(number(word, value()?)?),
                "--rounds" | "--states" | "--cases" | "--minutes" | "--examples" | "--clients" => {
                    request.size = Some((word.clone(), number(word, value()?)?));
                }
                flag if flag.starts_with('-') => {
                    return Err(Error::usage(format!("`proof` has no flag `{flag}`; it takes {ARGUMENTS}")));
                }
                name if request.name.is_none() => request.name = Some(name.to_owned()),
                extra => {
                    return Err(Error::usage(format!(
                        "`proof` takes one name, but was also given `{extra}`"
                    )));
                }
            }
        }
        Ok(request)
    }

    pub(super) fn proofs(&self) -> Result<Vec<&'static Proof>, Error> {
        let Some(name) = &self.name else {
            return match &self.size {
                Some((flag, _)) => Err(Error::usage(format!("`{flag}` needs the name of a proof before it"))),
                None => Ok(PROOFS.iter().collect()),
            };
        };
        let known = || PROOFS.iter().map(|proof| proof.name).collect::<Vec<_>>().join(", ");
        match PROOFS.iter().find(|proof| proof.name == name) {
            Some(proof) => Ok(vec![proof]),
            None => Err(Error::usage(format!("`{name}` is not a proof; the proofs are {}", known()))),
        }
    }
}

fn tier(word: &str) -> Result<Tier, Error> {
    match word {
        "pr" => Ok(Tier::Pr),
        "nightly" => Ok(Tier::Nightly),
        "release" => Ok(Tier::Release),
        _ => Err(Error::usage(format!("`{word}` is not a tier; the tiers are pr, nightly, release"))),
    }
}

fn number(flag: &str, word: &str) -> Result<u64, Error> {
    word.replace(['_', ','], "")
        .parse()
        .map_err(|_| Error::usage(format!("`{flag}` takes a whole number, but was given `{word}`")))
}
