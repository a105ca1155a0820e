//! What a request of a worker is about.

use http::Method;

/// What a worker asks or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Register,
    Heartbeat,
    Leave,
    Claim,
    Progress,
    Logs,
    Checkpoint,
    Complete,
    Fail,
    Snooze,
    Release,
    /// Nothing that a worker has to ask.
    Other,
}

impl Call {
    /// Reads it, and what it is about: the worker, or the lease.
    pub(super) fn of<'p>(method: &Method, path: &'p str) -> (Self, &'p str) {
        let parts: Vec<&str> = path.strip_prefix("/api/v1/").unwrap_or_default().split('/').collect();
        match (method, &parts[..]) {
            (&Method::POST, ["workers"]) => (Self::Register, ""),
            (&Method::POST, ["workers", id, "heartbeat"]) => (Self::Heartbeat, id),
            (&Method::DELETE, ["workers", id]) => (Self::Leave, id),
            (&Method::POST, ["claims"]) => (Self::Claim, ""),
            (&Method::POST, ["claims", lease, verb]) => (Self::report(verb), lease),
            _ => (Self::Other, ""),
        }
    }
    fn report(verb: &str) -> Self {
        match verb {
            "progress" => Self::Progress,
            "logs" => Self::Logs,
            "checkpoint" => Self::Checkpoint,
            "complete" => Self::Complete,
            "fail" => Self::Fail,
            "snooze" => Self::Snooze,
            "release" => Self::Release,
            _ => Self::Other,
        }
    }
    /// Whether it ends a phase.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::Complete | Self::Fail | Self::Snooze | Self::Release)
    }
    /// Whether it is said under a lease.
    pub(super) fn is_report(self) -> bool {
        self.is_end() || matches!(self, Self::Progress | Self::Logs | Self::Checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_known_by_their_paths() {
        let of = |method, path| Call::of(&method, path);
        assert_eq!(of(Method::POST, "/api/v1/workers"), (Call::Register, ""));
        assert_eq!(of(Method::POST, "/api/v1/workers/1/heartbeat"), (Call::Heartbeat, "1"));
        assert_eq!(of(Method::DELETE, "/api/v1/workers/1"), (Call::Leave, "1"));
        assert_eq!(of(Method::POST, "/api/v1/claims/swl_1/complete"), (Call::Complete, "swl_1"));
        for (method, path) in [(Method::GET, "/api/v1/claims"), (Method::POST, "/claims"), (Method::GET, "/")]
        {
            assert_eq!(of(method, path).0, Call::Other);
        }
    }
}
