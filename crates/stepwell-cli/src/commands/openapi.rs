//! `stepwell openapi`.

use std::process::ExitCode;

use crate::{failure::Failure, output::Output};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    Output::plain().write(stepwell_http::openapi_json())?;
    Ok(ExitCode::SUCCESS)
}
