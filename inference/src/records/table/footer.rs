//! The metadata at the end of a Parquet file, looked through before the parquet crate reads it.
//!
//! The crate passes over fields that it does not know, and of a list of truths among them it takes the length at its
//! word, two thousand million at a few bytes each: some kilobytes keep it busy for hours. What it knows it reads by number,
//! whatever type a field claims. So nothing is let through but fields of the format, in order and of their type.

use super::pages::{byte, varint};

/// The type of a field, after the names of Thrift's compact protocol.
enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Binary,
    List(&'static Kind),
    Struct(Fields),
}

/// By number.
type Fields = &'static [(u8, Kind)];

/// Of the whole file.
#[rustfmt::skip]
const FILE: Fields = &[
    (1, Kind::I32), (2, Kind::List(&Kind::Struct(SCHEMA_ELEMENT))), (3, Kind::I64),
    (4, Kind::List(&Kind::Struct(ROW_GROUP))), (5, Kind::List(&Kind::Struct(KEY_VALUE))), (6, Kind::Binary),
    (7, Kind::List(&Kind::Struct(COLUMN_ORDER))),
];

const COLUMN_ORDER: Fields = &[(1, Kind::Struct(&[])), (2, Kind::Struct(&[]))];

#[rustfmt::skip]
const SCHEMA_ELEMENT: Fields = &[
    (1, Kind::I32), (2, Kind::I32), (3, Kind::I32), (4, Kind::Binary), (5, Kind::I32), (6, Kind::I32), (7, Kind::I32),
    (8, Kind::I32), (9, Kind::I32), (10, Kind::Struct(LOGICAL_TYPE)),
];

/// Texts, lists and integers; there are others.
#[rustfmt::skip]
const LOGICAL_TYPE: Fields = &[
    (1, Kind::Struct(&[])), (3, Kind::Struct(&[])), (10, Kind::Struct(&[(1, Kind::I8), (2, Kind::Bool)])),
];

const KEY_VALUE: Fields = &[(1, Kind::Binary), (2, Kind::Binary)];

#[rustfmt::skip]
const ROW_GROUP: Fields = &[
    (1, Kind::List(&Kind::Struct(COLUMN_CHUNK))), (2, Kind::I64), (3, Kind::I64), (5, Kind::I64), (6, Kind::I64),
    (7, Kind::I16),
];

#[rustfmt::skip]
const COLUMN_CHUNK: Fields = &[
    (1, Kind::Binary), (2, Kind::I64), (3, Kind::Struct(COLUMN)), (4, Kind::I64), (5, Kind::I32), (6, Kind::I64),
    (7, Kind::I32),
];

#[rustfmt::skip]
const COLUMN: Fields = &[
    (1, Kind::I32), (2, Kind::List(&Kind::I32)), (3, Kind::List(&Kind::Binary)), (4, Kind::I32), (5, Kind::I64),
    (6, Kind::I64), (7, Kind::I64), (8, Kind::List(&Kind::Struct(KEY_VALUE))), (9, Kind::I64), (10, Kind::I64),
    (11, Kind::I64), (12, Kind::Struct(STATISTICS)), (13, Kind::List(&Kind::Struct(PAGE_ENCODING))), (14, Kind::I64),
    (15, Kind::I32), (16, Kind::Struct(SIZES)),
];

const PAGE_ENCODING: Fields = &[(1, Kind::I32), (2, Kind::I32), (3, Kind::I32)];

#[rustfmt::skip]
const SIZES: Fields = &[(1, Kind::I64), (2, Kind::List(&Kind::I64)), (3, Kind::List(&Kind::I64))];

#[rustfmt::skip]
const STATISTICS: Fields = &[
    (1, Kind::Binary), (2, Kind::Binary), (3, Kind::I64), (4, Kind::I64), (5, Kind::Binary), (6, Kind::Binary),
    (7, Kind::Bool), (8, Kind::Bool), (9, Kind::I64),
];

/// `PAR1` and the metadata's length before it.
const END_BYTES: usize = 8;
const CUT: &str = "its metadata are cut";
const FOREIGN: &str = "its metadata have a field that is none of the format, or not of its type";

/// Refuses metadata with anything but fields of the format. What has no metadata is left to who reads it.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    let Some((rest, [a, b, c, d, b'P', b'A', b'R', b'1'])) = file.split_last_chunk::<END_BYTES>()
    else {
        return Ok(());
    };
    let n_bytes = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
    let Some(start) = rest.len().checked_sub(n_bytes) else {
        return Ok(());
    };
    walk(&Kind::Struct(FILE), &mut &rest[start..])
}

