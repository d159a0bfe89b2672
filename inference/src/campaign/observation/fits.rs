//! Binary tables of FITS files (FITS standard 4.0, section 7.3): what is needed of them, and nothing is believed.

use super::cell::{Cell, Column};
use super::mistakes::{FileMistakes, Place};
use super::reading::Hdu;
use std::collections::BTreeMap;

const BLOCK: usize = 2880;
const CARD: usize = 80;
/// The standard's own, of columns and axes.
const MOST_COLUMNS: usize = 999;
/// Of a header; more are no header.
const MOST_CARDS: usize = 36_000;
/// HDUs that a message names.
const MAX_SHOWN: usize = 20;

pub(super) fn is_fits(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SIMPLE  =")
}

/// A binary table; columns that are not one number a row are known by name alone.
pub(super) struct FitsTable<'a> {
    pub columns: Vec<Column>,
    /// Of the columns, in order.
    fields: Vec<Field>,
    rows: &'a [u8],
    row_bytes: usize,
}

struct Field {
    offset: usize,
    /// Or what it is instead of one number a row.
    kind: Result<Kind, String>,
    /// Bytes of a row's text, where it is that.
    text_bytes: Option<usize>,
    scale: f64,
    zero: f64,
    null: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
}

impl<'a> FitsTable<'a> {
    /// The first binary table, or the one that `hdu` names.
    pub fn open(bytes: &'a [u8], hdu: Option<&Hdu>) -> Result<Self, String> {
        let mut rest = bytes;
        let mut seen = Vec::new();
        while !rest.is_empty() {
            let index = seen.len();
            let (header, data) = match Header::read(rest) {
                Some(found) => found,
                // What comes after the last HDU may be anything.
                None if index > 0 => break,
                None => return Err("a FITS file whose first header has no end".to_owned()),
            };
            let name = header.text("EXTNAME").unwrap_or_default();
            let is_table = header.text("XTENSION").as_deref() == Some("BINTABLE");
            let is_meant = match hdu {
                None => is_table,
                Some(Hdu::Index(wanted)) => usize::try_from(*wanted).ok() == Some(index),
                Some(Hdu::Name(wanted)) => name.eq_ignore_ascii_case(wanted.trim()),
            };
            if is_meant {
                if !is_table {
                    return Err(format!("HDU {index} is no binary table"));
                }
                return Self::of(&header, data);
            }
            seen.push(format!("{index} {name}").trim_end().to_owned());
            let n_bytes = header
                .data_bytes()
                .and_then(|n| n.checked_next_multiple_of(BLOCK));
            rest = match n_bytes {
                Some(n_bytes) if n_bytes < data.len() => &data[n_bytes..],
                Some(_) | None => &[],
            };
        }
        let wanted = match hdu {
            None => "no binary table".to_owned(),
            Some(Hdu::Index(index)) => format!("no HDU {index}"),
            Some(Hdu::Name(name)) => format!("no HDU of the name {name:?}"),
        };
        let more = if seen.len() > MAX_SHOWN { ", ..." } else { "" };
        seen.truncate(MAX_SHOWN);
        Err(format!(
            "{wanted} in this FITS file, found the HDUs {}{more}",
            seen.join(", ")
        ))
    }

    fn of(header: &Header, data: &'a [u8]) -> Result<Self, String> {
        let size = |key: &str| {
            let value = header.whole(key);
            let size = value.and_then(|value| usize::try_from(value).ok());
            size.ok_or_else(|| format!("{key} is missing in the table's header, or no size"))
        };
        let (row_bytes, n_rows, n_columns) = (size("NAXIS1")?, size("NAXIS2")?, size("TFIELDS")?);
        if n_columns > MOST_COLUMNS {
            return Err(format!(
                "TFIELDS is {n_columns}, expected at most {MOST_COLUMNS}"
            ));
        }
        let Some(rows) = n_rows
            .checked_mul(row_bytes)
            .and_then(|n_bytes| data.get(..n_bytes))
        else {
            return Err(format!(
                "the table has {n_rows} rows of {row_bytes} bytes, and the file ends before them"
            ));
        };
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        let mut offset = 0_usize;
        for i in 1..=n_columns {
            let format = header
                .text(&format!("TFORM{i}"))
                .ok_or_else(|| format!("TFORM{i} is missing in the table's header"))?;
            let (kind, width) = kind(&format).ok_or_else(|| {
                format!("TFORM{i} is {format:?}, expected a count and a letter such as 1D")
            })?;
            columns.push(Column {
                name: header
                    .text(&format!("TTYPE{i}"))
                    .unwrap_or(format!("col{i}")),
                unit: header
                    .text(&format!("TUNIT{i}"))
                    .filter(|unit| !unit.is_empty()),
            });
            fields.push(Field {
                offset,
                kind,
                text_bytes: format.trim().ends_with('A').then_some(width),
                scale: header.number(&format!("TSCAL{i}")).unwrap_or(1.0),
                zero: header.number(&format!("TZERO{i}")).unwrap_or(0.0),
                null: header.whole(&format!("TNULL{i}")),
            });
            offset = offset.saturating_add(width);
        }
        if offset > row_bytes {
            return Err(format!(
                "the table's columns have {offset} bytes, expected at most the row's, {row_bytes}"
            ));
        }
        Ok(Self {
            columns,
            fields,
            rows,
            row_bytes,
        })
    }

