//! Readers that cost next to nothing, so that the server is what is measured.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, oneshot, watch},
};

use crate::rig::Client;

/// Connections that are being opened at once.
const OPENING: usize = 64;
/// What the data of an event begins with.
const MARK: &[u8] = b"data: {\"pos\":";

/// That an event came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) pos: u64,
    /// Microseconds since 1970.
    pub(crate) at: i64,
}

/// All readers.
pub(crate) struct Crowd {
    readers: Vec<Arc<Mutex<Vec<Arrival>>>>,
    /// The last place that each has seen.
    last: Vec<watch::Receiver<u64>>,
}

impl Crowd {
    /// Opens so many streams, and waits until all have begun.
    pub(crate) async fn gather(client: &Client, n: usize) -> Self {
        let opening = Arc::new(Semaphore::new(OPENING));
        let (mut crowd, mut begun) = (Self { readers: Vec::new(), last: Vec::new() }, Vec::new());
        for _ in 0..n {
            let permit = opening.clone().acquire_owned().await.unwrap();
            let (seen, (tell, last)) = (Arc::<Mutex<Vec<Arrival>>>::default(), watch::channel(0));
            let (begins, has_begun) = oneshot::channel();
            let (client, reader) = (client.clone(), seen.clone());
            tokio::spawn(async move {
                let stream = open(&client, "/api/v1/events").await;
                begins.send(()).unwrap();
                drop(permit);
                read(stream, &reader, &tell).await;
            });
            crowd.readers.push(seen);
            crowd.last.push(last);
            begun.push(has_begun);
        }
        for has_begun in begun {
            has_begun.await.expect("a stream is opened");
        }
        crowd
    }
    /// Waits until everybody has seen a place.
    pub(crate) async fn reaches(&self, pos: u64, patience: Duration) {
        let all = async {
            for (nth, last) in self.last.iter().enumerate() {
                let mut last = last.clone();
                assert!(last.wait_for(|last| *last >= pos).await.is_ok(), "the stream of reader {nth} ended");
            }
        };
        assert!(tokio::time::timeout(patience, all).await.is_ok(), "not everybody saw {pos} in time");
    }
    pub(crate) fn arrivals(&self) -> Vec<Vec<Arrival>> {
        self.readers.iter().map(|seen| seen.lock().unwrap().clone()).collect()
    }
}

/// Opens a stream and reads the head of the answer, and the comment that opens it.
async fn open(client: &Client, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n\r\n",
        client.address, client.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(7).any(|bytes| bytes == b"retry: ") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.expect("the stream is opened");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    stream
}

async fn read(mut stream: TcpStream, seen: &Mutex<Vec<Arrival>>, last: &watch::Sender<u64>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 2048]);
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = i64::try_from(at.as_micros()).unwrap();
        bytes.extend_from_slice(&buffer[..n]);
        let places = places(&mut bytes);
        if let Some(pos) = places.last().copied() {
            seen.lock().unwrap().extend(places.into_iter().map(|pos| Arrival { pos, at }));
            last.send_replace(pos);
        }
    }
}

/// The places of the events that have come; what is not complete stays.
fn places(bytes: &mut Vec<u8>) -> Vec<u64> {
    let (mut places, mut done) = (Vec::new(), 0);
    while let Some(mark) = bytes[done..].windows(MARK.len()).position(|bytes| bytes == MARK) {
        let number = &bytes[done + mark + MARK.len()..];
        let Some(digits) = number.iter().position(|byte| !byte.is_ascii_digit()) else { break };
        let text = std::str::from_utf8(&number[..digits]).unwrap();
        places.push(text.parse().unwrap());
        done += mark + MARK.len() + digits;
    }
    if !bytes[done..].windows(MARK.len()).any(|bytes| bytes == MARK) {
        // Only the beginning of a mark, if anything, is still of use.
        done = done.max(bytes.len().saturating_sub(MARK.len() - 1));
    }
    bytes.drain(..done);
    places
}

/// One who asks for everything, and reads nothing.
pub(crate) struct Stalled(TcpStream);

impl Stalled {
    pub(crate) async fn open(client: &Client, path: &str) -> Self {
        Self(open(client, path).await)
    }
    /// Whether the server has the connection still. What the system holds for a program that has closed it does not
    /// count: nobody owns it.
    pub(crate) fn is_kept_by(&self, server: SocketAddr) -> bool {
        let (ours, theirs) = (self.0.local_addr().unwrap().port(), server.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().skip(1).any(|line| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            let port =
                |cell: &str| cell.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            port(cells[1]) == Some(theirs) && port(cells[2]) == Some(ours) && cells[9] != "0"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_wherever_the_bytes_are_split() {
        let text = b"1f\r\nid: 0-9\nevent: a\ndata: {\"pos\":9,\"x\":\"data: \"}\n\n\r\n\
            id: 0-10\ndata: {\"pos\":10,\"y\":1}\n\n";
        for step in 1..text.len() {
            let (mut bytes, mut found) = (Vec::new(), Vec::new());
            for piece in text.chunks(step) {
                bytes.extend_from_slice(piece);
                found.extend(places(&mut bytes));
            }
            assert_eq!(found, [9, 10], "{step}");
            assert!(bytes.len() < MARK.len());
        }
    }
}
