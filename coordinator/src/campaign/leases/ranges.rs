//! Ranges of rows: cut, intersected, subtracted.

use std::collections::BTreeMap;
use std::ops::Range;

/// Cuts at most `n_rows` from the front.
pub fn take_rows(rest: &mut Range<u64>, n_rows: u64) -> Range<u64> {
    let end = rest.end.min(rest.start.saturating_add(n_rows));
    let rows = rest.start..end;
    rest.start = end;
    rows
}

/// The parts of `rows` that lie within `ranges`, in order.
pub fn parts_within(ranges: &BTreeMap<u64, u64>, rows: &Range<u64>) -> Vec<Range<u64>> {
    let mut parts: Vec<Range<u64>> = ranges
        .range(..rows.end)
        .rev()
        .take_while(|&(_, &end)| end > rows.start)
        .map(|(&start, &end)| start.max(rows.start)..end.min(rows.end))
        .collect();
    parts.reverse();
    parts
}

/// What is left of `parts` once `rows` are taken out.
pub fn without(parts: Vec<Range<u64>>, rows: &Range<u64>) -> Vec<Range<u64>> {
    let mut left = Vec::with_capacity(parts.len());
    for part in parts {
        let before = part.start..part.end.min(rows.start);
        let after = part.start.max(rows.end)..part.end;
        left.extend([before, after].into_iter().filter(|rows| !rows.is_empty()));
    }
    left
}

#[expect(
    clippy::single_range_in_vec_init,
    reason = "lists of ranges, some of one"
)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_intersected_and_subtracted() {
        let mut rest = 3..10;
        assert_eq!(take_rows(&mut rest, 4), 3..7);
        assert_eq!(take_rows(&mut rest, 100), 7..10);
        assert!(rest.is_empty());

        let ranges = BTreeMap::from([(0, 4), (6, 9), (12, 20)]);
        assert_eq!(parts_within(&ranges, &(2..13)), [2..4, 6..9, 12..13]);
        assert_eq!(parts_within(&ranges, &(4..6)), []);

        assert_eq!(without(vec![0..4, 6..9], &(2..7)), [0..2, 7..9]);
        assert_eq!(without(vec![0..4], &(0..4)), []);
        assert_eq!(without(vec![0..4], &(4..6)), [0..4]);
    }
}
