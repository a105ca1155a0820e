//! An event stream, which goes on where it was cut off.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;

use super::{Client, refusal, requests::Body};
use crate::{failure::Failure, output::beside};

/// How long to wait before coming again, unless the server says.
const RETRY: Duration = Duration::from_secs(2);

/// One event as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its type.
    pub(crate) event: String,
    /// What it says: a JSON object.
    pub(crate) data: String,
}

/// Events, one after another, over as many connections as it takes.
pub(crate) struct Frames<'c> {
    client: &'c Client,
    what: String,
    path: String,
    /// The place after which to go on.
    last: Option<String>,
    body: Option<Body>,
    text: Lines,
    /// Whether it was there once: then it is worth to wait for it.
    was_open: bool,
    waiting: bool,
    silent: bool,
}

/// What has come of a stream, and what was made of it.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    event: String,
    data: String,
    id: Option<String>,
    retry: Option<Duration>,
    frames: VecDeque<Frame>,
}

impl Client {
    /// Follows an address of events. It connects when the first event is asked for.
    pub(crate) fn follow(&self, what: impl Into<String>, path: String) -> Frames<'_> {
        Frames {
            client: self,
            what: what.into(),
            path,
            last: None,
            body: None,
            text: Lines::default(),
            was_open: false,
            waiting: false,
            silent: false,
        }
    }
}

impl Frames<'_> {
    /// The same, without a word about a server that does not answer for a while.
    pub(crate) fn silently(self) -> Self {
        Self { silent: true, ..self }
    }
    /// The next event.
    ///
    /// # Errors
    /// If it is refused, or the server does not answer the first time.
    pub(crate) async fn next(&mut self) -> Result<Frame, Failure> {
        loop {
            if let Some(frame) = self.text.frames.pop_front() {
                return Ok(frame);
            }
            let Some(body) = &mut self.body else {
                self.open().await?;
                continue;
            };
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.text.read(&data);
                        self.last = self.text.id.clone().or(self.last.take());
                    }
                }
                // It ends by itself now and then, so that nobody hangs on to a server that is to be replaced.
                Some(Err(_)) | None => self.body = None,
            }
        }
    }

    async fn open(&mut self) -> Result<(), Failure> {
        if self.was_open {
            tokio::time::sleep(self.text.retry.unwrap_or(RETRY)).await;
        }
        self.text.begin_again();
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(self.last.as_deref().map(|last| ("last-event-id", last)));
        let sent = self.client.send(&self.what, Method::GET, &self.path, &headers, Bytes::new()).await;
        let response = match sent {
            Ok(response) => response,
            Err(failure) if self.was_open && failure.is_unreachable() => {
                if !std::mem::replace(&mut self.waiting, true) && !self.silent {
                    beside(format_args!("stepwell: {failure}; trying again"));
                }
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE && self.was_open {
            return Ok(());
        }
        if !response.status().is_success() {
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| self.client.cut(&self.what, error))?.to_bytes();
            let text = String::from_utf8_lossy(&bytes);
            return Err(refusal::read(self.client, &self.what, head.status, &text).await);
        }
        self.body = Some(response.into_body());
        (self.was_open, self.waiting) = (true, false);
        Ok(())
    }
}

impl Lines {
    /// What was left of a connection that is gone means nothing any more.
    fn begin_again(&mut self) {
        self.rest.clear();
        self.event.clear();
        self.data.clear();
    }
    fn read(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\n', '\r']));
        }
    }
    fn line(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => self.end_of_frame(),
            "event" => value.clone_into(&mut self.event),
            "id" => self.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => {}
        }
    }
    fn end_of_frame(&mut self) {
        let (event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
        if !data.is_empty() {
            self.frames.push_back(Frame { event, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_however_it_is_cut() {
        let text = ": hello\nretry: 1500\nid: a-1\n\nid: a-2\nevent: job:enqueued\ndata: {\"é\":1}\n\n:\n\n";
        for size in [1, 2, 7, 1_000] {
            let mut lines = Lines::default();
            for piece in text.as_bytes().chunks(size) {
                lines.read(piece);
            }
            let frame = Frame { event: "job:enqueued".into(), data: "{\"é\":1}".into() };
            assert_eq!(lines.frames, [frame]);
            assert_eq!((lines.id.as_deref(), lines.retry), (Some("a-2"), Some(Duration::from_millis(1500))));
        }
    }
}
