//! Follows an event stream by the rules of the HTML standard, 9.2.

use std::io;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Response, body::Incoming};
use serde_json::Value;

use super::client::Client;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) event: String,
    pub(crate) data: String,
    /// The last id at that moment.
    pub(crate) id: String,
}

impl Frame {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An open stream.
pub(crate) struct Stream {
    response: Response<Incoming>,
    frames: Frames,
}

impl Stream {
    /// Opens a stream, after the last id if there is one.
    pub(crate) async fn open(client: &Client, path: &str, last_id: &str) -> io::Result<Self> {
        let mut headers = vec![("accept", "text/event-stream")];
        if !last_id.is_empty() {
            headers.push(("last-event-id", last_id));
        }
        let response = client.send(Method::GET, path, &headers, None).await?;
        if !response.status().is_success() {
            return Err(io::Error::other(format!("it was answered with {}", response.status())));
        }
        Ok(Self { response, frames: Frames::new(last_id) })
    }
    /// The next message; nothing once the stream has ended.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.frames.next() {
                return Ok(Some(frame));
            }
            match self.response.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(bytes)) => self.frames.add(&bytes.into_data().unwrap_or_default()),
            }
        }
    }
    /// The id after which to go on.
    pub(crate) fn last_id(&self) -> &str {
        &self.frames.last_id
    }
}

/// Messages, from bytes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    read: usize,
    /// The id of the frame that is being read; it counts once its blank line has come.
    id: String,
    pub(crate) last_id: String,
    event: String,
    data: Option<String>,
}

impl Frames {
    pub(crate) fn new(last_id: &str) -> Self {
        Self { id: last_id.to_owned(), last_id: last_id.to_owned(), ..Self::default() }
    }
    pub(crate) fn add(&mut self, bytes: &Bytes) {
        self.bytes.drain(..std::mem::take(&mut self.read));
        self.bytes.extend_from_slice(bytes);
    }
    fn line(&mut self) -> Option<String> {
        let rest = &self.bytes[self.read..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned();
        self.read += end + 1;
        Some(line)
    }
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                self.last_id.clone_from(&self.id);
                let event = std::mem::take(&mut self.event);
                // Without data there is no message.
                if let Some(data) = self.data.take() {
                    return Some(Frame { event, data, id: self.last_id.clone() });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event),
                "id" => value.clone_into(&mut self.id),
                "data" => {
                    let data = self.data.get_or_insert_default();
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(value);
                }
                _ => {}
            }
        }
    }
}
