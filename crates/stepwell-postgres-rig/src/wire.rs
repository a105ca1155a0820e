//! As much of PostgreSQL's protocol as the rig needs: where a message begins and ends, and a query without parameters.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::{
    address::Address,
    error::{Error, Result},
};

/// Version 3.0, which every server since 2003 speaks.
const PROTOCOL: u32 = 3 << 16;

/// More than this in one message is a stream that is out of step.
const MESSAGE_BYTES_MAX: u32 = 1 << 30;

/// The rows of an answer, as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// A connection that sends one query and waits for its answer.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects to a server that lets this user in without a password.
    pub(crate) fn connect(address: &Address, database: &str) -> Result<Self> {
        let mut client = Self { stream: address.connect()? };
        let tried = || format!("log in as {} to {database}", address.user);
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for word in
            ["user", &address.user, "database", database, "application_name", "stepwell-postgres-rig", ""]
        {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        client.stream.write_all(&frame(None, &body)).map_err(Error::io(tried()))?;
        client.answer(&tried())?;
        Ok(client)
    }

    /// The rows that the query gives; those of the last one if it is several.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Rows> {
        let tried = format!("run `{sql}`");
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.stream.write_all(&frame(Some(b'Q'), &body)).map_err(Error::io(&tried))?;
        self.answer(&tried)
    }

    /// Everything up to the server's being ready again.
    fn answer(&mut self, tried: &str) -> Result<Rows> {
        let (mut rows, mut failure) = (Rows::new(), None);
        loop {
            let (tag, body) = read(&mut self.stream).map_err(Error::io(tried))?;
            match tag {
                b'Z' => return failure.map_or(Ok(rows), Err),
                b'T' => rows.clear(),
                b'D' => rows
                    .push(row(&body).ok_or_else(|| Error::new(format!("failed to read a row of {tried}")))?),
                // After one on the way in, the server says nothing more.
                b'E' if failure.is_none() && is_fatal(&body) => return Err(refusal(tried, &body)),
                b'E' => failure = Some(refusal(tried, &body)),
                // Anything but "you are in" asks for a password.
                b'R' if body != [0; 4] => {
                    return Err(Error::new(format!("failed to {tried}: the server asks for a password")));
                }
                _ => {}
            }
        }
    }
}

/// A message as it goes over the wire: a tag, which the very first one has not, a length that counts itself, a body.
pub(crate) fn frame(tag: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("the rig sends short messages");
    tag.into_iter().chain(length.to_be_bytes()).chain(body.iter().copied()).collect()
}

/// The next message and its tag.
fn read(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [tag, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if !(4..MESSAGE_BYTES_MAX).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message has an impossible length"));
    }
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body)?;
    Ok((tag, body))
}

/// The values of a row: a count, and for each a length, or -1 for none, and its bytes.
fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut values = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Some(values)
}

/// The fields of an error: a letter, then text up to a zero.
fn field(body: &[u8], letter: u8) -> String {
    let field = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&letter));
    field.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
}

fn is_fatal(body: &[u8]) -> bool {
    matches!(field(body, b'S').as_str(), "FATAL" | "PANIC")
}

fn refusal(tried: &str, body: &[u8]) -> Error {
    Error::new(format!("failed to {tried}: {} ({})", field(body, b'M'), field(body, b'C')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_framed() {
        let bytes = frame(Some(b'Q'), b"SELECT 1\0");
        assert_eq!(read(&mut bytes.as_slice()).unwrap(), (b'Q', b"SELECT 1\0".to_vec()));
        assert_eq!(frame(None, &[1]), [0, 0, 0, 5, 1]);
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        for bytes in [[b'Z', 0, 0, 0, 3], [b'Z', 255, 255, 255, 255]] {
            assert_eq!(read(&mut bytes.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_row_has_values_and_nulls() {
        let body = [0, 2, 0, 0, 0, 1, b'x', 255, 255, 255, 255];
        assert_eq!(row(&body).unwrap(), [Some("x".to_owned()), None]);
        assert_eq!(row(&body[..6]), None);
    }
}
