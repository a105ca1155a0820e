//! `stepwell version`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::failure::{FailedTo, Failure};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    writeln!(io::stdout(), "stepwell {}", env!("CARGO_PKG_VERSION")).failed_to("print the version")?;
    Ok(ExitCode::SUCCESS)
}
