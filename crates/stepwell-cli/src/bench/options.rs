//! What can be set of a measurement.

/// What can be set; the words for it are in `commands::bench`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Jobs that are stored, and worked.
    pub(crate) jobs: u32,
    /// Callers at once: those who store jobs, and on a server those who work them, too.
    pub(crate) callers: u16,
    /// Bytes of each payload.
    pub(crate) payload_bytes: u32,
    /// Jobs that are worked at once.
    pub(crate) slots: u16,
}

impl Options {
    /// Jobs that are stored one after the other, to see how soon each begins.
    pub(super) fn single(&self) -> u32 {
        const SINGLE_MAX: u32 = 200;
        self.jobs.min(SINGLE_MAX)
    }
    pub(super) fn payload(&self) -> String {
        "x".repeat(self.payload_bytes as usize)
    }
}
