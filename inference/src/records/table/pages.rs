//! What the pages of a Parquet column say that they unpack to, before anything is unpacked.
//!
//! Headers are read more strictly than the format is: data pages of version 1 with plain values, as [`encode`] writes
//! them, their fields in order and of their type. What is read here is then what the parquet crate reads, too.
//!
//! [`encode`]: super::encode

/// Thrift's compact protocol: a field of type i32, or a struct, by the distance of its number from the last one's.
const NEXT_I32: u8 = 0x15;
const NEXT_STRUCT: u8 = 0x1c;
const STRUCT_AFTER_NEXT: u8 = 0x2c;
const STOP: u8 = 0;
/// Numbers of the format.
const DATA_PAGE: u32 = 0;
const PLAIN: u32 = 0;

/// The sum over all pages of a column chunk; what is found in place of a page of ours, where there is something else.
pub(super) fn unpacked_bytes(chunk: &[u8]) -> Result<u64, &'static str> {
    let mut rest = chunk;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let page = page(&mut rest)?;
        sum = sum.saturating_add(u64::from(page.unpacked));
        rest = usize::try_from(page.packed)
            .ok()
            .and_then(|packed| rest.get(packed..))
            .ok_or("one that ends after its column")?;
    }
    Ok(sum)
}

/// Bytes of a page without its header.
struct Page {
    unpacked: u32,
    packed: u32,
}

/// Reads a page's header and leaves what follows it.
fn page(rest: &mut &[u8]) -> Result<Page, &'static str> {
    if number(rest)? != DATA_PAGE {
        return Err("one of another type");
    }
    let unpacked = number(rest)?;
    let packed = number(rest)?;
    let mut next = byte(rest).ok_or(CUT)?;
    if next == NEXT_I32 {
        // A checksum.
        varint(rest).ok_or(CUT)?;
        next = byte(rest).ok_or(CUT)?;
        if next != NEXT_STRUCT {
            return Err(UNKNOWN);
        }
    } else if next != STRUCT_AFTER_NEXT {
        return Err(UNKNOWN);
    }
    let _n_values = number(rest)?;
    if number(rest)? != PLAIN {
        return Err("one whose values are not plain");
    }
    let (_definition_levels, _repetition_levels) = (number(rest)?, number(rest)?);
    if (byte(rest), byte(rest)) != (Some(STOP), Some(STOP)) {
        return Err(UNKNOWN);
    }
    Ok(Page { unpacked, packed })
}

const UNKNOWN: &str = "one with an unknown header";
const CUT: &str = "one that is cut";

/// The next field, which must be a number of at least 0.
fn number(rest: &mut &[u8]) -> Result<u32, &'static str> {
    if byte(rest).ok_or(CUT)? != NEXT_I32 {
        return Err(UNKNOWN);
    }
    let zigzag = varint(rest).ok_or(CUT)?;
    // The last bit is the sign.
    if zigzag & 1 == 1 {
        return Err("one with a negative size");
    }
    u32::try_from(zigzag >> 1).map_err(|_| UNKNOWN)
}

/// A number of Thrift's compact protocol; None where it is cut or longer than any number is.
pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(super) fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, later) = rest.split_first()?;
    *rest = later;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of two values, `packed` bytes long, that says to unpack to `unpacked`, a number of one byte.
    fn page_of(unpacked: u8, packed: u8) -> Vec<u8> {
        let mut bytes = vec![NEXT_I32, 0, NEXT_I32, 2 * unpacked, NEXT_I32, 2 * packed];
        bytes.extend([STRUCT_AFTER_NEXT, NEXT_I32, 4, NEXT_I32, 0]);
        bytes.extend([NEXT_I32, 6, NEXT_I32, 6, STOP, STOP]);
        bytes.extend(vec![7; usize::from(packed)]);
        bytes
    }

    #[test]
    fn pages_are_added_up_and_everything_else_is_refused() {
        assert_eq!(unpacked_bytes(&[]), Ok(0));
        let two = [page_of(60, 5), page_of(3, 0)].concat();
        assert_eq!(unpacked_bytes(&two), Ok(63));
        let mut largest = page_of(1, 0);
        largest.splice(3..4, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(unpacked_bytes(&largest), Ok(i32::MAX as u64));
        let mut with_checksum = page_of(9, 1);
        with_checksum.splice(6..7, [NEXT_I32, 0x81, 0x01, NEXT_STRUCT]);
        assert_eq!(unpacked_bytes(&with_checksum), Ok(9));

        for length in 1..page_of(60, 5).len() {
            assert!(
                unpacked_bytes(&page_of(60, 5)[..length]).is_err(),
                "{length}"
            );
        }
        let changed = |place: usize, value: u8| {
            let mut bytes = page_of(60, 5);
            bytes[place] = value;
            unpacked_bytes(&bytes)
        };
        assert_eq!(changed(1, 4), Err("one of another type"));
        assert_eq!(changed(3, 1), Err("one with a negative size"));
        assert_eq!(changed(5, 14), Err("one that ends after its column"));
        assert_eq!(changed(10, 16), Err("one whose values are not plain"));
        // Another number of a field, another type, a further field.
        for (place, value) in [
            (2, 0x25),
            (2, 0x16),
            (6, 0x3c),
            (15, NEXT_I32),
            (16, NEXT_I32),
        ] {
            assert_eq!(
                changed(place, value),
                Err(UNKNOWN),
                "byte {place} is {value}"
            );
        }
    }
}
