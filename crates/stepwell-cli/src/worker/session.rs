//! From the command line to one of the two ways.

use stepwell::process::Programs;

use super::{Options, remote, store, told::Told};
use crate::{
    client::Target,
    failure::{FailedTo, Failure},
};

/// What follows from the options.
pub(super) struct Setting {
    pub(super) programs: Programs,
    pub(super) told: Told,
    pub(super) options: Options,
}

pub(crate) async fn run(target: &Target, options: Options) -> Result<u8, Failure> {
    let what = format!("work the kinds of {}", options.config.path().display());
    let programs = Programs::new(options.config.command_kinds()).failed_to(what)?;
    let setting = Setting { programs, told: Told::on(options.out), options };
    match target.chosen_store()? {
        Some(address) => store::run(setting, &address).await,
        None => remote::run(setting, target).await,
    }
}
