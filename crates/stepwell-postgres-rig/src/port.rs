//! Where a server listens.

use std::{
    hash::{BuildHasher, RandomState},
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

use crate::error::{Error, Result};

/// Below those that systems give to clients. A server that is away for a moment must find its port again, and a client
/// that is given the very port it connects to would talk to itself.
const RANGE: Range<u16> = 16_384..32_768;

/// A port of this machine's own that nobody has. Somebody may take it before the server does; then the server does
/// not start, and whoever starts it asks again.
pub(crate) fn free() -> Result<u16> {
    Ok(listen()?.local_addr().map_err(Error::io("read a port"))?.port())
}

/// Listens on such a port.
pub(crate) fn listen() -> Result<TcpListener> {
    let random = RandomState::new();
    let mut tries = 0_u32;
    loop {
        tries += 1;
        let port = RANGE.start + (random.hash_one(tries) % RANGE.len() as u64) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && tries < 1_000 => {}
            outcome => return outcome.map_err(Error::io("find a port that nobody uses")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_found_again() {
        let all: Vec<_> = (0..50).map(|_| listen().unwrap()).collect();
        let mut ports: Vec<_> = all.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports.iter().all(|port| RANGE.contains(port)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all.len());
    }
}
