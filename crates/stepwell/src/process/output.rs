//! What a child writes, as far as it is kept.

use std::collections::VecDeque;

use stepwell_core::limits::RESULT_BYTES_MAX;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// Bytes of one line that may be a command: the largest result, and a few words around it.
const LINE_BYTES_MAX: usize = RESULT_BYTES_MAX + (4 << 10);
/// Bytes that a child may write to its standard output, commands apart. Whoever writes more has gone astray.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// Bytes of the standard error that are kept: the end, since that says what went wrong.
const ERRORS_KEPT: usize = 8 << 10;

/// Reads the standard output line by line. As long as nobody asks for the next line, the child waits.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn of(input: R) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), line: Vec::new() }
    }
    /// The next line, its end included, or a part of one that is too long to be a command. None at the end. May be
    /// dropped and asked again: what was read is kept.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            let room = LINE_BYTES_MAX - self.line.len();
            let (taken, whole) = {
                let read = self.input.fill_buf().await?;
                let end = read.iter().take(room).position(|byte| *byte == b'\n');
                let taken = end.map_or(read.len().min(room), |end| end + 1);
                self.line.extend_from_slice(&read[..taken]);
                (taken, end.is_some())
            };
            self.input.consume(taken);
            if whole || self.line.len() >= LINE_BYTES_MAX || (taken == 0 && !self.line.is_empty()) {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
            if taken == 0 {
                return Ok(None);
            }
        }
    }
}

/// The standard output, commands apart.
#[derive(Default)]
pub(super) struct Output {
    kept: Vec<u8>,
    bytes: u64,
}

impl Output {
    pub(super) fn add(&mut self, line: &[u8]) {
        self.bytes += line.len() as u64;
        let room = (RESULT_BYTES_MAX + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&line[..line.len().min(room)]);
    }
    /// Whether the child has gone astray.
    pub(super) fn is_flood(&self) -> bool {
        self.bytes > OUTPUT_BYTES_MAX
    }
    /// How much there was.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
    /// All of it, unless it is too much for a result.
    pub(super) fn whole(self) -> Option<Vec<u8>> {
        (self.bytes <= RESULT_BYTES_MAX as u64).then_some(self.kept)
    }
}

/// The end of the standard error.
#[derive(Default)]
pub(super) struct Errors(VecDeque<u8>);

impl Errors {
    /// Reads what there is. None at the end. What was read so far is kept whatever happens.
    pub(super) async fn read(
        &mut self,
        input: &mut (impl AsyncRead + Unpin),
    ) -> std::io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 8 << 10];
        let read = input.read(&mut buffer).await?;
        buffer.truncate(read);
        self.add(&buffer);
        Ok((read > 0).then_some(buffer))
    }
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(ERRORS_KEPT);
        self.0.drain(..excess);
    }
    /// As a text, from the beginning of a line if not all of it was kept.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let cut = bytes.len() >= ERRORS_KEPT;
        let begin = bytes.iter().position(|byte| *byte == b'\n').filter(|_| cut).map_or(0, |end| end + 1);
        String::from_utf8_lossy(&bytes[begin..]).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_what_is_too_long_in_parts() {
        let long = "x".repeat(LINE_BYTES_MAX + 10);
        let text = format!("one\n\n{long}\nlast");
        let mut lines = Lines::of(text.as_bytes());
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(found.concat(), text, "nothing is lost");
        assert_eq!((&*found[0], &*found[1], &*found[4]), ("one\n", "\n", "last"));
        assert_eq!(found[2].len(), LINE_BYTES_MAX);
    }

    #[test]
    fn output_is_kept_up_to_the_size_of_a_result() {
        let mut output = Output::default();
        output.add(&vec![b'x'; RESULT_BYTES_MAX]);
        assert!(!output.is_flood());
        output.add(b"y");
        assert!(output.whole().is_none());
        let mut flood = Output::default();
        (0..17).for_each(|_| flood.add(&vec![b'x'; 1 << 20]));
        assert!(flood.is_flood() && flood.kept.len() <= RESULT_BYTES_MAX + 1);
    }

    #[test]
    fn of_errors_the_end_is_kept_from_the_beginning_of_a_line() {
        let mut errors = Errors::default();
        errors.add(b"first\n");
        assert_eq!(errors.text(), "first");
        for n in 0..2_000 {
            errors.add(format!("line {n}\n").as_bytes());
        }
        let text = errors.text();
        assert!(text.starts_with("line ") && text.ends_with("line 1999"), "{text}");
        assert!(text.len() <= ERRORS_KEPT);
    }
}
