//! What other processes wrote: a watch on the write-ahead log.
//!
//! Every commit of any process writes to the log, and the kernel says so at once; nothing runs while nobody writes. The
//! watch only stirs the writer, which looks at `PRAGMA data_version` to tell a foreign commit from its own. But a
//! commit can be seen only after its sync, and of that the kernel says nothing: so the watch goes on looking for a
//! while, ever more seldom.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc::Sender},
    thread::JoinHandle,
};

use stepwell_core::{Error, Result};

use crate::{inbox::Message, writer::Shared};

/// A running watch. It ends when it is dropped.
pub(crate) struct Watch {
    stop: imp::Stop,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(wal: PathBuf, shared: Arc<Shared>, writer: Sender<Message>) -> Result<Self> {
        let failed = |error: std::io::Error| Error::storage("watch the write-ahead log", error);
        let (stop, watch) = imp::open(&wal).map_err(failed)?;
        let stir = move || {
            shared.stirred.store(true, Ordering::SeqCst);
            // A writer that is busy looks when it has done its work.
            !shared.idle.load(Ordering::SeqCst) || writer.send(Message::Probe).is_ok()
        };
        let thread = std::thread::Builder::new().name("stepwell-watch".into());
        let thread = thread.spawn(move || imp::run(watch, stir)).map_err(failed)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        imp::stop(&self.stop);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use std::{io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

    use stepwell_core::time::Stopwatch;

    use rustix::{
        event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
        fs::inotify,
        io::{Errno, read, write},
    };

    /// The shortest time between two stirs: under load every commit is an event.
    const PAUSE: Duration = Duration::from_millis(1);

    /// A commit that has not shown by then is not waited for any longer.
    const LOOK_MAX: Duration = Duration::from_secs(10);

    /// How long to wait for the next look, so long after an event; none if whatever it told of must long have happened.
    /// A commit is seen later than it could be by at most an eighth of what its disk took, and the looks after one are
    /// few, because each costs an idle process a little.
    fn next_look(since_event: Duration) -> Option<Duration> {
        (since_event < LOOK_MAX).then(|| PAUSE.max(since_event / 8))
    }

    pub(super) type Stop = Arc<OwnedFd>;

    pub(super) struct Log {
        stop: Stop,
        events: OwnedFd,
    }

    pub(super) fn open(wal: &Path) -> io::Result<(Stop, Log)> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&events, wal, inotify::WatchFlags::MODIFY)?;
        Ok((stop.clone(), Log { stop, events }))
    }

    pub(super) fn run(log: Log, stir: impl Fn() -> bool) {
        let mut buffer = [0_u8; 4_096];
        let mut last_event: Option<Stopwatch> = None;
        loop {
            let look = last_event.and_then(|at| next_look(at.elapsed()));
            let look = look.and_then(|look| Timespec::try_from(look).ok());
            let mut fds = [PollFd::new(&*log.stop, PollFlags::IN), PollFd::new(&log.events, PollFlags::IN)];
            match poll(&mut fds, look.as_ref()) {
                Ok(0) if look.is_some() => {}
                Ok(_) => last_event = Some(Stopwatch::start()),
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            if !fds[0].revents().is_empty() {
                return;
            }
            // Read all there is: what they say is the same.
            while read(&log.events, &mut buffer).is_ok_and(|bytes| bytes == buffer.len()) {}
            if !stir() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn stop(stop: &Stop) {
        // A counter that is full has stopped the watch already.
        let _full = write(&**stop, &1_u64.to_ne_bytes());
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::{
        io,
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    /// How often the writer looks where the system does not tell.
    const PAUSE: Duration = Duration::from_millis(5);

    pub(super) type Stop = Arc<AtomicBool>;

    pub(super) fn open(_wal: &Path) -> io::Result<(Stop, Stop)> {
        let stop = Stop::default();
        Ok((stop.clone(), stop))
    }

    pub(super) fn run(stop: Stop, stir: impl Fn() -> bool) {
        while !stop.load(Ordering::SeqCst) && stir() {
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn stop(stop: &Stop) {
        stop.store(true, Ordering::SeqCst);
    }
}
