//! Where a message begins and ends in a stream that arrives in pieces.

/// As much of a message's body as is kept. What we look for is shorter.
const HEAD_BYTES_MAX: usize = 64;

/// What the next message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A tag and a length: nearly all of them.
    Tagged,
    /// A length alone: a client's first one.
    Untagged,
    /// A single byte: the answer to a client that asks for encryption.
    Byte,
}

/// A message that is complete, and where in the piece it lies; it may have begun in an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Zero for one that has none.
    pub(crate) tag: u8,
    /// The beginning of its body.
    pub(crate) head: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Framing {
    pub(crate) shape: Shape,
    prefix: Vec<u8>,
    head: Vec<u8>,
    /// How much of the body is still to come, once the prefix is complete.
    rest: Option<usize>,
}

impl Framing {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, prefix: Vec::new(), head: Vec::new(), rest: None }
    }

    /// The next complete message of the piece, from `from` on. What follows it may have another shape, so whoever
    /// reads it says so before asking for the next.
    pub(crate) fn next(&mut self, piece: &[u8], from: usize) -> Option<Message> {
        let mut at = from;
        loop {
            let rest = match self.rest {
                Some(rest) => rest,
                None if self.prefix.len() < self.prefix_len() => {
                    self.prefix.push(*piece.get(at)?);
                    at += 1;
                    continue;
                }
                None => {
                    let body = self.body_len();
                    self.rest = Some(body);
                    body
                }
            };
            let taken = rest.min(piece.len() - at);
            let wanted = taken.min(HEAD_BYTES_MAX - self.head.len());
            self.head.extend_from_slice(&piece[at..at + wanted]);
            at += taken;
            self.rest = Some(rest - taken);
            if rest > taken {
                return None;
            }
            let tag = if self.shape == Shape::Untagged { 0 } else { self.prefix[0] };
            let head = std::mem::take(&mut self.head);
            self.prefix.clear();
            self.rest = None;
            return Some(Message { tag, head, start: from, end: at });
        }
    }

    fn prefix_len(&self) -> usize {
        match self.shape {
            Shape::Tagged => 5,
            Shape::Untagged => 4,
            Shape::Byte => 1,
        }
    }

    /// The length of the body; the length in the prefix counts itself.
    fn body_len(&self) -> usize {
        let length = self.prefix.last_chunk::<4>().map_or(4, |bytes| u32::from_be_bytes(*bytes));
        length.saturating_sub(4) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    fn all(framing: &mut Framing, pieces: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        for piece in pieces {
            let mut at = 0;
            while let Some(message) = framing.next(piece, at) {
                at = message.end;
                found.push((message.tag, message.head));
            }
        }
        found
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let mut bytes = frame(Some(b'Q'), b"COMMIT\0");
        bytes.extend(frame(Some(b'S'), b""));
        bytes.extend(frame(Some(b'd'), &[7; 200]));
        let expected = [(b'Q', b"COMMIT\0".to_vec()), (b'S', Vec::new()), (b'd', vec![7; HEAD_BYTES_MAX])];
        for size in 1..bytes.len() {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(all(&mut Framing::new(Shape::Tagged), &pieces), expected, "{size}");
        }
    }

    #[test]
    fn a_message_knows_where_in_the_piece_it_lies() {
        let mut bytes = frame(Some(b'S'), b"");
        bytes.extend(frame(Some(b'Q'), b"COMMIT\0"));
        let mut framing = Framing::new(Shape::Tagged);
        let first = framing.next(&bytes, 0).unwrap();
        let second = framing.next(&bytes, first.end).unwrap();
        assert_eq!((second.start, second.end), (5, bytes.len()));
    }

    #[test]
    fn one_byte_and_no_tag_are_shapes_too() {
        let mut framing = Framing::new(Shape::Byte);
        assert_eq!(framing.next(b"N", 0).unwrap().tag, b'N');
        framing.shape = Shape::Untagged;
        assert_eq!(framing.next(&frame(None, &[1, 2]), 0).unwrap().head, [1, 2]);
    }
}
