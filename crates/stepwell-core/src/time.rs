//! Time, and the one door through which it comes in.

use std::{
    ops::{Add, Sub},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

/// A point in time: whole microseconds since the Unix epoch, UTC.
///
/// Converts from and into [`SystemTime`], and therefore works with every date library without this API naming one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time this many microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }
    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(micros(after)),
            Err(before) => Self(micros(before.duration()).saturating_neg()),
        }
    }
}
impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let distance = Duration::from_micros(at.0.unsigned_abs());
        let shifted = match at.0 >= 0 {
            true => Self::UNIX_EPOCH.checked_add(distance),
            false => Self::UNIX_EPOCH.checked_sub(distance),
        };
        shifted.unwrap_or(Self::UNIX_EPOCH)
    }
}
impl Add<Duration> for Timestamp {
    type Output = Self;
    /// Saturates: a delay of `Duration::MAX` means "never", not a panic.
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }
}
impl Sub<Duration> for Timestamp {
    type Output = Self;
    /// Saturates.
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

/// The only source of time. SQL never calls `now()`, and nothing else reads the system's clock.
///
/// The system clock never goes backwards, whatever the wall clock does: it runs with the time since the machine
/// started. That one goes on while the machine sleeps, and so does this one. When the wall clock is ahead, after a step
/// forward, it follows at sixty times the normal speed: an hour in a minute, so that what is due is not late for long,
/// and a year in six days, so that one wrong time server cannot make every old job deletable at once. A restart takes
/// the wall clock over. Nothing relies on the clock for safety; what a wrong clock costs is latency.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<Mutex<Anchor>>),
    Manual(Arc<Mutex<Timestamp>>),
}

#[derive(Debug)]
struct Anchor {
    /// Since the machine started.
    read_at: Duration,
    shown: Timestamp,
    /// What is added to the machine's wall clock, in microseconds, to get that of the one whom this clock follows.
    ahead: i64,
}

impl Anchor {
    fn wall(&self) -> Timestamp {
        Timestamp(wall().0.saturating_add(self.ahead))
    }
}

/// How fast the clock runs while it follows a wall clock that is ahead.
const FOLLOWING: u32 = 60;

impl Anchor {
    fn read(&mut self, since_boot: Duration, wall: Timestamp) -> Timestamp {
        let elapsed = since_boot.saturating_sub(self.read_at);
        let expected = self.shown + elapsed;
        let fastest = self.shown + elapsed.saturating_mul(FOLLOWING);
        self.read_at = since_boot;
        self.shown = wall.clamp(expected, fastest);
        self.shown
    }
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        let anchor = Anchor { read_at: since_boot(), shown: wall(), ahead: 0 };
        Self(Source::System(Arc::new(Mutex::new(anchor))))
    }
    /// The clock of another machine, such as a database that several nodes share, which shows `reference` at this
    /// moment.
    #[must_use]
    pub fn following(reference: Timestamp) -> Self {
        let ahead = reference.0.saturating_sub(wall().0);
        let anchor = Anchor { read_at: since_boot(), shown: reference, ahead };
        Self(Source::System(Arc::new(Mutex::new(anchor))))
    }
    /// Says what the clock that this one follows shows at this moment. Like every clock it goes on without a step: see
    /// above. A clock that is moved by hand follows nobody.
    pub fn follow(&self, reference: Timestamp) {
        if let Source::System(anchor) = &self.0 {
            let ahead = reference.0.saturating_sub(wall().0);
            anchor.lock().unwrap_or_else(PoisonError::into_inner).ahead = ahead;
        }
    }
    /// A clock that stands still until [`advance`](Self::advance) moves it.
    #[must_use]
    pub fn manual(start: impl Into<SystemTime>) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(start.into().into()))))
    }
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(anchor) => {
                let mut anchor = anchor.lock().unwrap_or_else(PoisonError::into_inner);
                let wall = anchor.wall();
                anchor.read(since_boot(), wall)
            }
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
    /// What the wall clock shows, wherever it was set: for a time that others hold against clocks of their own. It may
    /// go backwards, and so nothing is stored by it. A clock that is moved by hand knows no other time than its own.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System(anchor) => anchor.lock().unwrap_or_else(PoisonError::into_inner).wall(),
            Source::Manual(_) => self.now(),
        }
    }
    /// Makes sure that this clock shows no time before `seen`, which a store has recorded.
    ///
    /// Answers by how much the clock had to be moved; a large step means that the machine's clock went backwards
    /// while the store was closed.
    pub fn not_before(&self, seen: Timestamp) -> Duration {
        let now = self.now();
        let behind = seen.since(now);
        if behind > Duration::ZERO {
            match &self.0 {
                Source::System(anchor) => anchor.lock().unwrap_or_else(PoisonError::into_inner).shown = seen,
                Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner) = seen,
            }
        }
        behind
    }
    /// Moves a manual clock forward.
    ///
    /// # Panics
    /// If this is the system clock: a program that tries is mistaken about which clock it holds.
    pub fn advance(&self, by: Duration) {
        match &self.0 {
            Source::System(_) => panic!("the system clock cannot be advanced"),
            Source::Manual(at) => {
                let mut at = at.lock().unwrap_or_else(PoisonError::into_inner);
                *at = *at + by;
            }
        }
    }
    /// Whether this clock moves only by hand.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }
}

