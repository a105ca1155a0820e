//! Sessions: who is alive, and what a dead one owns.

use std::time::Duration;

use stepwell_core::{
    Error, Name, Result, SessionId, Timestamp,
    session::{Desired, Node, Session, SessionState},
    store::{Late, Row},
};

use crate::state::{Lived, State};

impl State {
    pub(crate) fn open_session(&mut self, session: Session, now: Timestamp, ttl: Duration) -> Result<()> {
        let known = self.sessions.get(&session.id);
        if known.is_some_and(|known| known.dead) {
            return Err(Error::lease_lost());
        }
        let (state, desired) = known.map(|known| (known.state, known.desired)).unwrap_or_default();
        let (beat_at, expires_at) = (now, now + ttl);
        self.sessions.insert(session.id, Lived { session, state, desired, beat_at, expires_at, dead: false });
        Ok(())
    }
    pub(crate) fn tell(&mut self, session: SessionId, state: SessionState) {
        if let Some(lived) = self.sessions.get(&session).filter(|lived| !lived.dead) {
            let told = Lived { state, ..lived.clone() };
            self.sessions.insert(session, told);
        }
    }
    pub(crate) fn want(&mut self, session: SessionId, desired: Desired) -> Result<Desired> {
        let lived = self.sessions.get(&session).filter(|lived| !lived.dead);
        let lived = lived.ok_or_else(|| Error::no_such("session", session.to_string()))?;
        let desired = lived.desired.then(desired);
        let wanted = Lived { desired, ..lived.clone() };
        self.sessions.insert(session, wanted);
        Ok(desired)
    }
    pub(crate) fn wanted(&self) -> Vec<(SessionId, Desired)> {
        let live = self.sessions.iter().filter(|(_, lived)| !lived.dead);
        live.map(|(id, lived)| (*id, lived.desired)).collect()
    }
    pub(crate) fn nodes(&self, now: Timestamp) -> Vec<Node> {
        let node = |(id, lived): (&SessionId, &Lived)| Node {
            session: lived.session.clone(),
            state: lived.state,
            desired: lived.desired,
            beat_at: Some(lived.beat_at),
            lost: lived.dead || lived.expires_at <= now,
            running: self.owned_keys(*id).count() as u64,
        };
        let mut nodes: Vec<Node> = self.sessions.iter().map(node).collect();
        nodes.sort_by_key(|node| node.session.started_at);
        nodes
    }
    /// Whether the session is alive. One that is late, but not yet found dead, lives on: nobody took its jobs.
    pub(crate) fn beat(&mut self, session: SessionId, now: Timestamp, ttl: Duration) -> bool {
        let Some(lived) = self.sessions.get(&session).filter(|lived| !lived.dead) else { return false };
        let expires_at = lived.expires_at.max(now + ttl);
        let beaten = Lived { beat_at: now, expires_at, ..lived.clone() };
        self.sessions.insert(session, beaten);
        true
    }
    /// From now on the session is dead, and never alive again.
    pub(crate) fn bury(&mut self, session: SessionId) {
        if let Some(lived) = self.sessions.get(&session) {
            let dead = Lived { dead: true, ..lived.clone() };
            self.sessions.insert(session, dead);
            self.forget_if_it_owns_nothing(session);
        }
    }
    /// A dead session is remembered for as long as there is something to take from it.
    pub(crate) fn forget_if_it_owns_nothing(&mut self, session: SessionId) {
        if self.owned_keys(session).next().is_none() {
            self.sessions.remove(&session);
        }
    }
    pub(crate) fn bury_the_late(&mut self, now: Timestamp, asking: Option<SessionId>) {
        let is_late = |lived: &Lived| !lived.dead && lived.expires_at <= now;
        let late: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(id, lived)| is_late(lived) && Some(**id) != asking)
            .map(|(id, _)| *id)
            .collect();
        for session in late {
            self.bury(session);
        }
    }
    /// The dead sessions that still own something, with their nodes.
    pub(crate) fn dead_sessions(&self) -> Vec<(SessionId, String)> {
        let dead = self.sessions.iter().filter(|(_, lived)| lived.dead);
        dead.map(|(id, lived)| (*id, lived.session.node.clone())).collect()
    }
    pub(crate) fn live_sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|(_, lived)| !lived.dead).map(|(_, lived)| &lived.session)
    }
    /// Those that should have given a sign of life.
    pub(crate) fn late_sessions(&self, now: Timestamp) -> Vec<Late> {
        let late = self.sessions.iter().filter(|(_, lived)| lived.expires_at < now);
        late.map(|(id, lived)| Late {
            node: lived.session.node.clone(),
            overdue: now.since(lived.expires_at),
            jobs: self.owned_keys(*id).count() as u64,
        })
        .collect()
    }
    pub(crate) fn is_session_alive(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|lived| !lived.dead)
    }
    pub(crate) fn is_plan_in_use(&self, kind: &Name, generation: u64) -> bool {
        let works_it = |session: &Session| session.kinds.iter().any(|(k, g)| k == kind && *g == generation);
        self.live_sessions().any(works_it)
    }
    pub(crate) fn owned(&self, session: SessionId, limit: usize) -> Vec<Row> {
        self.rows(self.owned_keys(session).take(limit))
    }
    pub(crate) fn owned_keys(&self, session: SessionId) -> impl Iterator<Item = i64> {
        self.owned.range((session, i64::MIN)..=(session, i64::MAX)).map(|((_, key), ())| *key)
    }
}
