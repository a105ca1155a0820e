//! The API on a store, in this process: the requests are the same, and there is no server to be asked.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use stepwell::{Stepwell, webhook::WebhookOptions};
use stepwell_http::{Access, Api, Hosts};
use tower_service::Service;

use super::requests::Body;
use crate::{
    failure::{FailedTo, Failure, code},
    store::StoreAddress,
};

/// The API on a store.
pub(crate) struct Here {
    stepwell: Stepwell,
    api: Api,
}

impl Here {
    /// Opens a store that there is, or one that may be made.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub(super) async fn open(
        store: &StoreAddress,
        make: bool,
        webhooks: WebhookOptions,
    ) -> Result<Self, Failure> {
        if !make && !store.exists() {
            let why = "there is no such file; name another with --store, or let `stepwell serve` make it";
            return Err(Failure::with_code(code::NOT_FOUND, format!("open {store}"), why));
        }
        let opened = store.builder().webhooks(webhooks).open().await;
        let stepwell = opened.map_err(|error| store.failed_to("open", error))?;
        // Whoever may open the file may do everything with it.
        let api = Api::new(&stepwell, Access::unrestricted(), Hosts::any()).requests_per_minute(None);
        Ok(Self { stepwell, api })
    }
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Response<Body> {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
        let answered: Result<_, Infallible> = self.api.router().call(request).await;
        match answered {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(never) => match never {},
        }
    }
    pub(super) async fn close(self) -> Result<(), Failure> {
        self.api.drain();
        self.stepwell.close().await.failed_to("close the store")
    }
}
