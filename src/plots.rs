//! Pictures of a campaign as PNG and PDF files: no system library, no installed font.

pub mod calibration;
mod canvas;
pub mod corner;
mod density;
pub mod fit;
mod panel;
mod pdf;
mod raster;
mod shapes;
pub mod ticks;
pub mod training;

/// A picture that could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    #[error("nothing to plot: no row has a positive weight")]
    NoWeight,
    #[error("nothing to plot: no flow was trained and no round weighed")]
    NoHistory,
    #[error("nothing to plot: there are no data")]
    NoData,
    #[error("{n_parameters} parameters do not fit a corner plot, expected 1 to {max}")]
    TooManyParameters { n_parameters: usize, max: usize },
    #[error("{0}")]
    Table(String),
    #[error("cannot draw a picture of {width} x {height} pixels")]
    Size { width: u32, height: u32 },
    #[error("cannot read the built-in font")]
    Font,
    #[error("cannot encode a picture as png: {0}")]
    Encode(String),
}
