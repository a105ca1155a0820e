//! A second server that follows a first, and can take its place.

use std::process::Stdio;

use crate::{
    cluster::{Cluster, Files},
    error::{Error, Result},
};

/// Whether a commit waits for the standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// It is acknowledged when the standby has it on its disk, so that losing the first server loses nothing.
    Synchronous,
    /// It is acknowledged at once, and a failover may lose it.
    Asynchronous,
}

impl Cluster {
    /// Starts a server that follows this one, with the same settings. The first must have [`durable`] settings.
    ///
    /// [`durable`]: crate::Settings::durable
    ///
    /// # Errors
    /// If it cannot be copied, or does not start.
    pub fn standby(&self, replication: Replication) -> Result<Self> {
        let files = Files::make()?;
        let source = self.address();
        let mut command = files.account.command(&files.bin.join("pg_basebackup"), &files.data);
        command.args([
            "--no-sync",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--write-recovery-conf",
            "--dbname",
        ]);
        // Its name is what the first server waits for.
        command.arg(format!("{}?application_name=standby", source.url("postgres"))).arg("--pgdata");
        let output = command
            .arg(&files.data)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("start pg_basebackup"))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(format!("failed to copy a server: {reason}")));
        }
        let mut standby = Self::start_on(files, self.settings())?;
        if replication == Replication::Synchronous {
            self.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
            self.query("SELECT pg_reload_conf()")?;
            // Commits wait for it from the moment it has caught up.
            let follows = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
            standby.wait_until(|| self.query(follows).is_ok_and(|rows| !rows.is_empty()))?;
        }
        Ok(standby)
    }

    /// Makes this standby a server in its own right. Whoever it followed must be gone.
    ///
    /// # Errors
    /// If it is none, or takes longer than a minute.
    pub fn promote(&self) -> Result<()> {
        match self.query("SELECT pg_promote(true, 60)")?.first().and_then(|row| row[0].as_deref()) {
            Some("t") => {}
            _ => return Err(Error::new("failed to promote a standby within a minute")),
        }
        // What it was copied with would make it wait for a standby of its own.
        self.query("ALTER SYSTEM RESET synchronous_standby_names")?;
        self.query("SELECT pg_reload_conf()")?;
        Ok(())
    }
}
