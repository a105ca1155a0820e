//! The words of `stepwell config`, and what is set.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::{json, value::RawValue};

use super::edit;
use crate::{
    client::{Target, Told, variable},
    commands::serve,
    config::Config,
    failure::{FailedTo, Failure, code},
    output::{Fields, Format, Members, Output, Table},
};

/// What says more than what.
const ORDER: &str = "\
What counts more than what, the first one most:
  a flag
  the environment: STEPWELL_SERVER, STEPWELL_STORE, STEPWELL_TOKEN and so on
  the profile that --profile names, [profiles.NAME] of any file
  ./stepwell.toml, or the file that --config or STEPWELL_CONFIG names
  $XDG_CONFIG_HOME/stepwell/config.toml, ~/.config unless set
  /etc/stepwell/config.toml
  what is so unless it is set

[client] and profiles have server or store, and beside a server token_file, or token_cmd, which only the last two files
may have. [serve] has store, listen, hosts, behind_proxy, requests_per_minute, grace and keep. Kinds, queues and
networks for webhooks are for stepwell.toml.";

/// What a setting has.
const MEMBERS: Members = Members::Only(&["name", "value", "origin"]);

#[derive(clap::Args)]
#[command(after_help = ORDER)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what is set: whom commands ask, how `serve` serves, and what stepwell.toml has. It also checks the files.
    Show {
        /// Also what set each of it.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        fields: Fields,
    },
    /// Prints one setting, as `show` calls it.
    Get {
        /// Its name.
        name: String,
        #[command(flatten)]
        file: File,
    },
    /// Sets one setting in a file, and leaves the rest of it as it is: serve.listen, queues.mail.limit, or one of
    /// the section client, which need not be named: server, store, token_file. With --profile, one of that profile.
    Set {
        /// Its name.
        name: String,
        /// A text; or a number, true, false or a list, where the setting takes one.
        value: String,
        #[command(flatten)]
        place: Written,
    },
    /// Makes a file to begin with, which says in comments what else it may have.
    Init {
        #[command(flatten)]
        place: Written,
    },
    /// Lists the profiles of all files.
    Profiles {
        #[command(flatten)]
        fields: Fields,
    },
}

#[derive(clap::Args)]
struct File {
    /// The file, if that is not ./stepwell.toml.
    #[arg(long, value_name = "FILE", env = "STEPWELL_CONFIG")]
    config: Option<PathBuf>,
}

/// Which file is written.
#[derive(clap::Args)]
struct Written {
    /// The user's file in place of ./stepwell.toml.
    #[arg(long, conflicts_with = "config")]
    user: bool,
    #[command(flatten)]
    file: File,
}

impl Written {
    fn place(&self) -> Result<edit::Place, Failure> {
        edit::Place::of(self.user, self.file.config.as_deref())
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    let out = Output::from(format);
    match command {
        Command::Show { origin, file, fields } => {
            fields.check(MEMBERS)?;
            show(out, &settings(&target, file.config.as_deref()).await?, origin, &fields)?;
        }
        Command::Get { name, file } => get(out, &settings(&target, file.config.as_deref()).await?, &name)?,
        Command::Set { name, value, place } => {
            edit::set(&out, &place.place()?, target.named_profile(), &name, &value)?;
        }
        Command::Init { place } => edit::init(&out, &place.place()?)?,
        Command::Profiles { fields } => {
            fields.check(MEMBERS)?;
            profiles(out, &fields)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is set: whom commands ask, how `serve` serves, and what the files have. Secrets are not told.
///
/// # Errors
/// If a file, or the environment, says what cannot be.
pub(crate) async fn settings(target: &Target, named: Option<&Path>) -> Result<Vec<Told>, Failure> {
    let files = Config::all(named)?;
    let mut settings = target.told().await?;
    settings.extend(serve::told(&files)?);
    settings.push(match variable("STEPWELL_LOG") {
        Some(level) => ("log", level, "STEPWELL_LOG".to_owned()),
        None => ("log", "warn".to_owned(), "default".to_owned()),
    });
    for config in &files {
        let origin = config.path().display().to_string();
        settings.extend(config.kinds().map(|kind| ("kind", kind.to_owned(), origin.clone())));
    }
    Ok(settings)
}

fn show(out: Output, settings: &[Told], with_origin: bool, fields: &Fields) -> Result<(), Failure> {
    let columns: &[&str] = if with_origin { &["NAME", "VALUE", "ORIGIN"] } else { &["NAME", "VALUE"] };
    let mut table = Table::new(columns);
    let mut items = Vec::new();
    for (name, value, origin) in settings {
        let mut cells = vec![(*name).to_owned(), value.clone()];
        let mut item = json!({ "name": name, "value": value });
        if with_origin {
            cells.push(origin.clone());
        }
        if with_origin || fields.are_chosen() {
            item["origin"] = origin.as_str().into();
        }
        table.row(cells);
        items.push(RawValue::from_string(item.to_string()).failed_to("write the settings")?);
    }
    out.choose(&items, &table, fields)?;
    out.hint("stepwell config show --origin");
    Ok(())
}

fn get(out: Output, settings: &[Told], name: &str) -> Result<(), Failure> {
    let found: Vec<&Told> = settings.iter().filter(|(known, ..)| *known == name).collect();
    if found.is_empty() {
        let known: std::collections::BTreeSet<&str> = settings.iter().map(|(known, ..)| *known).collect();
        let known: Vec<&str> = known.into_iter().collect();
        let why = format!("nothing of that name is set; there are {}", known.join(", "));
        return Err(Failure::with_code(code::NOT_FOUND, format!("show the setting {name:?}"), why));
    }
    for (name, value, origin) in found {
        match out.is_json() {
            true => out.line(&json!({ "name": name, "value": value, "origin": origin }).to_string())?,
            false => out.line(value)?,
        }
    }
    Ok(())
}

/// Each profile once: of two with one name, the one that is used.
fn profiles(out: Output, fields: &Fields) -> Result<(), Failure> {
    let files = Config::all(variable("STEPWELL_CONFIG").map(PathBuf::from).as_deref())?;
    let mut table = Table::new(&["NAME", "VALUE", "ORIGIN"]);
    let (mut items, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for file in &files {
        for (name, asked) in file.profiles() {
            if !seen.insert(name) {
                continue;
            }
            let server = asked.server.as_ref().map(ToString::to_string);
            let store = || asked.store.as_ref().map(ToString::to_string);
            let (value, origin) =
                (server.or_else(store).unwrap_or_default(), file.path().display().to_string());
            let item = json!({ "name": name, "value": value, "origin": origin });
            table.row([name.clone(), value, origin]);
            items.push(RawValue::from_string(item.to_string()).failed_to("write the profiles")?);
        }
    }
    out.choose(&items, &table, fields)?;
    out.hint("stepwell jobs list --profile NAME");
    Ok(())
}
