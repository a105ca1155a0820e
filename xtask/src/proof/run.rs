//! The command itself.

use std::process::Command;

use super::{
    list::Proof,
    request::{Request, Tier},
};
use crate::{cargo, error::Error, servers::Servers};

/// Runs the named proof, or all of them.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    let request = Request::parse(words)?;
    let proofs = request.proofs()?;
    let servers = proofs.iter().any(|proof| proof.on_servers).then(Servers::start).transpose()?;
    for proof in proofs {
        let mut command = proof.command(&request)?;
        proof.expect_tests()?;
        if let Some(servers) = &servers {
            servers.tell(&mut command);
        }
        cargo::run(&mut command)?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::list::{PROOFS, Size};

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
