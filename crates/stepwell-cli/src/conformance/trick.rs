//! What may happen to a request.

use std::time::Duration;

use super::{call::Call, exchange::Exchange};

/// Something that happens to requests on their way.
#[derive(Clone, Debug)]
pub(super) enum Trick {
    /// The server does what it is asked, and the answer is lost.
    LoseAnswer(Call),
    /// The server is not even asked.
    Refuse(Call, Refusal),
    /// Every answer has members that nobody knows.
    AddUnknown,
    /// What this worker asks waits until the trick is undone; what it reports does not.
    Hold(String),
}

/// How a request is refused that the server never sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after: Duration,
    /// Whether it is told as the server would, or by something between it and the worker.
    pub(super) is_problem: bool,
}

impl Trick {
    /// Whether it happens once.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self, Self::LoseAnswer(_) | Self::Refuse(..))
    }
    pub(super) fn refuses(&self, exchange: &Exchange) -> Option<Refusal> {
        match self {
            Self::Refuse(call, refusal) if *call == exchange.call => Some(*refusal),
            _ => None,
        }
    }
    /// Whether the answer is lost. One to a claim that has brought nothing is not worth losing.
    pub(super) fn loses(&self, exchange: &Exchange) -> bool {
        let Some(answer) = &exchange.answer else { return false };
        let has_brought = answer.body["claims"].as_array().is_none_or(|claims| !claims.is_empty());
        matches!(self, Self::LoseAnswer(call) if *call == exchange.call) && answer.status < 300 && has_brought
    }
    pub(super) fn holds(&self, exchange: &Exchange) -> bool {
        let Self::Hold(worker) = self else { return false };
        exchange.subject == *worker || exchange.body["workerId"] == **worker
    }
}
