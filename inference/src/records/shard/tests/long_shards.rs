//! Shards of more rows than are read at a time.

use crate::base::{FlowId, RoundId};
use crate::records::shard::{RowStatus, ShardLayout, ShardRows, Weighed, check};
use crate::records::{Directory, Draws};
use crate::space::{Parameter, ParameterSpace, Prior};
use crate::weights::Component;

const N_ROWS: usize = 5000;

#[test]
fn rows_are_checked_to_the_last_and_named_by_their_line_in_the_file() {
    let space = ParameterSpace::independent(vec![Parameter {
        name: "a".to_owned(),
        prior: Prior::Normal { mean: 0.0, sd: 1.0 },
        periodic: false,
    }]);
    let rows = ShardRows {
        draws: Draws::from_prior(&space, 1, RoundId(0), 7..7 + N_ROWS as u64),
        log_likelihood: vec![None; N_ROWS],
        n_data: 2,
        simulated: vec![1.0; 2 * N_ROWS],
        n_derived: 0,
        derived: Vec::new(),
        status: vec![RowStatus::Ok; N_ROWS],
        message: vec![None; N_ROWS],
    };
    let checked = |change: fn(&mut ShardRows), n_rows: u64| {
        let directory = Directory::in_memory();
        let mut stored = rows.clone();
        change(&mut stored);
        let mut shard = stored.store(&directory, "shard", &space).expect("store");
        shard.n_rows = n_rows;
        let draws = rows.draws.slice(7..7 + n_rows);
        let layout = ShardLayout {
            space: &space,
            n_data: 2,
        };
        let error = check(&directory, &shard, layout, Weighed::Never, &draws, "").err();
        error.map(|error| error.to_string().replace("memory/shard: ", ""))
    };
    let n_rows = N_ROWS as u64;
    assert_eq!(checked(|_| {}, n_rows), None);
    let wrong = checked(|rows| rows.simulated[9999] = f32::NAN, n_rows);
    let expected = "x[1] in line 4999 (status ok) is NaN, expected a finite number";
    assert_eq!(wrong.as_deref(), Some(expected));
    let wrong = checked(
        |rows| rows.draws.component[3000] = Component::Flow(FlowId(0)),
        n_rows,
    );
    let expected = "component in line 3000 is flow 0, expected the prior";
    assert_eq!(wrong.as_deref(), Some(expected));
    let wrong = checked(|rows| rows.draws.z[2048] = f64::INFINITY, n_rows);
    let expected = "z_a in line 2048 is inf, expected a finite number";
    assert_eq!(wrong.as_deref(), Some(expected));
    let wrong = checked(|rows| rows.status[4998] = RowStatus::Failed, n_rows - 1);
    let expected = "the number of rows is 5000, expected 4999";
    assert_eq!(wrong.as_deref(), Some(expected));
}
