//! Where a server listens.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, Result};

/// A port of this machine's own that nobody has. Somebody may take it before the server does; then the server does
/// not start, and whoever starts it asks again.
pub(crate) fn free() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("find a port that nobody uses"))?;
    Ok(listener.local_addr().map_err(Error::io("read a port"))?.port())
}