    /// Gives the cells of the columns `wanted` of each row, in that order, then what stands in the column `label`.
    pub fn read(
        self,
        wanted: &[usize],
        label: Option<usize>,
        mistakes: &mut FileMistakes,
        take: &mut dyn FnMut(Place, &[Cell], &mut FileMistakes),
    ) {
        for &column in wanted {
            if let Err(found) = &self.fields[column].kind {
                let name = &self.columns[column].name;
                let message = format!("column {name} has {found}, expected one number a row");
                mistakes.add(Place::File, message);
            }
        }
        if let Some(column) = label
            && let (Err(found), None) = (&self.fields[column].kind, self.fields[column].text_bytes)
        {
            let name = &self.columns[column].name;
            let message = format!("column {name} has {found}, expected a text or a number a row");
            mistakes.add(Place::File, message);
        }
        if !mistakes.is_empty() || self.row_bytes == 0 {
            return;
        }
        let mut cells = Vec::with_capacity(wanted.len());
        for (row, bytes) in (1..).zip(self.rows.chunks_exact(self.row_bytes)) {
            cells.clear();
            cells.extend(wanted.iter().map(|&column| self.fields[column].cell(bytes)));
            cells.extend(label.map(|column| self.fields[column].label_cell(bytes)));
            take(Place::Row(row), &cells, mistakes);
        }
    }
}

impl Field {
    fn cell(&self, row: &[u8]) -> Cell {
        let number = match &self.kind {
            Ok(kind) => kind.read(row.get(self.offset..).unwrap_or_default()),
            Err(_) => None,
        };
        let number = match number {
            Some(Number::Whole(whole)) if self.null == Some(whole) => {
                return Cell::Missing(format!("{whole}, which stands for nothing (TNULL)"));
            }
            Some(Number::Whole(whole)) => whole as f64,
            Some(Number::Float(float)) => float,
            None => return Cell::Bad("found less than a number".to_owned()),
        };
        if number.is_nan() {
            return Cell::Missing("NaN".to_owned());
        }
        Cell::Number(self.zero + self.scale * number)
    }

    /// Text up to its first zero byte, without spaces at its end; a number as it is written.
    fn label_cell(&self, row: &[u8]) -> Cell {
        let Some(n_bytes) = self.text_bytes else {
            return match self.cell(row) {
                Cell::Number(number) => Cell::Text(number.to_string()),
                other @ (Cell::Text(_) | Cell::Missing(_) | Cell::Bad(_)) => other,
            };
        };
        let field = row
            .get(self.offset..self.offset + n_bytes)
            .unwrap_or_default();
        let end = field.iter().position(|&byte| byte == 0);
        match str::from_utf8(&field[..end.unwrap_or(field.len())]).map(str::trim) {
            Ok("") => Cell::Missing("nothing".to_owned()),
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Bad("found bytes that are not UTF-8 text".to_owned()),
        }
    }
}

enum Number {
    Whole(i64),
    Float(f64),
}

