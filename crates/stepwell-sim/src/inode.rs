//! One file: what of it is on the disk, and what was only written.

use crate::chance::Chance;

/// The smallest piece that a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// One file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    durable: Vec<u8>,
    pending: Vec<Change>,
    len: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => put(content, *at, bytes),
            Self::Resize(len) => content.resize(*len, 0),
        }
    }
    /// Does some of it: a write is torn at the borders of sectors.
    fn tear(&self, content: &mut Vec<u8>, chance: &mut Chance) {
        match self {
            Self::Write { at, bytes } => {
                for (nth, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if chance.per_mille(500) {
                        put(content, at + nth * SECTOR_BYTES, sector);
                    }
                }
            }
            Self::Resize(_) => self.apply(content),
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl Inode {
    pub(crate) fn durable(content: Vec<u8>) -> Self {
        Self { len: content.len() as u64, durable: content, pending: Vec::new() }
    }
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.len = self.len.max(at + bytes.len() as u64);
        self.pending.push(Change::Write { at: index(at), bytes: bytes.to_vec() });
    }
    pub(crate) fn resize(&mut self, len: u64) {
        self.len = len;
        self.pending.push(Change::Resize(index(len)));
    }
    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What is there after a loss of power.
    pub(crate) fn after_loss(&self, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.durable.clone();
        let (style, reached) = (chance.below(4), chance.below(self.pending.len() as u64 + 1));
        for (nth, change) in (0..).zip(&self.pending) {
            let arrives = match style {
                0 => false,
                1 => nth < reached,
                // A disk may write in any order: so any of them may be there, and any may not.
                2 => chance.per_mille(500),
                _ => true,
            };
            match (arrives, chance.per_mille(300)) {
                (true, true) => change.tear(&mut content, chance),
                (true, false) => change.apply(&mut content),
                (false, _) => {}
            }
        }
        content
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a test's file fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_stays_and_the_rest_may_go() {
        let mut inode = Inode::default();
        inode.write(0, &[1; 1_024]);
        inode.sync();
        inode.write(512, &[2; 1_024]);
        let mut chance = Chance::new(1);
        let images: Vec<_> = (0..200).map(|_| inode.after_loss(&mut chance)).collect();
        assert!(images.iter().all(|image| image[..512] == [1; 512]));
        assert!(images.iter().any(|image| image == &[1; 1_024]), "lost");
        assert!(images.iter().any(|image| image.len() == 1_536 && image[512..] == [2; 1_024]), "kept");
        let torn = |image: &Vec<u8>| image.len() == 1_536 && image[512..1_024] == [1; 512];
        assert!(images.iter().any(torn), "torn");
        assert_eq!(inode.len(), 1_536);
    }

    #[test]
    fn a_cut_may_come_back() {
        let mut inode = Inode::durable(vec![1; 100]);
        inode.resize(0);
        let mut chance = Chance::new(1);
        let lens: Vec<_> = (0..50).map(|_| inode.after_loss(&mut chance).len()).collect();
        assert!(lens.contains(&0) && lens.contains(&100));
        inode.sync();
        assert_eq!(inode.after_loss(&mut chance), []);
    }
}
