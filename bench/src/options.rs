//! The command line.
use std::{path::PathBuf, process};

use stepwell_bench_subject::Result;

use crate::{
    measure::{self, Measure},
    store::Kind,
    subject::Subject,
};

const USAGE: &str = "\
usage: cargo run --release --manifest-path bench/Cargo.toml -- [MEASURE…] [OPTION…]

measures: all (the default), drain1, drain3, callers, bulk, latency, idle, memory, finished, scheduled, startup,
          webhooks

  --jobs N          jobs per measurement (50000)
  --rounds R        rounds, each subject once in every round (3)
  --finished N      finished jobs in the file of `finished` (10000000)
  --scheduled N     scheduled jobs in the file of `scheduled`, and all jobs in that of `startup` (1000000)
  --store NAME      sqlite, or postgres: a server of its own is started (sqlite)
  --subjects A,B    of bare, peer, stepwell (all); the peer is effectum, or graphile_worker on PostgreSQL
  --dir DIR         where the files of SQLite are made (bench/target)
  --json FILE       writes the table and the goals to FILE as well";

pub(crate) struct Options {
    pub(crate) measures: Vec<Measure>,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) store: Kind,
    pub(crate) jobs: u64,
    pub(crate) rounds: u64,
    pub(crate) finished: u64,
    pub(crate) scheduled: u64,
    pub(crate) dir: PathBuf,
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// A wrong command line ends the program with exit code 2 and says why.
    pub(crate) fn from_command_line() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if words.iter().any(|word| word == "--help" || word == "-h") {
            println!("{USAGE}");
            process::exit(0);
        }
        Self::parse(words.into_iter()).unwrap_or_else(|error| {
            eprintln!("error: {error}\n\n{USAGE}");
            process::exit(2);
        })
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            measures: Vec::new(),
            subjects: Subject::ALL.to_vec(),
            store: Kind::Sqlite,
            jobs: 50_000,
            rounds: 3,
            finished: 10_000_000,
            scheduled: 1_000_000,
            dir: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")),
            json: None,
        };
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                options.measures.extend(measure::named(&word)?);
                continue;
            }
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--jobs" => options.jobs = count(&word, &value()?)?,
                "--rounds" => options.rounds = count(&word, &value()?)?,
                "--finished" => options.finished = count(&word, &value()?)?,
                "--scheduled" => options.scheduled = count(&word, &value()?)?,
                "--subjects" => {
                    options.subjects = value()?.split(',').map(Subject::named).collect::<Result<_>>()?;
                }
                "--store" => options.store = Kind::named(&value()?)?,
                "--dir" => options.dir = value()?.into(),
                "--json" => options.json = Some(value()?.into()),
                _ => return Err(format!("there is no option {word}").into()),
            }
        }
        if options.measures.is_empty() {
            options.measures.extend(measure::ALL);
        }
        Ok(options)
    }
}

fn count(name: &str, value: &str) -> Result<u64> {
    match value.parse() {
        Ok(0) => Err(format!("{name} must be at least 1").into()),
        Ok(count) => Ok(count),
        Err(_) => Err(format!("{name} needs a whole number, not `{value}`").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(String::from)).map_err(|error| error.to_string())
    }

    fn refused(line: &str) -> String {
        parse(line).err().unwrap()
    }

    #[test]
    fn nothing_means_all() {
        let options = parse("").unwrap();
        assert_eq!(options.measures.len(), measure::ALL.len());
        assert_eq!((options.jobs, options.rounds), (50_000, 3));
    }

    #[test]
    fn sizes_and_measures() {
        let options = parse("drain1 bulk --jobs 10 --subjects bare --json a.json").unwrap();
        let names: Vec<_> = options.measures.iter().map(|measure| measure.name).collect();
        assert_eq!((names, options.jobs), (vec!["drain1", "bulk"], 10));
        assert_eq!(options.subjects, [Subject::Bare]);
    }

    #[test]
    fn wrong_words_are_named() {
        assert_eq!(refused("drain2"), "there is no measure `drain2`");
        assert_eq!(refused("--jobs"), "--jobs needs a value");
        assert_eq!(refused("--jobs x"), "--jobs needs a whole number, not `x`");
        assert_eq!(refused("--rounds 0"), "--rounds must be at least 1");
        assert_eq!(refused("--fast 1"), "there is no option --fast");
        assert_eq!(refused("--subjects bare,redis"), "there is no subject `redis`");
        assert_eq!(refused("--store redis"), "there is no store `redis`");
    }
}
