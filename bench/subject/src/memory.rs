//! The memory of this process, as the kernel counts it.
use std::fs;

use crate::Result;

/// Resident memory in MiB, pages of files included.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub now_mib: f64,
    /// The most there ever was.
    pub peak_mib: f64,
}

impl Memory {
    /// # Errors
    /// If the kernel does not tell, as on anything but Linux.
    pub fn read() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            kib.map(|kib| kib / 1024.0).ok_or_else(|| format!("/proc/self/status has no {field}"))
        };
        Ok(Self { now_mib: mib("VmRSS:")?, peak_mib: mib("VmHWM:")? })
    }
}
