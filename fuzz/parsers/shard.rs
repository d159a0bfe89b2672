//! A shard's bytes with the hash that a report gives: refused with a reason, or the rows that were asked for.

use sidereal_inference::base::RoundId;
use sidereal_inference::records::shard::{ShardLayout, ShardRows, Weighed, check};
use sidereal_inference::records::{Directory, Draws, ShardFile};
use sidereal_inference::space::{Parameter, ParameterSpace, Prior};

const PATH: &str = "rounds/000/shards/a.parquet";
pub const N_ROWS: u64 = 6;
pub const N_DATA: usize = 3;

/// What the shard is of.
pub fn space() -> ParameterSpace {
    let parameter = |name: &str, prior: Prior| Parameter {
        name: name.to_owned(),
        prior,
        periodic: false,
    };
    ParameterSpace::independent(vec![
        parameter("a", Prior::Normal { mean: 0.0, sd: 1.0 }),
        parameter(
            "b",
            Prior::Uniform {
                low: -1.0,
                high: 3.0,
            },
        ),
    ])
}

/// The rows that were asked for.
pub fn draws() -> Draws {
    Draws::from_prior(&space(), 7, RoundId(0), 0..N_ROWS)
}

/// Whether it is the shard that was asked for.
pub fn parse(bytes: &[u8]) -> bool {
    let (directory, space) = (Directory::in_memory(), space());
    let file = directory
        .store(PATH, bytes.to_vec())
        .expect("memory takes it");
    let layout = ShardLayout {
        space: &space,
        n_data: N_DATA,
    };
    let mut is_good = false;
    for (n_failed, weighed) in [
        (0, Weighed::ByObservation),
        (1, Weighed::ByObservation),
        (0, Weighed::Never),
    ] {
        let shard = ShardFile {
            round: RoundId(0),
            first_row: 0,
            n_rows: N_ROWS,
            n_failed,
            file: file.clone(),
        };
        let checked = check(&directory, &shard, layout, weighed, &draws(), "");
        let rows = ShardRows::load(&directory, &shard, layout);
        let columns = ShardRows::load_without_data(&directory, &shard, layout);
        if checked.is_ok() {
            assert!(rows.is_ok() && columns.is_ok(), "checked and not readable");
            is_good = true;
        }
    }
    is_good
}
