//! `stepwell config`.

use std::{env, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use serde_json::{json, value::RawValue};

use crate::{
    client::{Target, Told},
    config::Config,
    failure::{FailedTo, Failure},
    output::{Format, Output, Table},
};

/// What says more than what.
const ORDER: &str = "\
What a flag says counts more than what the environment says, and that more than the default. Kinds, queues and networks
for webhooks are said in stepwell.toml, which `serve` and `dev` read.";

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
    /// Shows what is set: whom commands ask, where `serve` listens, and what stepwell.toml has. It also checks that.
    Show {
        /// Also what set each of it.
        #[arg(long)]
        origin: bool,
        /// The file, if that is not ./stepwell.toml.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command: Command::Show { origin, config } } = arguments;
    let mut settings = target.told()?;
    settings.push(of_environment("listen", "STEPWELL_LISTEN", "127.0.0.1:7717"));
    settings.push(of_environment("log", "STEPWELL_LOG", "warn"));
    settings.extend(of_file(config)?);
    show(format.into(), &settings, origin)?;
    Ok(ExitCode::SUCCESS)
}

fn of_environment(name: &'static str, variable: &str, default: &str) -> Told {
    match env::var(variable).ok().filter(|value| !value.is_empty()) {
        Some(value) => (name, value, variable.to_owned()),
        None => (name, default.to_owned(), "default".to_owned()),
    }
}

fn of_file(named: Option<PathBuf>) -> Result<Vec<Told>, Failure> {
    let Some(config) = Config::find(named.as_deref())? else { return Ok(Vec::new()) };
    let origin = config.path().display().to_string();
    Ok(config.kinds().map(|kind| ("kind", kind.to_owned(), origin.clone())).collect())
}

fn show(out: Output, settings: &[Told], with_origin: bool) -> Result<(), Failure> {
    let columns: &[&str] = if with_origin { &["NAME", "VALUE", "ORIGIN"] } else { &["NAME", "VALUE"] };
    let mut table = Table::new(columns);
    let mut items = Vec::new();
    for (name, value, origin) in settings {
        let mut cells = vec![(*name).to_owned(), value.clone()];
        let mut item = json!({ "name": name, "value": value });
        if with_origin {
            cells.push(origin.clone());
            item["origin"] = origin.as_str().into();
        }
        table.row(cells);
        items.push(RawValue::from_string(item.to_string()).failed_to("write the settings")?);
    }
    out.list(&items, &table)
}
