//! The commands: one file each.

pub(crate) mod dev;
pub(crate) mod serve;
pub(crate) mod tokens;
pub(crate) mod version;
