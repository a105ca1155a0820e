//! The proxy itself, and what it can be told.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use super::{
    link::{Direction, Link, Side},
    loss::{Loss, Tally},
    weather::Weather,
};
use crate::{
    address::Address,
    error::{Error, Result},
    port,
};

/// A way to a server on which things go wrong. Without being told anything it passes on every byte as it comes.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    road: Arc<Road>,
    listener: Option<JoinHandle<()>>,
}

/// What the listener and the proxy both have.
#[derive(Debug)]
struct Road {
    server: Mutex<Address>,
    weather: Arc<Weather>,
    links: Mutex<Vec<Weak<Link>>>,
    is_closed: AtomicBool,
}

impl Proxy {
    /// Listens on a port of its own. What it does by chance, the seed decides.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(server: &Address, seed: u64) -> Result<Self> {
        let listener = port::listen()?;
        let port = listener.local_addr().map_err(Error::io("read a port"))?.port();
        let address = Address { host: Ipv4Addr::LOCALHOST.to_string(), port, ..server.clone() };
        let road = Arc::new(Road {
            server: Mutex::new(server.clone()),
            weather: Arc::new(Weather::new(seed)),
            links: Mutex::default(),
            is_closed: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&road);
        let thread = thread::Builder::new().name("proxy".to_owned());
        let listener = thread.spawn(move || theirs.accept(&listener)).map_err(Error::io("start a proxy"))?;
        Ok(Self { address, road, listener: Some(listener) })
    }

    /// Where it is: the server's address, as a client should see it.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Leads new connections to another server, as after a failover.
    pub fn lead_to(&self, server: &Address) {
        *self.road.server.lock().unwrap_or_else(PoisonError::into_inner) = server.clone();
    }

    /// Everything takes this long on its way, and up to `jitter` longer, as often as bytes arrive together.
    pub fn delay(&self, delay: Duration, jitter: Duration) {
        self.road.weather.change(|now| (now.delay, now.jitter) = (delay, jitter));
    }

    /// Nothing passes in this direction, and nobody is told: a partition. New connections are taken and hear nothing.
    /// As with a real one, what was sent meanwhile arrives once it has healed.
    pub fn hold(&self, direction: Direction) {
        self.road.weather.change(|now| now.held[direction as usize] = true);
    }

    /// Nothing passes in either direction.
    pub fn partition(&self) {
        self.road.weather.change(|now| now.held = [true; 2]);
    }

    /// Resets new connections.
    pub fn refuse(&self) {
        self.road.weather.change(|now| now.refuses = true);
    }

    /// Resets every connection that there is.
    pub fn reset(&self) {
        self.road.links().iter().for_each(|link| link.reset());
    }

    /// Ends every connection that there is for one side, while the other believes that it is still there, and what it
    /// sends gets lost. It is reset when the network has healed.
    pub fn half_open(&self, told: Side) {
        self.road.links().iter().for_each(|link| link.sever(told));
    }

    /// Lets the next connection end after exactly so many bytes in this direction.
    pub fn cut_next(&self, direction: Direction, bytes: u64) {
        self.road.weather.change(|now| now.cuts.push_back((direction, bytes)));
    }

    /// Cuts the connection of the next client that commits between its `COMMIT` and the answer.
    pub fn lose_next_commit(&self, loss: Loss) {
        self.road.weather.change(|now| now.losses.add(loss));
    }

    /// Does so for so many of a thousand commits, in one of the three ways.
    pub fn lose_commits(&self, per_mille: u64) {
        self.road.weather.change(|now| now.losses.at_rate(per_mille));
    }

    /// From now on all is well again. What is half open is reset, as by a side that has never heard of it.
    pub fn heal(&self) {
        self.road.links().iter().filter(|link| link.is_severed()).for_each(|link| link.reset());
        self.road.weather.change(|now| {
            now.held = [false; 2];
            now.refuses = false;
            (now.delay, now.jitter) = (Duration::ZERO, Duration::ZERO);
            now.cuts.clear();
            now.losses.none();
        });
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.road.weather.now().tally
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.road.is_closed.store(true, Ordering::SeqCst);
        // The listener looks up when somebody comes. If nobody can, it has ended.
        _ = self.address.connect();
        if let Some(listener) = self.listener.take() {
            _ = listener.join();
        }
        self.reset();
    }
}

impl Road {
    /// Takes connections until the proxy is dropped.
    fn accept(&self, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.is_closed.load(Ordering::SeqCst) {
                return;
            }
            // A client that is gone already needs no road.
            let Ok(client) = client else { continue };
            self.let_in(client);
        }
    }

    fn let_in(&self, client: TcpStream) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refuses = self.weather.now().refuses;
        // A server that is away, and a connection that cannot be carried, are a reset as well.
        let server = if refuses { None } else { server.connect().ok() };
        let Some(server) = server else {
            _ = set_socket_linger(&client, Some(Duration::ZERO));
            return;
        };
        if let Ok(link) = Link::start(client, server, Arc::clone(&self.weather)) {
            let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(&link));
        }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}
