//! A receiver of webhooks: it takes every request, notes its id, and answers.
use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use stepwell_bench_subject::Result;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Reserved at the start, so that growing costs nothing while it counts.
const IDS: usize = 100_000;

#[derive(Clone)]
pub(crate) struct Sink {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What has arrived.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let seen = Seen { ids: HashSet::with_capacity(IDS), ..Seen::default() };
        let sink = Self { address: listener.local_addr()?, seen: Arc::new(Mutex::new(seen)) };
        let receiver = sink.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let receiver = receiver.clone();
                // A connection that breaks shows as a delivery that comes again, or never.
                thread::spawn(move || receiver.serve(&connection));
            }
        });
        Ok(sink)
    }
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
    /// Different deliveries that have arrived.
    pub(crate) fn deliveries(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).ids.len() as u64
    }
    /// Deliveries per second, from the first that arrived to the last.
    pub(crate) fn per_second(&self) -> f64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.first.zip(seen.last) {
            Some((first, last)) if first < last => seen.ids.len() as f64 / (last - first).as_secs_f64(),
            _ => 0.0,
        }
    }

    fn serve(&self, connection: &TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        let (mut reader, mut writer) = (BufReader::new(connection), connection);
        let (mut line, mut body) = (String::new(), Vec::new());
        loop {
            let (mut id, mut length) = (String::new(), 0);
            loop {
                line.clear();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                match line.trim_end().split_once(": ") {
                    Some(("webhook-id", value)) => value.clone_into(&mut id),
                    Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                    Some(_) => {}
                    None if line.trim_end().is_empty() => break,
                    // The request line.
                    None => {}
                }
            }
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
            self.note(id);
            writer.write_all(ANSWER)?;
        }
    }
    fn note(&self, id: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if seen.ids.insert(id) {
            seen.first.get_or_insert(now);
            seen.last = Some(now);
        }
    }
}
