//! Where in PostgreSQL's protocol a connection is: just enough to see a commit go up and its answer come down.

use std::collections::HashSet;

use super::{
    framing::{Framing, Message, Shape},
    loss::Loss,
};

/// Codes that stand where a client's first message has the version of the protocol.
const WANTS_TLS: u32 = 80_877_103;
const WANTS_GSS: u32 = 80_877_104;

/// A commit to be lost, and the part of the piece that is its message, or the last bytes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) loss: Loss,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Both directions of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    up: Framing,
    down: Framing,
    /// Statements and portals that are a commit.
    statements: HashSet<Vec<u8>>,
    portals: HashSet<Vec<u8>>,
    /// How often the server was asked to end by being ready, and how often it was. The login is asked for by itself.
    asked: u64,
    ready: u64,
    /// The answer to this question is to be lost.
    losing: Option<u64>,
    /// Encrypted: from here on there is nothing to see.
    is_blind: bool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            up: Framing::new(Shape::Untagged),
            down: Framing::new(Shape::Tagged),
            statements: HashSet::new(),
            portals: HashSet::new(),
            asked: 1,
            ready: 0,
            losing: None,
            is_blind: false,
        }
    }

    /// Looks at what the client sends. `draw` is asked about each commit, until one is to be lost; then nothing after
    /// that one is looked at any more, because nothing after it will be sent.
    pub(crate) fn up(&mut self, piece: &[u8], mut draw: impl FnMut() -> Option<Loss>) -> Option<Lost> {
        let mut at = 0;
        while !self.is_blind {
            let message = self.up.next(piece, at)?;
            at = message.end;
            if !self.asks_to_commit(&message) {
                continue;
            }
            match draw() {
                None => {}
                // The connection lives on until the answer has come down.
                Some(Loss::Answer) => {
                    // An execution is answered before the end of its series, which is not asked for yet.
                    self.losing = Some(if message.tag == b'Q' { self.asked } else { self.asked + 1 });
                }
                Some(loss) => return Some(Lost { loss, start: message.start, end: message.end }),
            }
        }
        None
    }

    /// Looks at what the server sends: how much of the piece may pass, if what follows is an answer to be lost.
    pub(crate) fn down(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while !self.is_blind {
            let message = self.down.next(piece, at)?;
            at = message.end;
            match message.tag {
                tag if self.down.shape == Shape::Byte => {
                    self.is_blind = tag != b'N';
                    self.down.shape = Shape::Tagged;
                }
                b'C' if message.head == b"COMMIT\0" && self.losing == Some(self.ready + 1) => {
                    return Some(message.start);
                }
                b'Z' => {
                    self.ready += 1;
                    // It was refused, and that answer is not ours to lose.
                    self.losing = self.losing.filter(|question| *question > self.ready);
                }
                _ => {}
            }
        }
        None
    }

    fn asks_to_commit(&mut self, message: &Message) -> bool {
        if self.up.shape == Shape::Untagged {
            match message.head.first_chunk::<4>().map(|code| u32::from_be_bytes(*code)) {
                // Then it begins again, after a single byte from the server.
                Some(WANTS_TLS | WANTS_GSS) => self.down.shape = Shape::Byte,
                _ => self.up.shape = Shape::Tagged,
            }
            return false;
        }
        let mut words = message.head.split(|byte| *byte == 0);
        let mut word = || words.next().unwrap_or_default().to_vec();
        match message.tag {
            b'Q' => {
                self.asked += 1;
                return is_commit(&word());
            }
            b'S' => self.asked += 1,
            b'P' => {
                let (name, sql) = (word(), word());
                mark(&mut self.statements, name, is_commit(&sql));
            }
            b'B' => {
                let (portal, name) = (word(), word());
                let is_commit = self.statements.contains(&name);
                mark(&mut self.portals, portal, is_commit);
            }
            b'E' => return self.portals.contains(&word()),
            _ => {}
        }
        false
    }
}

fn mark(set: &mut HashSet<Vec<u8>>, name: Vec<u8>, is_commit: bool) {
    if is_commit {
        set.insert(name);
    } else {
        set.remove(&name);
    }
}

