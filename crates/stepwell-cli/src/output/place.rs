//! Where things are said: data on standard output, words on standard error.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use console::Term;
use serde_json::value::RawValue;

use super::{Fields, Table, clean};
use crate::{
    failure::{FailedTo, Failure, code},
    input,
};

/// How it is said, as the command line has it.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "How it is said")]
pub(crate) struct Format {
    /// Prints JSON: an object, an array, or an object a line of what goes on.
    #[arg(long, global = true)]
    json: bool,
    /// When there are colours: auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Asks nothing: what would ask is refused.
    #[arg(long, global = true)]
    no_input: bool,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    fn set(self) {
        let wanted = match self {
            Self::Auto => return,
            Self::Always => true,
            Self::Never => false,
        };
        console::set_colors_enabled(wanted);
        console::set_colors_enabled_stderr(wanted);
    }
}

/// Where a command says what it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether somebody looks at it.
    people: bool,
    /// Whether somebody reads what is said beside it.
    told: bool,
    /// Whether somebody may be asked.
    asks: bool,
}

impl From<Format> for Output {
    fn from(format: Format) -> Self {
        format.color.set();
        Self {
            json: format.json,
            people: !format.json && io::stdout().is_terminal(),
            told: io::stderr().is_terminal(),
            asks: !format.no_input && io::stdin().is_terminal(),
        }
    }
}

impl Output {
    /// For what is a text, whoever reads it.
    pub(crate) fn plain() -> Self {
        Format { json: false, color: Color::Auto, no_input: false }.into()
    }
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
    pub(crate) fn is_for_people(&self) -> bool {
        self.people
    }
    /// Whether bars may move.
    pub(crate) fn may_move(&self) -> bool {
        self.people && self.told && !is_dumb()
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
    /// Writes a list, or the members of it that were chosen.
    pub(crate) fn choose(
        &self,
        items: &[Box<RawValue>],
        table: &Table,
        fields: &Fields,
    ) -> Result<(), Failure> {
        match (fields.are_chosen(), self.json) {
            (false, _) => self.list(items, table),
            (true, true) => self.write(&array(&fields.objects(items)?)),
            (true, false) => self.list(items, &fields.table(items)?),
        }
    }
    /// Writes the members of one of many items that were chosen; false if none were.
    pub(crate) fn choose_one(&self, item: &str, fields: &Fields) -> Result<bool, Failure> {
        if !fields.are_chosen() {
            return Ok(false);
        }
        let item: Box<RawValue> = serde_json::from_str(item).failed_to("understand the answer")?;
        let line = match self.json {
            true => fields.object(&item)?.get().to_owned(),
            false => fields.cells(&item).iter().map(|cell| clean(cell)).collect::<Vec<_>>().join("\t"),
        };
        self.line(&line)?;
        Ok(true)
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
        beside(format_args!("stepwell: {}", clean(words)));
    }
    /// Says what could be done next, to whoever is there to do it.
    pub(crate) fn hint(&self, words: &str) {
        if self.told && !self.json {
            beside(format_args!("next: {}", clean(words)));
        }
    }
    /// Has somebody write a word before what cannot be undone.
    ///
    /// # Errors
    /// If nobody is there, or it is another word.
    pub(crate) async fn confirm(&self, yes: bool, what: &str, word: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !self.asks {
            let why = "nobody is there to confirm it; say --yes if that is meant";
            return Err(Failure::with_code(code::USAGE, what, why));
        }
        write!(io::stderr(), "This will {}. Type {word} to go on: ", clean(what)).failed_to("ask")?;
        let typed = input::line().await.failed_to("read the answer")?;
        match typed.trim() == word {
            true => Ok(()),
            false => Err(Failure::with_code(code::USAGE, what, "it was not confirmed; nothing was changed")),
        }
    }
}

/// Writes a line to standard error. If nobody reads that any more there is nobody to tell, and what is being done goes
/// on all the same.
pub(crate) fn beside(line: impl Display) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Whether the terminal cannot move its cursor.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
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
