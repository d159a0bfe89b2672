//! The columns of one Arrow record batch, one after the other. Arrow's own reader panics where a peer that may send anything
//! says that a column has half a value.

use crate::process::reply::NoReply;
use arrow_ipc::{Buffer, FieldNode, Message};

/// Where the columns are that were not taken yet; each column must have a value a row.
pub struct Columns<'a> {
    n_rows: usize,
    /// Lengths and numbers of nulls; the next one is the last.
    nodes: Vec<&'a FieldNode>,
    /// Places in the body; the next one is the last.
    buffers: Vec<&'a Buffer>,
    body: &'a [u8],
}

/// Which values there are.
struct Validity<'a>(Option<&'a [u8]>);

impl Validity<'_> {
    fn has(&self, place: usize) -> bool {
        match self.0 {
            Some(bits) => bits[place / 8] >> (place % 8) & 1 == 1,
            None => true,
        }
    }
}

impl<'a> Columns<'a> {
    pub fn of(message: &Message<'a>, body: &'a [u8], n_rows: usize) -> Result<Self, NoReply> {
        let Some(header) = message.header_as_record_batch() else {
            return Err(NoReply::nonsense("found no record batch for an answer"));
        };
        let found = header.length();
        if found != n_rows as i64 {
            return Err(NoReply::nonsense(format!(
                "found {found} answers, expected {n_rows}"
            )));
        }
        if header.compression().is_some() {
            return Err(NoReply::nonsense(
                "the answer is compressed, expected it as it is",
            ));
        }
        let (nodes, buffers) = (header.nodes(), header.buffers());
        let mut nodes: Vec<_> = nodes.into_iter().flatten().collect();
        let mut buffers: Vec<_> = buffers.into_iter().flatten().collect();
        nodes.reverse();
        buffers.reverse();
        Ok(Self {
            n_rows,
            nodes,
            buffers,
            body,
        })
    }

    /// A column of numbers of N bytes.
    pub fn next<T, const N: usize>(
        &mut self,
        value_of: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<Option<T>>, NoReply> {
        let validity = self.validity(self.n_rows)?;
        let (values, _) = self.bytes(self.n_rows.checked_mul(N))?.as_chunks();
        let values = values.iter().enumerate();
        Ok(values
            .map(|(place, bytes)| validity.has(place).then(|| value_of(*bytes)))
            .collect())
    }

    /// A column of lists of `length` numbers, one after the other; NaN where they or their list are null.
    pub fn next_lists(&mut self, length: usize) -> Result<Vec<f64>, NoReply> {
        let of_lists = self.validity(self.n_rows)?;
        let n_values = self.n_rows.saturating_mul(length);
        let of_values = self.validity(n_values)?;
        let (values, _) = self.bytes(n_values.checked_mul(8))?.as_chunks();
        let mut values: Vec<f64> = values.iter().copied().map(f64::from_le_bytes).collect();
        if of_values.0.is_some() || of_lists.0.is_some() {
            for (place, value) in values.iter_mut().enumerate() {
                if !of_values.has(place) || !of_lists.has(place / length) {
                    *value = f64::NAN;
                }
            }
        }
        Ok(values)
    }

    /// A column of texts.
    pub fn next_strings(&mut self) -> Result<Vec<Option<&'a [u8]>>, NoReply> {
        let validity = self.validity(self.n_rows)?;
        let ends = self.n_rows.checked_add(1).and_then(|n| n.checked_mul(4));
        let (ends, _) = self.bytes(ends)?.as_chunks();
        let text = self.buffer()?;
        let place_of = |bytes: &[u8; 4]| usize::try_from(i32::from_le_bytes(*bytes)).ok();
        ends.windows(2)
            .enumerate()
            .map(|(place, ends)| {
                if !validity.has(place) {
                    return Ok(None);
                }
                let range = place_of(&ends[0]).zip(place_of(&ends[1]));
                let found = range.and_then(|(start, end)| text.get(start..end));
                match found {
                    Some(found) => Ok(Some(found)),
                    None => Err(NoReply::nonsense("a text lies outside of the answer")),
                }
            })
            .collect()
    }

    /// Of a column of so many values.
    fn validity(&mut self, n_values: usize) -> Result<Validity<'a>, NoReply> {
        let node = self.nodes.pop();
        let Some(node) = node.filter(|node| node.length() == n_values as i64) else {
            return Err(NoReply::nonsense(
                "a column is not as long as the answer has rows",
            ));
        };
        Ok(Validity(match node.null_count() {
            0 => {
                self.buffer()?;
                None
            }
            _ => Some(self.bytes(Some(n_values.div_ceil(8)))?),
        }))
    }

    /// The first bytes of the next buffer.
    fn bytes(&mut self, n_bytes: Option<usize>) -> Result<&'a [u8], NoReply> {
        let buffer = self.buffer()?;
        n_bytes
            .and_then(|n_bytes| buffer.get(..n_bytes))
            .ok_or_else(|| NoReply::nonsense("a column is shorter than the answer has rows"))
    }

    fn buffer(&mut self) -> Result<&'a [u8], NoReply> {
        let next = self.buffers.pop();
        next.and_then(|buffer| {
            let start = usize::try_from(buffer.offset()).ok()?;
            let end = start.checked_add(usize::try_from(buffer.length()).ok()?)?;
            self.body.get(start..end)
        })
        .ok_or_else(|| NoReply::nonsense("a column lies outside of the answer"))
    }
}