fn wall() -> Timestamp {
    SystemTime::now().into()
}

/// The time since the machine started, which all its processes share and which goes on while it sleeps.
///
/// It says nothing about the time of day, and no job sees it.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(unix)]
    {
        // On macOS the monotonic clock is the one that goes on.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let id = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(id);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
    }
    #[cfg(not(unix))]
    {
        // Of this process alone; nothing compares it with another's where there is no store on a file.
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// How long something took, by the monotonic clock.
///
/// For deadlines and rates inside one process, where the store's clock would be the wrong one: it may be manual.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn anchor() -> (Anchor, Duration, Timestamp) {
        let (start, shown) = (Duration::from_hours(9), Timestamp::from_micros(1_000_000_000));
        (Anchor { read_at: start, shown, ahead: 0 }, start, shown)
    }

    #[test]
    fn a_wall_clock_that_goes_backwards_is_ignored() {
        let (mut anchor, start, shown) = anchor();
        assert_eq!(anchor.read(start + SECOND, shown - Duration::from_hours(1)), shown + SECOND);
    }

    #[test]
    fn a_step_forward_is_followed_within_a_bound() {
        let (mut anchor, start, shown) = anchor();
        let step = Duration::from_hours(1);
        let mut read = |after: u32| anchor.read(start + after * SECOND, shown + step + after * SECOND);
        assert_eq!(read(2), shown + 120 * SECOND);
        assert_eq!(read(2), shown + 120 * SECOND, "no time passed");
        assert!(read(59) < shown + step, "not at once");
        assert_eq!(read(62), shown + step + 62 * SECOND, "an hour takes a minute");
    }

    #[test]
    fn a_machine_that_slept_is_no_step() {
        let (mut anchor, start, shown) = anchor();
        let night = Duration::from_hours(8);
        assert_eq!(anchor.read(start + night, shown + night), shown + night);
        assert_eq!(anchor.read(start + night, shown), shown + night, "even if the wall clock stood still");
    }

    #[test]
    fn the_time_since_the_start_of_the_machine_goes_on() {
        let before = since_boot();
        let begun = Stopwatch::start();
        while begun.elapsed() < Duration::from_millis(1) {
            std::thread::yield_now();
        }
        assert!(since_boot() - before >= Duration::from_millis(1));
    }

    #[test]
    fn the_wall_is_not_moved_by_what_was_recorded() {
        let clock = Clock::system();
        clock.not_before(clock.now() + Duration::from_hours(1));
        assert!(clock.now().since(clock.wall()) > Duration::from_mins(59));
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + SECOND);
        assert_eq!(clock.wall(), clock.now());
    }

    #[test]
    fn a_clock_that_follows_another_shows_its_time() {
        let there = Timestamp::from(SystemTime::now()) - Duration::from_hours(1);
        let clock = Clock::following(there);
        let shown = clock.now();
        assert!(shown >= there && shown.since(there) < Duration::from_mins(1), "behind this machine's own");
        clock.follow(there - Duration::from_hours(1));
        assert!(clock.now() >= shown, "it never goes backwards");
    }

    #[test]
    fn it_catches_up_and_then_follows_the_wall() {
        let (mut anchor, start, shown) = anchor();
        assert_eq!(anchor.read(start + 10 * SECOND, shown + 12 * SECOND), shown + 12 * SECOND);
    }

    #[test]
    fn a_recorded_time_is_a_floor() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + SECOND);
        assert_eq!(clock.not_before(Timestamp::from_micros(5_000_000)), 4 * SECOND);
        assert_eq!(clock.now(), Timestamp::from_micros(5_000_000));
        assert_eq!(clock.not_before(Timestamp::from_micros(1)), Duration::ZERO);
        let clock = Clock::system();
        let ahead = clock.now() + Duration::from_hours(1);
        clock.not_before(ahead);
        assert!(clock.now() >= ahead);
    }

    #[test]
    fn far_times_saturate() {
        let never = Timestamp::from_micros(0) + Duration::MAX;
        assert_eq!(never.as_micros(), i64::MAX);
        let _: SystemTime = never.into();
        assert_eq!(Timestamp::from(SystemTime::UNIX_EPOCH - SECOND).as_micros(), -1_000_000);
    }
}
