//! A network that loses answers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Passes every request on, and of so many answers all but one.
pub(crate) struct Proxy {
    address: SocketAddr,
    dropped: Arc<AtomicUsize>,
    is_cut: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn before(server: &str, every: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, server) = (listener.local_addr().unwrap(), server.to_owned());
        let dropped = Arc::<AtomicUsize>::default();
        let (counted, is_cut) = (dropped.clone(), Arc::<AtomicBool>::default());
        let cut = is_cut.clone();
        thread::spawn(move || {
            let passed = Arc::<AtomicUsize>::default();
            for client in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::Relaxed) {
                    continue;
                }
                let (server, passed, dropped) = (server.clone(), passed.clone(), counted.clone());
                let cut = cut.clone();
                thread::spawn(move || {
                    let Some((mut client, answer)) = pass(client, &server) else { return };
                    if cut.load(Ordering::Relaxed) {
                        return;
                    }
                    // The first gets through, so that a worker can begin.
                    if passed.fetch_add(1, Ordering::Relaxed) % every == every - 1 {
                        dropped.fetch_add(1, Ordering::Relaxed);
                    } else {
                        client.write_all(&answer).ok();
                    }
                });
            }
        });
        Self { address, dropped, is_cut }
    }
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// From now on nothing passes, or everything does again.
    pub(crate) fn cut(&self, cut: bool) {
        self.is_cut.store(cut, Ordering::Relaxed);
    }
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Has one request answered. None if whoever asked has gone.
fn pass(mut client: TcpStream, server: &str) -> Option<(TcpStream, Vec<u8>)> {
    let (mut request, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let (head, length) = loop {
        let read = client.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(request[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            break (head, end + 4 + length.unwrap_or(0));
        }
    };
    while request.len() < length {
        let read = client.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
    }
    // One request a connection. The server does not mind which name it is reached by.
    let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("host: "));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    let mut upstream = TcpStream::connect(server).ok()?;
    let body = &request[request.len().min(head_end(&request))..];
    write!(upstream, "{head}\r\nhost: {server}\r\nconnection: close\r\n\r\n").ok()?;
    upstream.write_all(body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    Some((client, answer))
}

fn head_end(request: &[u8]) -> usize {
    request.windows(4).position(|window| window == b"\r\n\r\n").map_or(request.len(), |end| end + 4)
}
