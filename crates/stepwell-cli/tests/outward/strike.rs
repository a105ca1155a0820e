//! Kills the server at the moment that was chosen.

use std::sync::Mutex;

use tokio::sync::watch;

use crate::rig::Killer;

/// A moment, as it is seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// A follower saw that a run ended.
    Ended,
    /// The receiver of webhooks was connected to.
    Connected,
    /// It has the whole request, and has not answered.
    Received,
    /// It has answered.
    Answered,
    /// A follower saw that the delivery is recorded.
    Recorded,
    Random,
}

impl Point {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ended, Self::Connected, Self::Received, Self::Answered, Self::Recorded, Self::Random];
    /// Each in its turn.
    pub(crate) fn of_round(round: u64) -> Self {
        Self::ALL[usize::try_from(round % 6).unwrap_or(0)]
    }
}

/// The plan for one server.
struct Armed {
    point: Point,
    /// How often the moment comes until it counts.
    left: u32,
    killer: Killer,
    struck: watch::Sender<bool>,
}

/// Strikes once, when it is armed.
#[derive(Default)]
pub(crate) struct Strike(Mutex<Option<Armed>>);

impl Strike {
    /// Plans to kill when the moment comes for the `nth` time; ends when that has happened.
    pub(crate) fn arm(&self, point: Point, nth: u32, killer: Killer) -> impl Future<Output = ()> + use<> {
        let struck = watch::Sender::new(false);
        let mut sees = struck.subscribe();
        *self.0.lock().unwrap() = Some(Armed { point, left: nth, killer, struck });
        async move {
            if sees.wait_for(|struck| *struck).await.is_err() {
                // Disarmed: it will not happen.
                std::future::pending::<()>().await;
            }
        }
    }
    pub(crate) fn disarm(&self) {
        *self.0.lock().unwrap() = None;
    }
    /// A moment came.
    pub(crate) fn pass(&self, point: Point) {
        let mut plan = self.0.lock().unwrap();
        if let Some(armed) = plan.as_mut().filter(|armed| armed.point == point && armed.left > 0) {
            armed.left -= 1;
            if armed.left == 0 {
                armed.killer.kill();
                armed.struck.send_replace(true);
            }
        }
    }
}
