//! One connection and its two directions.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use super::{
    loss::Loss,
    watch::{Lost, Watch},
    weather::Weather,
};

/// How long a commit that comes late is on its way after its client is gone.
const LATE: Duration = Duration::from_millis(200);

/// How often one who writes to somebody that does not read looks whether that still makes sense.
const WRITE_TIMEOUT: Duration = Duration::from_millis(50);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// Who is at an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who has connected.
    Client,
    /// Whom the proxy has connected to for it.
    Server,
}

/// A client's connection and ours to the server. Both are closed when the last direction is done with them.
#[derive(Debug)]
pub(crate) struct Link {
    client: TcpStream,
    server: TcpStream,
    watch: Mutex<Watch>,
    /// It ends after so many more bytes in this direction.
    cut: Mutex<Option<(Direction, u64)>>,
    /// One side has gone and the other was not told.
    is_severed: AtomicBool,
    is_over: AtomicBool,
    weather: Arc<Weather>,
}

impl Link {
    /// Begins to carry bytes in both directions.
    pub(crate) fn start(
        client: TcpStream,
        server: TcpStream,
        weather: Arc<Weather>,
    ) -> io::Result<Arc<Self>> {
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        }
        let cut = weather.change(|now| {
            now.tally.connections += 1;
            now.cuts.pop_front()
        });
        let link = Arc::new(Self {
            client,
            server,
            watch: Mutex::new(Watch::new()),
            cut: Mutex::new(cut),
            is_severed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            weather,
        });
        for direction in [Direction::Up, Direction::Down] {
            let link = Arc::clone(&link);
            thread::Builder::new().name("proxy".to_owned()).spawn(move || link.carry(direction))?;
        }
        Ok(link)
    }

    /// Ends both sides with a reset.
    pub(crate) fn reset(&self) {
        self.reset_side(Side::Client);
        self.reset_side(Side::Server);
        self.end();
    }

    /// One side is told that the connection has ended, and the other is not, until the weather is better.
    pub(crate) fn sever(&self, told: Side) {
        self.is_severed.store(true, Ordering::SeqCst);
        // One that has ended already is told already.
        _ = self.stream(told).shutdown(Shutdown::Both);
    }

    pub(crate) fn is_severed(&self) -> bool {
        self.is_severed.load(Ordering::SeqCst)
    }

    /// The next close of this side sends a reset instead of an end.
    fn reset_side(&self, side: Side) {
        // It fails only where the connection is gone.
        _ = set_socket_linger(self.stream(side), Some(Duration::ZERO));
    }

    /// Wakes both directions, so that they let go of the connections, which closes them. Nothing is sent for it:
    /// an end of our reading is nobody else's business.
    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            _ = stream.shutdown(Shutdown::Read);
        }
        self.weather.change(|_| ());
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn stream(&self, side: Side) -> &TcpStream {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Carries bytes until one end is reached.
    fn carry(&self, direction: Direction) {
        let (mut from, to) = match direction {
            Direction::Up => (&self.client, &self.server),
            Direction::Down => (&self.server, &self.client),
        };
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer);
            self.weather.wait_on_the_way(|| self.is_over());
            self.weather
                .wait_while(|now| (now.held[direction as usize] || self.is_severed()) && !self.is_over());
            if self.is_over() {
                return;
            }
            let outcome = match read {
                // The other direction may still have something to say.
                Ok(0) => {
                    _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(count) => self.pass(direction, &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                return self.reset();
            }
        }
    }

    /// Passes on as much of the piece as may pass.
    fn pass(&self, direction: Direction, piece: &[u8]) -> io::Result<()> {
        let piece = &piece[..self.allowed(direction, piece.len())];
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match direction {
            Direction::Up => {
                let lost = watch.up(piece, || {
                    let mut now = self.weather.now();
                    now.tally.commits += 1;
                    now.losses.draw()
                });
                drop(watch);
                match lost {
                    None => self.write(&self.server, piece)?,
                    Some(lost) => return self.lose(piece, &lost),
                }
            }
            Direction::Down => {
                let lost = watch.down(piece);
                drop(watch);
                self.write(&self.client, &piece[..lost.unwrap_or(piece.len())])?;
                if lost.is_some() {
                    self.weather.change(|now| now.tally.answers_lost += 1);
                    self.reset();
                }
            }
        }
        self.cut_if_due()
    }

    /// How many of so many bytes may pass before the connection is to be cut.
    fn allowed(&self, direction: Direction, count: usize) -> usize {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *cut {
            Some((cut, left)) if *cut == direction => {
                let allowed = count.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= allowed as u64;
                allowed
            }
            _ => count,
        }
    }

    fn cut_if_due(&self) -> io::Result<()> {
        if matches!(*self.cut.lock().unwrap_or_else(PoisonError::into_inner), Some((_, 0))) {
            // Not a reset, which might overtake the bytes that were to arrive.
            self.client.shutdown(Shutdown::Write)?;
            self.server.shutdown(Shutdown::Write)?;
            self.end();
        }
        Ok(())
    }

    /// A commit that is lost on its way up.
    fn lose(&self, piece: &[u8], lost: &Lost) -> io::Result<()> {
        self.write(&self.server, &piece[..lost.start])?;
        if lost.loss == Loss::Late {
            self.client.shutdown(Shutdown::Both)?;
            self.weather.wait_for(LATE, || self.is_over());
            self.write(&self.server, &piece[lost.start..lost.end])?;
            // When the answer comes, there is nobody to give it to, and both directions end.
            self.weather.change(|now| now.tally.late += 1);
        } else {
            self.weather.change(|now| now.tally.requests_lost += 1);
            self.reset();
        }
        Ok(())
    }

    /// Writes everything, unless the connection is over before.
    fn write(&self, mut to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.is_over() {
            match to.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
