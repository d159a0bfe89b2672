//! Lines of text, and what stands between their fields.

/// Lines of a file, counted from 1, without their ends, `\n`, `\r\n` or, where there is no `\n` at all, `\r`.
#[derive(Clone)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    end: u8,
    n_before: u64,
}

impl<'a> Lines<'a> {
    /// A byte order mark is no part of the text.
    pub fn new(bytes: &'a [u8]) -> Self {
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let end = if rest.contains(&b'\n') { b'\n' } else { b'\r' };
        Self {
            rest,
            end,
            n_before: 0,
        }
    }

    /// The next line with anything in it but a comment.
    pub(super) fn next_row(&mut self) -> Option<(u64, &'a [u8])> {
        self.find(|(_, line)| {
            line.iter()
                .find(|byte| !byte.is_ascii_whitespace())
                .is_some_and(|&first| first != b'#')
        })
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.iter().position(|&byte| byte == self.end);
        let line = &self.rest[..length.unwrap_or(self.rest.len())];
        self.rest = &self.rest[length.map_or(self.rest.len(), |length| length + 1)..];
        self.n_before += 1;
        Some((self.n_before, line))
    }
}

/// What stands between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    Byte(u8),
    /// As much as one likes.
    Whitespace,
}

impl Delimiter {
    pub(super) fn of(line: &[u8]) -> Self {
        let found = [b',', b'\t', b';']
            .into_iter()
            .find(|delimiter| line.contains(delimiter));
        found.map_or(Self::Whitespace, Self::Byte)
    }
}
