//! Disks that fail, fill up and lose power, under the real store.
//!
//! A [`Disk`] stands behind one directory. Whatever SQLite does to its files there goes to the real file system as
//! ever, and is also kept apart as what the hardware would have: what was synced, and what was only written. A loss of
//! power is an [`Image`] of that: the synced bytes, and as much of the rest as chance leaves.
//!
//! # Layout
//! - `disk`: what is known of the files, and what goes wrong; `inode`: one file; `image`: what a loss of power leaves.
//! - `chance`: numbers from a seed.
//! - `vfs`: the file system as SQLite sees it.

mod chance;
mod disk;
mod image;
mod inode;
mod vfs;

pub use chance::Chance;
pub use disk::{Call, Disk, Fault};
pub use image::Image;
