//! On what kind of file system the database lies.

use std::path::Path;

use stepwell_core::{Error, Result};

/// File systems on which the processes of several machines, or of a machine and its guests, do not share memory and
/// locks
/// as SQLite's write-ahead log needs it: by the number that the kernel gives them.
const REMOTE: [(u32, &str); 7] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE or virtiofs"),
    (0x6A65_6A63, "virtiofs"),
];

/// Refuses a directory on a network file system.
pub(crate) fn check(directory: &Path) -> Result<()> {
    match kind(directory) {
        Some(magic) => check_kind(magic, directory),
        // A system that does not tell gets the benefit of the doubt.
        None => Ok(()),
    }
}

fn check_kind(magic: u32, directory: &Path) -> Result<()> {
    let Some((_, name)) = REMOTE.iter().find(|(known, _)| *known == magic) else { return Ok(()) };
    Err(Error::refused(format!(
        "{} is on a {name} file system, where SQLite cannot keep several processes apart and may lose data; put \
         the file on a \
         local disk, or allow it explicitly if no other machine ever opens it",
        directory.display()
    )))
}

#[cfg(target_os = "linux")]
fn kind(directory: &Path) -> Option<u32> {
    let stat = rustix::fs::statfs(directory).ok()?;
    // The number has 32 bits; what the kernel adds above them is a sign.
    Some(u32::try_from(stat.f_type.cast_unsigned() & 0xFFFF_FFFF).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn kind(_directory: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_by_name() {
        for (magic, name) in REMOTE {
            let error = check_kind(magic, Path::new("/data")).unwrap_err();
            assert!(error.is_refused());
            let text = error.to_string();
            assert!(text.contains(name) && text.contains("local disk"), "{text}");
        }
        const EXT4: u32 = 0xEF53;
        check_kind(EXT4, Path::new("/data")).unwrap();
    }

    #[test]
    fn a_local_directory_passes() {
        check(tempfile::tempdir().unwrap().path()).unwrap();
    }
}
