//! Commands, run one after the other.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::redact::Ids;

/// Runs the commands of a transcript.
pub(crate) struct Script<'p> {
    place: &'p Path,
    environment: &'p [(&'p str, String)],
    ids: Ids,
}

impl<'p> Script<'p> {
    pub(crate) fn new(place: &'p Path, environment: &'p [(&'p str, String)]) -> Self {
        Self { place, environment, ids: Ids::default() }
    }
    /// The transcript as it is now: the same commands and remarks, and what is said now.
    pub(crate) fn run(&mut self, transcript: &str) -> String {
        let (mut said, mut file) = (String::new(), None::<PathBuf>);
        let blocks = transcript.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty());
        for block in blocks {
            if !said.is_empty() {
                said.push('\n');
            }
            for line in block.lines() {
                if let Some(command) = line.strip_prefix("$ stepwell ") {
                    said.push_str(&format!("{line}\n{}", self.command(command)));
                } else if let Some(name) = line.strip_prefix("= ") {
                    said.push_str(&format!("{line}\n"));
                    file = Some(self.place.join(name));
                    self.write(file.as_deref(), "");
                } else if let Some(text) = line.strip_prefix("+ ") {
                    said.push_str(&format!("{line}\n"));
                    self.write(file.as_deref(), text);
                } else if line.starts_with("# ") {
                    said.push_str(&format!("{line}\n"));
                }
            }
        }
        said
    }
    /// Adds a line to a file; none begins it anew.
    fn write(&self, file: Option<&Path>, text: &str) {
        let file = file.expect("a line of a file follows its name");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let before = match text {
            "" => String::new(),
            _ => fs::read_to_string(file).unwrap() + text + "\n",
        };
        fs::write(file, before).unwrap();
    }
    /// What a command says.
    fn command(&mut self, command: &str) -> String {
        let filled = self.ids.fill_in(command);
        // What a worker may be faster than is not held against it.
        let (filled, is_heard) = match filled.strip_suffix(" > /dev/null") {
            Some(command) => (command.to_owned(), false),
            None => (filled, true),
        };
        let (command, input) = filled.split_once(" <<< ").unwrap_or((&filled, ""));
        let mut program = Command::new(env!("CARGO_BIN_EXE_stepwell"));
        program.args(words(command)).current_dir(self.place);
        for name in ["SERVER", "STORE", "TOKEN", "TOKEN_FILE", "PROFILE", "CONFIG", "LISTEN", "LOG"] {
            program.env_remove(format!("STEPWELL_{name}"));
        }
        program.env("XDG_CONFIG_HOME", self.place.join("config"));
        program.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child =
            program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Who does not read it does not have to.
        stdin.write_all(words(input).concat().as_bytes()).ok();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let place = self.place.to_str().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(place, "<place>");
        let (told, beside) = (text(output.stdout), text(output.stderr));
        let mut said = if is_heard { self.ids.redact(&told) } else { String::new() };
        for line in self.ids.redact(&beside).lines() {
            said.push_str(&format!("! {line}\n"));
        }
        match output.status.code() {
            Some(0) => {}
            code => said.push_str(&format!("[exit {}]\n", code.unwrap_or(-1))),
        }
        said
    }
}

/// The words of a command as a shell reads them.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(mark), _) if letter == mark => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert!(quote.is_none(), "a quote is left open: {command}");
    words.extend(word);
    words
}

/// The lines that differ first, with the command that says them.
pub(crate) fn difference(expected: &str, said: &str) -> String {
    let same = expected.lines().zip(said.lines()).take_while(|(expected, said)| expected == said).count();
    let command =
        said.lines().take(same + 1).filter(|line| line.starts_with("$ ")).last().unwrap_or_default();
    let from = |text: &str| text.lines().skip(same).take(8).collect::<Vec<_>>().join("\n");
    format!("{command}\nexpected:\n{}\nsaid:\n{}", from(expected), from(said))
}
