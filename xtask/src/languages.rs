//! The languages that tests need beside Rust: the clients are written in them, and phases of the guides. Found or
//! installed before the tests; else it is said what to install, because a test that is left out proves nothing.

use std::process::{Command, Stdio};

use crate::{apt, error::Error};

/// A program that runs a language, or builds what is written in it.
struct Language {
    /// The program.
    name: &'static str,
    /// What apt calls it.
    package: &'static str,
    /// The oldest version that will do.
    oldest: (u32, u32),
    /// What people call it, and where it comes from.
    source: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language { name: "python3", package: "python3", oldest: (3, 9), source: "Python, https://python.org" },
    Language { name: "node", package: "nodejs", oldest: (20, 11), source: "Node.js, https://nodejs.org" },
    Language { name: "npm", package: "npm", oldest: (9, 0), source: "npm, which comes with Node.js" },
];

/// Makes sure that all of them are there.
pub(crate) fn provide() -> Result<(), Error> {
    let missing: Vec<&str> = LANGUAGES
        .iter()
        .filter(|language| version(language.name).is_none())
        .map(|language| language.package)
        .collect();
    apt::install(&missing)?;
    LANGUAGES.iter().try_for_each(|language| language.expect(version(language.name).as_deref()))
}

impl Language {
    fn expect(&self, version: Option<&str>) -> Result<(), Error> {
        let Self { name, oldest: (major, minor), source, .. } = self;
        let found = match version {
            Some(text) if numbers(text).is_some_and(|numbers| numbers >= self.oldest) => return Ok(()),
            Some(text) => format!("`{name}` is {text:?}"),
            None => format!("there is no `{name}`"),
        };
        let wanted = format!("install version {major}.{minor} or a newer one ({source})");
        Err(Error::failed(format!("failed to find what the tests need: {found}; {wanted}")))
    }
}

/// What a program says that its version is.
fn version(name: &str) -> Option<String> {
    let output =
        Command::new(name).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first two numbers of a version, whatever stands before them.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = digits.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let [python, node, npm] = LANGUAGES;
        for (language, fit) in [(&python, "Python 3.11.7"), (&node, "v20.11.0"), (&npm, "11.19.1")] {
            assert_eq!(language.expect(Some(fit)), Ok(()), "{fit}");
        }
        for (language, unfit) in [(&python, "Python 3.8.10"), (&node, "v18.19.0"), (&node, "v9"), (&npm, "")]
        {
            let error = language.expect(Some(unfit)).unwrap_err().to_string();
            assert!(error.contains(unfit) && error.contains("install version"), "{error}");
        }
        assert!(node.expect(None).unwrap_err().to_string().contains("there is no `node`"));
    }
}
