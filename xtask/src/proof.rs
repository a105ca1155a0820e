//! `cargo xtask proof`: the proofs that take longer than a change can wait for, at a size of one's choice.
//!
//! A proof is a test target of its crate. It reads its size from the environment and prints its seed, so that a
//! failing run can be repeated with `--seed`. Those that need more than Rust (Python, a browser) say what is missing.

use std::process::Command;

use crate::{cargo, error::Error};

pub(crate) const ARGUMENTS: &str = "[machine|properties|kill9|shutdown|powerloss|webhooks|outward|fuzzed|signatures|\
    browser|crowd] [--states|--cases|--rounds|--examples|--clients N] [--seed S] [--tier pr|nightly|release]";

/// Test targets that are not among the tests of every change, because they take more than Rust or more than a minute.
/// What does not run there must compile there all the same.
pub(crate) const APART: [&str; 4] = ["browser", "crowd", "fuzzed", "signatures"];

struct Proof {
    name: &'static str,
    package: &'static str,
    /// The integration test that is the proof; without one, the tests of the package whose name has `filter`.
    target: Option<&'static str>,
    filter: Option<&'static str>,
    /// Features of the package that the proof needs beside the default ones.
    features: Option<&'static str>,
    /// Without one, there is only one size.
    size: Option<Size>,
    seed_env: Option<&'static str>,
}

/// How large a proof is: the flag and the variable that say so, and what each tier takes.
struct Size {
    flag: &'static str,
    env: &'static str,
    pr: u64,
    nightly: u64,
    release: u64,
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "machine",
        package: "stepwell-core",
        target: Some("explore"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--states",
            env: "STEPWELL_EXPLORE_STATES",
            pr: 300_000,
            nightly: 10_000_000,
            release: 100_000_000,
        }),
        seed_env: None,
    },
    Proof {
        name: "properties",
        package: "stepwell-store-tests",
        target: None,
        filter: Some("properties"),
        features: None,
        // At 60 operations a case, the nightly size already is the ten million operations a release asks for.
        size: Some(Size {
            flag: "--cases",
            env: "PROPTEST_CASES",
            pr: 2_000,
            nightly: 200_000,
            release: 200_000,
        }),
        seed_env: None,
    },
    Proof {
        name: "kill9",
        package: "stepwell",
        target: Some("kill9"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_KILL9_ROUNDS",
            pr: 100,
            nightly: 10_000,
            release: 100_000,
        }),
        seed_env: Some("STEPWELL_KILL9_SEED"),
    },
    Proof {
        name: "shutdown",
        package: "stepwell",
        target: Some("shutdown"),
        filter: None,
        features: None,
        // A round may wait for a grace period to pass, so there are fewer of them than of kill9.
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_SHUTDOWN_ROUNDS",
            pr: 100,
            nightly: 2_000,
            release: 20_000,
        }),
        seed_env: None,
    },
    Proof {
        name: "powerloss",
        package: "stepwell-sim",
        target: Some("powerloss"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_POWERLOSS_ROUNDS",
            pr: 3_000,
            nightly: 300_000,
            release: 1_000_000,
        }),
        seed_env: Some("STEPWELL_POWERLOSS_SEED"),
    },
    Proof {
        name: "webhooks",
        package: "stepwell",
        target: Some("webhook_kill9"),
        filter: None,
        features: Some("webhooks,crash-points"),
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_WEBHOOKS_ROUNDS",
            pr: 54,
            nightly: 5_000,
            release: 50_000,
        }),
        seed_env: Some("STEPWELL_WEBHOOKS_SEED"),
    },
    Proof {
        name: "outward",
        package: "stepwell-cli",
        target: Some("outward"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_OUTWARD_ROUNDS",
            pr: 54,
            nightly: 3_000,
            release: 30_000,
        }),
        seed_env: Some("STEPWELL_OUTWARD_SEED"),
    },
    Proof {
        name: "fuzzed",
        package: "stepwell-cli",
        target: Some("fuzzed"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--examples",
            env: "STEPWELL_FUZZED_EXAMPLES",
            pr: 30,
            nightly: 1_000,
            release: 10_000,
        }),
        seed_env: Some("STEPWELL_FUZZED_SEED"),
    },
    Proof {
        name: "signatures",
        package: "stepwell-cli",
        target: Some("signatures"),
        filter: None,
        features: None,
        size: None,
        seed_env: None,
    },
    Proof {
        name: "browser",
        package: "stepwell-cli",
        target: Some("browser"),
        filter: None,
        features: None,
        size: None,
        seed_env: None,
    },
    Proof {
        name: "crowd",
        package: "stepwell-cli",
        target: Some("crowd"),
        filter: None,
        features: None,
        // One machine has ports and files for not much more.
        size: Some(Size {
            flag: "--clients",
            env: "STEPWELL_CROWD_CLIENTS",
            pr: 2_000,
            nightly: 10_000,
            release: 18_000,
        }),
        seed_env: None,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Pr,
    Nightly,
    Release,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    name: Option<String>,
    tier: Tier,
    size: Option<(String, u64)>,
    seed: Option<u64>,
}

/// Runs the named proof, or all of them.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    let request = Request::parse(words)?;
    for proof in request.proofs()? {
        let mut command = proof.command(&request)?;
        proof.expect_tests()?;
        cargo::run(&mut command)?;
    }
    Ok(())
}

