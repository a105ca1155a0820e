//! The command itself.

use std::fs;

use super::{migrations, rule, tree};
use crate::{cargo, error::Error};

/// Prints every fault, and fails if there is one.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    let bless = match words {
        [] => false,
        [word] if word == "--bless" => true,
        [word, ..] => {
            return Err(Error::usage(format!("`tidy` takes only `--bless`, but was given `{word}`")));
        }
    };
    let root = cargo::root()?;
    if bless {
        let list = migrations::bless(&tree::files(&root)?);
        fs::write(root.join(migrations::LIST), list)
            .map_err(|error| Error::failed(format!("failed to write {}: {error}", migrations::LIST)))?;
    }
    let files = tree::files(&root)?;
    let found = rule::check(&files);
    for (fault, rule) in &found {
        println!("{fault} [{rule}]");
    }
    if found.is_empty() {
        println!("tidy: no fault in {} files", files.len());
        return Ok(());
    }
    Err(Error::failed(format!("failed tidy, faults to repair: {}", found.len())))
}
