//! Tables by their content: text, ECSV or FITS.

use super::cell::{Cell, Column};
use super::fits;
use super::fits::FitsTable;
use super::mistakes::{FileMistakes, Place};
use super::reading::Reading;
use super::text::TextTable;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Fields with or without a header.
    Text,
    /// Enhanced CSV (astropy).
    Ecsv,
    /// A binary table.
    Fits,
}

/// A table that is open: its columns are known, its rows not yet read.
pub(super) enum Table<'a> {
    Text(TextTable<'a>),
    Fits(FitsTable<'a>),
}

impl<'a> Table<'a> {
    /// `is_known` says of a name whether it may be a column's that is looked for.
    pub fn open(
        bytes: &'a [u8],
        reading: &Reading,
        is_known: &dyn Fn(&str) -> bool,
    ) -> Result<(Self, Format), (Place, String)> {
        if fits::is_fits(bytes) {
            let table = FitsTable::open(bytes, reading.hdu.as_ref())
                .map_err(|message| (Place::File, message))?;
            return Ok((Self::Fits(table), Format::Fits));
        }
        if let Some((_, found)) = OTHER_FORMATS
            .iter()
            .find(|(beginning, _)| bytes.starts_with(beginning))
        {
            let message = format!("found {found}, expected CSV, ECSV or an unpacked FITS table");
            return Err((Place::File, message));
        }
        if reading.hdu.is_some() {
            let message = "found no FITS file, expected one, as hdu is given";
            return Err((Place::File, message.to_owned()));
        }
        let table = TextTable::open(bytes, is_known)?;
        let format = if table.is_ecsv {
            Format::Ecsv
        } else {
            Format::Text
        };
        Ok((Self::Text(table), format))
    }

    pub fn columns(&self) -> &[Column] {
        match self {
            Self::Text(table) => &table.columns,
            Self::Fits(table) => &table.columns,
        }
    }

    /// Where the columns' names stand.
    pub fn header(&self) -> Place {
        match self {
            Self::Text(table) => table.header,
            Self::Fits(_) => Place::File,
        }
    }

    /// Gives the cells of the columns `wanted` of each row, in that order, then what stands in the column `label`.
    pub fn read(
        self,
        wanted: &[usize],
        label: Option<usize>,
        mistakes: &mut FileMistakes,
        take: &mut dyn FnMut(Place, &[Cell], &mut FileMistakes),
    ) {
        match self {
            Self::Text(table) => table.read(wanted, label, mistakes, take),
            Self::Fits(table) => table.read(wanted, label, mistakes, take),
        }
    }
}

/// What people have and give, by how it begins.
const OTHER_FORMATS: [(&[u8], &str); 9] = [
    (b"\x1f\x8b", "a file packed by gzip"),
    (b"BZh", "a file packed by bzip2"),
    (b"PK\x03\x04", "a zip file (or a spreadsheet)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"<", "XML (a VOTable?)"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
];
