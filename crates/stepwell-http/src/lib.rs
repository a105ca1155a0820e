//! The HTTP API of the Stepwell job queue, as an axum router to mount anywhere.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use stepwell::Stepwell;
//! use stepwell_http::{Access, Api, Hosts};
//!
//! let stepwell = Stepwell::in_memory().open().await?;
//! let api = Api::new(&stepwell, Access::tokens(), Hosts::only(["jobs.example.com"]));
//! let app: axum::Router = axum::Router::new().nest("/jobs", api.router());
//! # Ok(()) }
//! ```
//!
//! There is no default for who may do what: an application chooses an [`Access`] and says under which [`Hosts`] it is
//! reached.
//!
//! # Layout
//! - [`Api`]: what an application puts together. `hub`: what all requests share.
//! - `front/`: what every request passes: its host, where it comes from, headers, and the form of problems.
//! - `access/`: who asks, and what they may do: tokens, scopes, tickets, rates.
//! - `routes/`: one file a resource. `shape/`: how things look on the wire.
//! - `stream/`: events, live.
//! - `serve/`: connections, with their limits.
//! - `openapi`: the description of all this, made from the code.

mod access;
mod api;
mod front;
mod hub;
mod openapi;
mod routes;
mod serve;
mod shape;
mod stream;

pub use access::{Access, Grant, NewToken, Refusal, Rotation, Scope, TokenRecord, Tokens};
pub use api::Api;
pub use front::Hosts;
pub use openapi::openapi_json;
pub use serve::{Limits, Server};
