//! Where things are said: data on standard output, words on standard error.

use std::io::{self, IsTerminal, Write};

use console::Term;
use serde_json::value::RawValue;

use super::{Table, clean};
use crate::failure::{FailedTo, Failure, code};

/// How it is said, as the command line has it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Format {
    /// Prints JSON: an object, an array, or an object a line of what goes on.
    #[arg(long, global = true)]
    json: bool,
}

/// Where a command says what it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether somebody looks at it.
    people: bool,
    /// Whether somebody reads what is said beside it.
    told: bool,
}

impl From<Format> for Output {
    fn from(format: Format) -> Self {
        Self {
            json: format.json,
            people: !format.json && io::stdout().is_terminal(),
            told: io::stderr().is_terminal(),
        }
    }
}

impl Output {
    /// For what is a text, whoever reads it.
    pub(crate) fn plain() -> Self {
        Format { json: false }.into()
    }
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
    pub(crate) fn is_for_people(&self) -> bool {
        self.people
    }
    /// Whether bars may move.
    pub(crate) fn may_move(&self) -> bool {
        self.people && self.told && console::user_attended_stderr()
    }

    /// Writes as it is. Whoever read it and went away has had enough: that is no failure.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            written => written.failed_to("print"),
        }
    }
    /// Writes one line.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.write(&format!("{text}\n"))
    }
    /// Writes names with their values, a line each, without those that are empty.
    pub(crate) fn facts(&self, facts: &[(&str, String)]) -> Result<(), Failure> {
        let there = || facts.iter().filter(|(_, value)| !value.is_empty());
        let width = there().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        let line = |(name, value): &(&str, String)| match self.people {
            true => format!("{name:<width$}{}\n", clean(value)),
            false => format!("{name}\t{}\n", clean(value)),
        };
        self.write(&there().map(line).collect::<String>())
    }
    /// Says that something is gone.
    pub(crate) fn deleted(&self, id: &str) -> Result<(), Failure> {
        match self.json {
            true => self.line(&serde_json::json!({ "id": id, "deleted": true }).to_string()),
            false => self.line(&format!("{id}\tdeleted")),
        }
    }
    /// Writes a list, or what it was made of.
    pub(crate) fn list(&self, items: &[Box<RawValue>], table: &Table) -> Result<(), Failure> {
        match (self.json, self.people) {
            (true, _) => self.write(&array(items)),
            (false, true) if table.is_empty() => {
                self.say("there are none");
                Ok(())
            }
            (false, true) => {
                let width = Term::stdout().size_checked().map(|(_, columns)| columns.into());
                self.write(&table.aligned(width))
            }
            (false, false) => self.write(&table.plain()),
        }
    }
    /// Says something beside the data.
    pub(crate) fn say(&self, words: &str) {
        eprintln!("stepwell: {}", clean(words));
    }
    /// Says what could be done next, to whoever is there to do it.
    pub(crate) fn hint(&self, words: &str) {
        if self.told && !self.json {
            eprintln!("next: {}", clean(words));
        }
    }
    /// Has somebody write a word before what cannot be undone.
    ///
    /// # Errors
    /// If nobody is there, or it is another word.
    pub(crate) fn confirm(&self, yes: bool, what: &str, word: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            let why = "nobody is there to confirm it; say --yes if that is meant";
            return Err(Failure::with_code(code::USAGE, what, why));
        }
        eprint!("This will {}. Type {word} to go on: ", clean(what));
        let mut typed = String::new();
        io::stdin().read_line(&mut typed).failed_to("read the answer")?;
        match typed.trim() == word {
            true => Ok(()),
            false => Err(Failure::with_code(code::USAGE, what, "it was not confirmed; nothing was changed")),
        }
    }
}

/// Items as they were written, one a line.
fn array(items: &[Box<RawValue>]) -> String {
    match items {
        [] => "[]\n".to_owned(),
        _ => {
            let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
            format!("[\n{}\n]\n", items.join(",\n"))
        }
    }
}
