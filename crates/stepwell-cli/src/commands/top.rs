//! `stepwell top`.

use std::process::ExitCode;

use crate::{
    client::{Session, Target},
    failure::Failure,
    output::Output,
    top,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    Session::run(&arguments.target, Output::plain(), async |session| top::run(session).await).await
}
