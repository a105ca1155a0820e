//! What a subject is asked to do: `<command> --store PLACE [--name number]…`, where the place is a file, or the URL of
//! a database.
use std::process;

use crate::Result;

#[derive(Clone, Debug)]
pub struct Request {
    pub command: String,
    /// A file, or the URL of a database.
    pub store: String,
    pub jobs: u64,
    pub phases: u64,
    pub callers: u64,
    pub seconds: u64,
    /// Jobs to put into the file that have ended, that are due later, and that are due now.
    pub finished: u64,
    pub scheduled: u64,
    pub ready: u64,
    /// Receivers of webhooks.
    pub endpoints: u64,
}

impl Request {
    /// Reads the command line; a wrong one ends the program with exit code 2 and says why.
    #[must_use]
    pub fn from_command_line() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|error| {
            eprintln!(
                "error: {error}\nusage: <command> --store PLACE [--jobs N] [--phases N] [--callers N] …"
            );
            process::exit(2);
        })
    }

    /// Ends the program: the command is not one of this subject's.
    pub fn unknown(&self) -> ! {
        eprintln!("error: this subject has no command `{}`", self.command);
        process::exit(2);
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut request = Self {
            command: words.next().ok_or("a command is needed")?,
            store: String::new(),
            jobs: 1_000,
            phases: 1,
            callers: 64,
            seconds: 10,
            finished: 0,
            scheduled: 0,
            ready: 0,
            endpoints: 0,
        };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number, not `{value}`"));
            match name.as_str() {
                "--store" => request.store = value,
                "--jobs" => request.jobs = number()?,
                "--phases" => request.phases = number()?,
                "--callers" => request.callers = number()?.max(1),
                "--seconds" => request.seconds = number()?,
                "--finished" => request.finished = number()?,
                "--scheduled" => request.scheduled = number()?,
                "--ready" => request.ready = number()?,
                "--endpoints" => request.endpoints = number()?,
                _ => return Err(format!("there is no option {name}").into()),
            }
        }
        if request.store.is_empty() {
            return Err("--store PLACE is needed".into());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(line.split_whitespace().map(String::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_line() {
        let request = parse("drain --store a.db --jobs 7").unwrap();
        assert_eq!((request.command.as_str(), request.jobs, request.phases), ("drain", 7, 1));
    }

    #[test]
    fn wrong_lines_say_why() {
        assert_eq!(parse("").unwrap_err(), "a command is needed");
        assert_eq!(parse("drain").unwrap_err(), "--store PLACE is needed");
        assert_eq!(parse("drain --store").unwrap_err(), "--store needs a value");
        assert_eq!(parse("drain --jobs many").unwrap_err(), "--jobs needs a number, not `many`");
        assert_eq!(parse("drain --speed 9").unwrap_err(), "there is no option --speed");
    }
}