/// Passes over one value. Every element of a list takes a byte at least, so that this takes no longer than the bytes are
/// many.
fn walk(kind: &Kind, rest: &mut &[u8]) -> Result<(), &'static str> {
    match kind {
        // Its value is in its type.
        Kind::Bool => {}
        Kind::I8 => {
            byte(rest).ok_or(CUT)?;
        }
        Kind::I16 | Kind::I32 | Kind::I64 => {
            varint(rest).ok_or(CUT)?;
        }
        Kind::Binary => {
            let n_bytes = varint(rest).ok_or(CUT)?;
            let n_bytes = usize::try_from(n_bytes).map_err(|_| CUT)?;
            *rest = rest.get(n_bytes..).ok_or(CUT)?;
        }
        Kind::List(element) => {
            let header = byte(rest).ok_or(CUT)?;
            let n = match header >> 4 {
                15 => varint(rest).ok_or(CUT)?,
                n => u64::from(n),
            };
            if n > 0 && !element.has_code(header & 0x0f) {
                return Err(FOREIGN);
            }
            for _ in 0..n {
                walk(element, rest)?;
            }
        }
        Kind::Struct(fields) => {
            let mut number = 0;
            loop {
                let header = byte(rest).ok_or(CUT)?;
                if header == 0 {
                    break;
                }
                let step = header >> 4;
                number += step;
                let field = fields.iter().find(|(known, _)| *known == number);
                let Some((_, kind)) =
                    field.filter(|(_, kind)| step > 0 && kind.has_code(header & 0x0f))
                else {
                    return Err(FOREIGN);
                };
                walk(kind, rest)?;
            }
        }
    }
    Ok(())
}

impl Kind {
    /// Whether the protocol calls it so.
    fn has_code(&self, code: u8) -> bool {
        match self {
            Self::Bool => code == 1 || code == 2,
            Self::I8 => code == 3,
            Self::I16 => code == 4,
            Self::I32 => code == 5,
            Self::I64 => code == 6,
            Self::Binary => code == 8,
            Self::List(_) => code == 9,
            Self::Struct(_) => code == 12,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(metadata: &[u8]) -> Vec<u8> {
        let n_bytes = u32::try_from(metadata.len()).expect("few").to_le_bytes();
        [b"PAR1", metadata, &n_bytes, b"PAR1"].concat()
    }

    #[test]
    fn only_fields_of_the_format_are_let_through() {
        // Version 1, a schema of one element of the name "a", 7 rows, no row group.
        let good = [
            0x15, 2, 0x19, 0x1c, 0x48, 1, b'a', 0, 0x16, 14, 0x19, 0x0c, 0,
        ];
        assert_eq!(check(&file(&good)), Ok(()));
        for n in 0..good.len() {
            assert_eq!(check(&file(&good[..n])), Err(CUT), "{n} bytes");
        }
        let with = |field: &[u8]| check(&file(&[&good[..12], field, &[0]].concat()));
        assert_eq!(with(&[0x28, 1, b'x']), Ok(()), "created by x");
        let endless = [0xff, 0xff, 0xff, 0xff, 0x07];
        let truths = |list: u8, of: u8| with(&[&[list, of], endless.as_slice()].concat());
        assert_eq!(
            truths(0x69, 0xf1),
            Err(FOREIGN),
            "field 10, a list of truths"
        );
        assert_eq!(
            truths(0x19, 0xf2),
            Err(FOREIGN),
            "field 5, a list of truths"
        );
        assert_eq!(truths(0x19, 0xfc), Err(CUT), "field 5, a list of structs");
        for (field, what) in [
            (&[0x25, 2][..], "a number in place of a text"),
            (&[0x08, 12, 1, b'x'], "a number of a field of its own"),
            (&[0xf8, 1, b'x'], "a field far off"),
            (&[0x1a, 0x0c], "a set"),
            (&[0x1b, 0], "a map"),
        ] {
            assert_eq!(with(field), Err(FOREIGN), "{what}");
        }
    }

    #[test]
    fn what_has_no_metadata_is_left_to_its_reader() {
        for bytes in [
            &b""[..],
            b"PAR1",
            b"PAR1\xff\xff\xff\x00PAR1",
            b"\x01\0\0\0PARE",
        ] {
            assert_eq!(check(bytes), Ok(()));
        }
    }
}