impl Kind {
    /// The number that `bytes` begin with.
    fn read(self, bytes: &[u8]) -> Option<Number> {
        Some(match self {
            Self::Byte => Number::Whole((*bytes.first()?).into()),
            Self::Short => Number::Whole(i16::from_be_bytes(*bytes.first_chunk()?).into()),
            Self::Int => Number::Whole(i32::from_be_bytes(*bytes.first_chunk()?).into()),
            Self::Long => Number::Whole(i64::from_be_bytes(*bytes.first_chunk()?)),
            Self::Float => Number::Float(f32::from_be_bytes(*bytes.first_chunk()?).into()),
            Self::Double => Number::Float(f64::from_be_bytes(*bytes.first_chunk()?)),
        })
    }
}

/// What a TFORM says, and the bytes of its field.
fn kind(format: &str) -> Option<(Result<Kind, String>, usize)> {
    let format = format.trim();
    let letter_at = format.find(|c: char| !c.is_ascii_digit())?;
    let count: usize = match &format[..letter_at] {
        "" => 1,
        digits => digits.parse().ok()?,
    };
    let letter = format[letter_at..].chars().next()?;
    let (number, bytes) = match letter {
        'B' => (Some(Kind::Byte), 1),
        'I' => (Some(Kind::Short), 2),
        'J' => (Some(Kind::Int), 4),
        'K' => (Some(Kind::Long), 8),
        'E' => (Some(Kind::Float), 4),
        'D' => (Some(Kind::Double), 8),
        'X' => return Some((Err("bits".to_owned()), count.div_ceil(8))),
        'L' | 'A' => (None, 1),
        'C' | 'P' => (None, 8),
        'M' | 'Q' => (None, 16),
        _ => return None,
    };
    let kind = match (number, count) {
        (Some(kind), 1) => Ok(kind),
        (Some(_), count) => Err(format!("{count} numbers a row")),
        (None, _) => Err(format!("the format {format}")),
    };
    Some((kind, count.checked_mul(bytes)?))
}

/// Keywords with what stands behind them.
struct Header {
    value_by_key: BTreeMap<String, String>,
}

impl Header {
    /// The header that `bytes` begin with, and what comes after it; None where it does not end.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut value_by_key = BTreeMap::new();
        for (i, card) in bytes.chunks_exact(CARD).take(MOST_CARDS).enumerate() {
            let (key, rest) = card.split_at(8);
            let key = str::from_utf8(key).ok()?.trim_end();
            if key == "END" {
                let n_bytes = ((i + 1) * CARD).next_multiple_of(BLOCK);
                return Some((
                    Self { value_by_key },
                    bytes.get(n_bytes..).unwrap_or_default(),
                ));
            }
            if let Some(value) = rest.strip_prefix(b"= ") {
                let value = String::from_utf8_lossy(value).into_owned();
                value_by_key.entry(key.to_owned()).or_insert(value);
            }
        }
        None
    }

    /// Text in quotes, of which two are one in the text; without spaces at its end.
    fn text(&self, key: &str) -> Option<String> {
        let inside = self
            .value_by_key
            .get(key)?
            .trim_start()
            .strip_prefix('\'')?;
        let mut text = String::new();
        let mut chars = inside.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' && chars.next_if_eq(&'\'').is_none() {
                return Some(text.trim().to_owned());
            }
            text.push(c);
        }
        None
    }

    /// What stands before the comment.
    fn bare(&self, key: &str) -> Option<&str> {
        self.value_by_key.get(key)?.split('/').next().map(str::trim)
    }

    fn whole(&self, key: &str) -> Option<i64> {
        self.bare(key)?.parse().ok()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.bare(key)?.replace(['D', 'd'], "E").parse().ok()
    }

    /// Of the data behind the header, without what fills their last block.
    fn data_bytes(&self) -> Option<usize> {
        let size = |key: &str| usize::try_from(self.whole(key)?).ok();
        let n_axes = size("NAXIS")?;
        if n_axes == 0 {
            return Some(0);
        }
        if n_axes > MOST_COLUMNS {
            return None;
        }
        let mut n_elements = 1_usize;
        for axis in 1..=n_axes {
            n_elements = n_elements.checked_mul(size(&format!("NAXIS{axis}"))?)?;
        }
        let bits = usize::try_from(self.whole("BITPIX")?.unsigned_abs()).ok()?;
        let n_elements = n_elements.checked_add(size("PCOUNT").unwrap_or(0))?;
        let n_groups = size("GCOUNT").unwrap_or(1);
        n_elements.checked_mul(n_groups)?.checked_mul(bits / 8)
    }
}
