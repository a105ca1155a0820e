//! What an operator wants of this process, and what the others are told of how it is.

use stepwell_core::{
    Result, SessionId,
    session::{Desired, SessionState},
};

use super::core::{Engine, Stage};

/// Hears what is wanted of the sessions of this process, and says how its own is.
#[derive(Default)]
pub(super) struct Orders {
    /// What was said last, and of which session.
    told: Option<(SessionId, SessionState)>,
}

impl Orders {
    pub(super) async fn hear(&mut self, engine: &Engine) -> Result<()> {
        let wanted = engine.store.wanted().await?;
        engine.remote.hear(&wanted);
        let Some(session) = engine.current_session() else { return Ok(()) };
        // Of a session that others have taken for dead nothing is known, and it goes on as it was told.
        if let Some((_, desired)) = wanted.iter().find(|(id, _)| *id == session) {
            engine.obey(*desired);
        }
        let state = engine.state();
        if self.told.unwrap_or((session, SessionState::Running)) != (session, state) {
            engine.store.tell(session, state).await?;
        }
        self.told = Some((session, state));
        Ok(())
    }
}

impl Engine {
    fn obey(&self, desired: Desired) {
        let is_new = self.desired.send_if_modified(|current| {
            let next = current.then(desired);
            let is_new = *current != next;
            *current = next;
            is_new
        });
        match *self.desired.borrow() {
            Desired::Run if is_new => {
                // Whoever waits for a free slot has some again.
                self.flights.freed.notify_one();
                #[cfg(feature = "webhooks")]
                self.flights.lane_freed.notify_one();
            }
            Desired::Terminate => self.stop_claiming(),
            Desired::Run | Desired::Quiet => {}
        }
    }
    fn state(&self) -> SessionState {
        match *self.stage.borrow() {
            Stage::Open | Stage::Running if self.is_quiet() => SessionState::Quiet,
            Stage::Open | Stage::Running => SessionState::Running,
            Stage::Draining | Stage::Stopped => SessionState::Stopping,
        }
    }
    /// Resolves when the end of this process is wanted, and it claims nothing more.
    pub(crate) async fn terminated(&self) {
        let mut desired = self.desired.subscribe();
        // The engine has the other end, and is borrowed here.
        desired.wait_for(|desired| *desired == Desired::Terminate).await.ok();
    }
}
