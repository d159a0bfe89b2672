//! How files of observations are read.

use serde::{Deserialize, Serialize};

/// Where the standard errors of an observation are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Errors {
    /// In a column.
    Column,
    /// In a column, or this one for all data where there is none.
    ColumnOr(f64),
    /// This one for all data, whatever columns there are.
    Constant(f64),
    /// There are none: the simulator draws the noise.
    None,
    /// There are none, and the grid may be missing too: the data are then counted from 0.
    NoneNorGrid,
}

/// How files of observations are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Which columns are read.
    pub columns: ColumnNames,
    /// What becomes of rows in which one of them has no number.
    pub missing: Missing,
    /// Of a FITS file; None: the first binary table.
    pub hdu: Option<Hdu>,
}

/// Which column is what; None: by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnNames {
    /// Of the abscissae.
    pub grid: Option<String>,
    /// Of the data.
    pub value: Option<String>,
    /// Of their standard errors.
    pub sigma: Option<String>,
}

/// What becomes of a row in which a number is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The file is refused.
    #[default]
    Refuse,
    /// It is left out.
    Drop,
}

/// A part of a FITS file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hdu {
    /// 0 is the primary one.
    Index(u32),
    /// EXTNAME.
    Name(String),
}
