//! The user that runs the servers.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
};

use crate::error::{Error, Result};

/// Whoever runs the servers: ourselves, or somebody with fewer rights if we are root, whom PostgreSQL refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// Nothing to change if we are not root.
    other: Option<(u32, u32)>,
}

/// Users without rights that a machine is likely to have, the better one first.
const LIKELY: [&str; 2] = ["postgres", "nobody"];

impl Account {
    pub(crate) fn find() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let users = fs::read_to_string("/etc/passwd").map_err(Error::io("read the list of users"))?;
        let other = LIKELY.iter().find_map(|name| ids(&users, name));
        let message = "failed to find a user to run PostgreSQL, which root may not: add a user `postgres`";
        Ok(Self { other: Some(other.ok_or_else(|| Error::new(message))?) })
    }

    /// A command that this user will run, in a directory that it may enter.
    pub(crate) fn command(self, program: &Path, place: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(place).env("LC_ALL", "C");
        // What somebody has set for their own server must not reach this one.
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_str().is_some_and(|name| name.starts_with("PG"))) {
            command.env_remove(name);
        }
        if let Some((user, group)) = self.other {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a file to this user.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        match self.other {
            Some((user, group)) => chown(path, Some(user), Some(group))
                .map_err(Error::io(format_args!("give {} to another user", path.display()))),
            None => Ok(()),
        }
    }
}

/// The numbers of a user and of its group, from `/etc/passwd`.
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0:root:/r:/bin/sh\npostgresql:x:7:7::/:/bin/sh\npostgres:x:101:104:a:/v:/bin/sh\n";
        assert_eq!(ids(users, "postgres"), Some((101, 104)));
        assert_eq!(ids(users, "nobody"), None);
    }
}
