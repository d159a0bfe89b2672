//! What a campaign is: its model, its data and their noise, and how it is to be done.

pub mod external;
mod minibatch;
pub mod model;
mod noise;
mod observation;
mod specification;

pub(crate) use minibatch::fewest_slice_rows;
pub use minibatch::{SLICE_ROWS, even_slices};
pub use noise::{
    GaussianNoise, Labels, LinearFit, Noise, NoiseTerm, NoiseTerms, RowNoise, SigmaSource,
};
pub use observation::{
    Column, ColumnNames, Errors, Format, Hdu, Missing, Observation, Reading, Source, TARGET_COLUMN,
    Target, is_catalogue,
};
pub(crate) use observation::{
    Expected, FileMistakes, Place, check_number, number_columns, parse_number, rows,
};

pub use specification::{
    Campaign, Combine, DeviceChoice, Featurizer, Flow, Loss, MOST_WORKERS, Misfit, Normalization,
    NsfSize, Refinement, Rounds, Stop, StopRule, Training, Trust, Workers, patch,
};
