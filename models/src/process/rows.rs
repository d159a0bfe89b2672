//! What is asked of children, and what they answer.

/// Rows to run: row i has the id `first_row` + i.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The id of the first row, of its round.
    pub first_row: u64,
    /// One row after the other: its parameters in their order, before them x where noise is to be added to it.
    pub inputs: Vec<f64>,
    /// One a row; with blocks that of the first row of the row's block, which may lie before `first_row`.
    pub seeds: Vec<[u8; 16]>,
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.seeds.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.seeds.is_empty()
    }
}

/// What came of each row, in the order of the rows. Of a failed row all numbers are NaN or None.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// Why a row failed, in at most 1 kB.
    pub outcomes: Vec<Result<(), String>>,
    /// \[row, `n_data`\], finite; empty where nothing is simulated.
    pub x: Vec<f64>,
    /// None where none is given; never NaN or +inf.
    pub log_likelihood: Vec<Option<f64>>,
    /// \[row, name\], what the prior transform gives, finite; empty without one.
    pub theta: Vec<f64>,
    /// \[row, name\], the derived quantities; NaN where one has no value.
    pub blobs: Vec<f64>,
}