fn is_commit(sql: &[u8]) -> bool {
    let sql = sql.trim_ascii();
    let sql = sql.strip_suffix(b";").unwrap_or(sql);
    [b"COMMIT".as_slice(), b"END"].iter().any(|word| sql.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    fn logged_in() -> Watch {
        let mut watch = Watch::new();
        assert_eq!(watch.up(&frame(None, &[0, 3, 0, 0, 0]), || None), None);
        assert_eq!(watch.down(&frame(Some(b'Z'), b"I")), None);
        watch
    }

    fn commits(watch: &mut Watch, messages: &[(u8, &[u8])]) -> usize {
        let mut count = 0;
        for (tag, body) in messages {
            watch.up(&frame(Some(*tag), body), || {
                count += 1;
                None
            });
        }
        count
    }

    #[test]
    fn a_commit_is_seen_in_every_form_and_nothing_else_is_one() {
        for sql in [&b"COMMIT\0"[..], b" commit;\0", b"END\0"] {
            assert_eq!(commits(&mut logged_in(), &[(b'Q', sql)]), 1);
        }
        for sql in [&b"SELECT 'COMMIT'\0"[..], b"COMMIT PREPARED 'x'\0", b"ROLLBACK\0"] {
            assert_eq!(commits(&mut logged_in(), &[(b'Q', sql)]), 0);
        }
        let watch = &mut logged_in();
        assert_eq!(
            commits(watch, &[(b'P', b"s1\0COMMIT\0\0\0"), (b'B', b"p1\0s1\0\0\0"), (b'E', b"p1\0\0\0\0\0")]),
            1
        );
        assert_eq!(commits(watch, &[(b'E', b"p1\0\0\0\0\0")]), 1);
        // The portal is now something else.
        assert_eq!(
            commits(watch, &[(b'P', b"\0SELECT 1\0\0\0"), (b'B', b"p1\0\0"), (b'E', b"p1\0\0\0\0\0")]),
            0
        );
    }

    #[test]
    fn the_answer_of_this_commit_is_found_and_not_that_of_one_before() {
        let mut watch = logged_in();
        assert_eq!(watch.up(&frame(Some(b'Q'), b"COMMIT\0"), || None), None);
        assert_eq!(watch.up(&frame(Some(b'Q'), b"COMMIT\0"), || Some(Loss::Answer)), None);
        let answer = [frame(Some(b'C'), b"COMMIT\0"), frame(Some(b'Z'), b"I")].concat();
        assert_eq!(watch.down(&answer), None);
        assert_eq!(watch.down(&answer), Some(0));
    }

    #[test]
    fn a_refused_commit_has_no_answer_to_lose() {
        let mut watch = logged_in();
        watch.up(&frame(Some(b'Q'), b"COMMIT\0"), || Some(Loss::Answer));
        let refused = [frame(Some(b'C'), b"ROLLBACK\0"), frame(Some(b'Z'), b"I")].concat();
        assert_eq!(watch.down(&refused), None);
        watch.up(&frame(Some(b'Q'), b"COMMIT\0"), || None);
        assert_eq!(watch.down(&frame(Some(b'C'), b"COMMIT\0")), None);
    }

    #[test]
    fn what_is_encrypted_is_let_through_unseen() {
        let mut watch = Watch::new();
        watch.up(&frame(None, &WANTS_TLS.to_be_bytes()), || None);
        assert_eq!(watch.down(b"S"), None);
        assert_eq!(watch.up(&frame(Some(b'Q'), b"COMMIT\0"), || Some(Loss::Request)), None);
    }

    #[test]
    fn without_encryption_the_login_comes_after_the_answer() {
        let mut watch = Watch::new();
        watch.up(&frame(None, &WANTS_TLS.to_be_bytes()), || None);
        assert_eq!(watch.down(b"N"), None);
        watch.up(&frame(None, &[0, 3, 0, 0, 0]), || None);
        watch.down(&frame(Some(b'Z'), b"I"));
        let lost = watch.up(&frame(Some(b'Q'), b"COMMIT\0"), || Some(Loss::Request));
        assert_eq!(lost.map(|lost| lost.loss), Some(Loss::Request));
    }
}
