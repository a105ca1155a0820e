//! The guides and the README, as documentation, so that their code is compiled and run.

#[doc = include_str!("../../README.md")]
pub(crate) struct Readme;

#[doc = include_str!("../../docs/start.md")]
pub(crate) struct Start;

#[doc = include_str!("../../docs/phases.md")]
pub(crate) struct Phases;

#[doc = include_str!("../../docs/webhooks.md")]
pub(crate) struct Webhooks;
