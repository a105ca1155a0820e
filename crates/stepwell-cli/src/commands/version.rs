//! `stepwell version`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    failure::Failure,
    output::{Format, Output},
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    format: Format,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (out, version) = (Output::from(arguments.format), env!("CARGO_PKG_VERSION"));
    match out.is_json() {
        true => out.line(&json!({ "version": version }).to_string())?,
        false => out.line(&format!("stepwell {version}"))?,
    }
    Ok(ExitCode::SUCCESS)
}