impl Request {
    fn parse(words: &[String]) -> Result<Self, Error> {
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
                "--rounds" | "--states" | "--cases" | "--examples" | "--clients" => {
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

    fn proofs(&self) -> Result<Vec<&'static Proof>, Error> {
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

impl Proof {
    fn command(&self, request: &Request) -> Result<Command, Error> {
        let mut command = self.test(&["--nocapture"])?;
        if let Some((env, count)) = self.count(request)? {
            command.env(env, count.to_string());
        }
        match (request.seed, self.seed_env) {
            (Some(seed), Some(env)) => _ = command.env(env, seed.to_string()),
            // A seed given for all proofs goes to those that have one.
            (Some(_), None) if request.name.is_some() => {
                return Err(Error::usage(format!("`proof {}` takes no `--seed`", self.name)));
            }
            _ => {}
        }
        Ok(command)
    }

    /// The variable that holds the size, and the size.
    fn count(&self, request: &Request) -> Result<Option<(&'static str, u64)>, Error> {
        let size = match (&self.size, &request.size) {
            (None, None) => return Ok(None),
            (None, Some((flag, _))) => {
                return Err(Error::usage(format!(
                    "`proof {}` has one size, but was given `{flag}`",
                    self.name
                )));
            }
            (Some(size), _) => size,
        };
        let count = match (&request.size, request.tier) {
            (Some((flag, count)), _) if flag == size.flag => *count,
            (Some((flag, _)), _) => {
                let (name, right) = (self.name, size.flag);
                let message = format!("`proof {name}` is sized with `{right}`, but was given `{flag}`");
                return Err(Error::usage(message));
            }
            (None, Tier::Pr) => size.pr,
            (None, Tier::Nightly) => size.nightly,
            (None, Tier::Release) => size.release,
        };
        Ok(Some((size.env, count)))
    }

    fn test(&self, words: &[&str]) -> Result<Command, Error> {
        let mut command = cargo::cargo(&["test", "--release", "--package", self.package])?;
        if let Some(features) = self.features {
            command.args(["--features", features]);
        }
        if let Some(target) = self.target {
            command.args(["--test", target]);
        }
        command.arg("--").args(words).args(self.filter);
        Ok(command)
    }

    /// A filter that matches nothing is a success for the test runner, and would pass for a proof.
    fn expect_tests(&self) -> Result<(), Error> {
        let list = cargo::output(&mut self.test(&["--list"])?)?;
        if list.lines().any(|line| line.ends_with(": test")) {
            return Ok(());
        }
        Err(Error::failed(format!("failed to find a test for the proof `{}` in {}", self.name, self.package)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Request, Error> {
        Request::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn lines(line: &str) -> Result<Vec<String>, Error> {
        let request = request(line)?;
        request.proofs()?.into_iter().map(|proof| Ok(cargo::describe(&proof.command(&request)?))).collect()
    }

    fn refusal(line: &str) -> String {
        match lines(line).unwrap_err() {
            Error::Usage(message) => message,
            Error::Failed(message) => panic!("`{line}` was not a usage error: {message}"),
        }
    }

    #[test]
    fn rounds_and_seed_reach_the_test_through_the_environment() {
        assert_eq!(
            lines("kill9 --rounds 10,000 --seed 7").unwrap(),
            ["STEPWELL_KILL9_ROUNDS=10000 STEPWELL_KILL9_SEED=7 \
              cargo test --release --package stepwell --test kill9 -- --nocapture"]
        );
    }

    #[test]
    fn a_filter_comes_after_the_dashes() {
        let line = lines("properties --cases 5").unwrap().remove(0);
        assert!(line.starts_with("PROPTEST_CASES=5 "), "{line}");
        assert!(line.ends_with("--package stepwell-store-tests -- --nocapture properties"), "{line}");
    }

    #[test]
    fn without_a_name_all_proofs_run_at_the_size_of_the_tier() {
        let lines = lines("--tier nightly").unwrap();
        assert_eq!(lines.len(), PROOFS.len());
        assert!(lines.iter().any(|line| line.contains("STEPWELL_EXPLORE_STATES=10000000")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("STEPWELL_KILL9_ROUNDS=10000")), "{lines:?}");
    }

    #[test]
    fn the_smallest_tier_is_the_default_and_tiers_grow() {
        assert_eq!(request("machine").unwrap().tier, Tier::Pr);
        for Proof { name, size, .. } in PROOFS {
            let grows = |size: &Size| size.pr < size.nightly && size.nightly <= size.release;
            assert!(size.as_ref().is_none_or(grows), "{name}");
        }
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, word) in [
            ("kil9", "`kil9`"),
            ("kill9 --rounds", "`--rounds`"),
            ("kill9 --rounds many", "`many`"),
            ("kill9 --states 5", "`--states`"),
            ("machine --seed 5", "`--seed`"),
            ("signatures --rounds 5", "`--rounds`"),
            ("kill9 shutdown", "`shutdown`"),
            ("kill9 --tier hourly", "`hourly`"),
            ("kill9 --fast", "`--fast`"),
            ("--rounds 5", "`--rounds`"),
        ] {
            let message = refusal(line);
            assert!(message.contains(word), "`{line}` was answered: {message}");
        }
    }
}
