//! Sessions: one per start of a process, and the lease of every job that it owns.

use serde::{Deserialize, Serialize};

use crate::{id::SessionId, name::Name, time::Timestamp};

/// What a process says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The machine and the process, for people.
    pub node: String,
    /// When it started.
    pub started_at: Timestamp,
    /// The kinds it works, and the generation of its plan of each.
    pub kinds: Vec<(Name, u64)>,
    /// The queues it works, and how many jobs of each at once.
    pub queues: Vec<(Name, usize)>,
    /// What it is.
    #[serde(default)]
    pub about: About,
}

/// What a session's process is, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct About {
    /// The machine that it runs on, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The number of its process there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The version of Stepwell in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it is a program that speaks to a server, and not to the store.
    pub remote: bool,
}

/// How a session is, as its process says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionState {
    /// It claims and runs jobs.
    #[default]
    Running,
    /// It claims nothing more, and ends what it has.
    Quiet,
    /// It ends what it has, and then itself.
    Stopping,
}

/// What an operator wants of a session's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Desired {
    /// That it works.
    #[default]
    Run,
    /// That it claims nothing more, and ends what it has.
    Quiet,
    /// That it gives back what it cannot end in time, and ends.
    Terminate,
}

impl Desired {
    /// What is wanted after another wish. A process that was told to end may have begun to: that is not taken back.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        if self == Self::Terminate { self } else { next }
    }
    /// The number under which stores keep it.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
    /// The opposite. What a later release may have written is taken for the wish that changes nothing.
    #[must_use]
    pub fn of_number(number: u8) -> Self {
        [Self::Run, Self::Quiet, Self::Terminate]
            .into_iter()
            .find(|wish| wish.number() == number)
            .unwrap_or_default()
    }
}

impl SessionState {
    /// The number under which stores keep it.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
    /// The opposite, as [`Desired::of_number`].
    #[must_use]
    pub fn of_number(number: u8) -> Self {
        let all = [Self::Running, Self::Quiet, Self::Stopping];
        all.into_iter().find(|state| state.number() == number).unwrap_or_default()
    }
}

/// A session as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it says of itself.
    pub session: Session,
    /// How it is, as it says.
    pub state: SessionState,
    /// What is wanted of it.
    pub desired: Desired,
    /// Its last sign of life, if that is known.
    pub beat_at: Option<Timestamp>,
    /// Whether it gives no more signs of life. Then its jobs are taken back, if they have not been yet.
    pub lost: bool,
    /// How many jobs it runs.
    pub running: u64,
}

/// Whether a session lives, and what it must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Whether the session is still alive. Once it is not, it never is again, and the process owns nothing.
    pub alive: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_not_taken_back() {
        assert_eq!(Desired::Quiet.then(Desired::Run), Desired::Run);
        assert_eq!(Desired::Run.then(Desired::Terminate), Desired::Terminate);
        assert_eq!(Desired::Terminate.then(Desired::Run), Desired::Terminate);
    }

    #[test]
    fn numbers_stand_for_what_they_are_made_of() {
        for wish in [Desired::Run, Desired::Quiet, Desired::Terminate] {
            assert_eq!(Desired::of_number(wish.number()), wish);
        }
        for state in [SessionState::Running, SessionState::Quiet, SessionState::Stopping] {
            assert_eq!(SessionState::of_number(state.number()), state);
        }
        assert_eq!(
            (Desired::of_number(99), SessionState::of_number(99)),
            (Desired::Run, SessionState::Running)
        );
    }

    #[test]
    fn what_an_earlier_release_said_of_itself_is_understood() {
        assert_eq!(serde_json::from_str::<About>("{}").unwrap(), About::default());
    }
}
