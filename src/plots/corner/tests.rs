//! Axes, quantiles and modes of one parameter.

use super::*;
use sidereal_inference::campaign_file;
use sidereal_inference::records::parameter_summaries;
use sidereal_models::Catalogue;
use std::path::Path;

/// Quantiles, axis, ends and truth of an angle of period 8 with these draws.
fn angle(draws: &[f64], truth: &str) -> ([f64; 3], [f64; 2], Ends, Option<f64>) {
    let text = format!(
        "name = \"ring\"\n[[parameters]]\nname = \"w\"\nperiodic = true\n{truth}\n\
         prior = {{ uniform = {{ low = 1, high = 9 }} }}\n[simulator]\nbuiltin = \"linear-gaussian\"\n\
         [observation]\ngrid = [0]\nvalue = [1]\nsigma = [1]\n"
    );
    let campaign = campaign_file::parse(&text, Path::new("ring.toml"), &Catalogue::default())
        .expect("a campaign");
    let n = draws.len();
    let posterior = Posterior {
        n_parameters: 1,
        theta: draws.to_vec(),
        n_derived: 0,
        derived: Vec::new(),
        log_likelihood: vec![0.0; n],
        log_prior: vec![0.0; n],
        log_proposal: vec![0.0; n],
        round: vec![0; n],
        row_id: (0..n as u64).collect(),
        weight: vec![1.0 / n as f64; n],
    };
    let found = parameter_summaries(&campaign.space, &posterior);
    let measure = Canvas::new(1.0, 1.0).expect("a canvas");
    let sizes = Sizes::of(1);
    let column = Column::new(0, &posterior, &found[0], &[], &campaign, &measure, &sizes);
    let Column {
        quantiles,
        axis,
        ends,
        truth,
        ..
    } = column;
    (quantiles, [axis.low, axis.high], ends, truth)
}

#[test]
fn a_mode_across_the_bounds_is_not_cut_in_two() {
    // 8.25 to 9.5, of which what is beyond 9 stands at 1 to 1.5.
    let draws: Vec<f64> = (0..=100)
        .map(|i| 8.25 + 0.0125 * f64::from(i))
        .map(|value| if value < 9.0 { value } else { value - 8.0 })
        .collect();
    let (quantiles, [low, high], ends, truth) = angle(&draws, "truth = 1.25");
    for (found, expected) in quantiles.into_iter().zip([8.45, 8.875, 9.3]) {
        assert!((found - expected).abs() < 0.01, "{quantiles:?}");
    }
    assert!(
        (8.0..8.25).contains(&low) && (9.5..9.75).contains(&high),
        "{low} {high}"
    );
    assert_eq!((ends, truth), (Ends::Walls, Some(9.25)));
    // One within the bounds stays there.
    let (quantiles, [low, high], ends, _) = angle(&[2.0, 3.0, 4.0], "");
    assert_eq!((quantiles[1], ends), (3.0, Ends::Walls));
    assert!((1.0..2.0).contains(&low) && (4.0..5.0).contains(&high));
    // One all around is shown as the circle that it is.
    let draws: Vec<f64> = (0..800).map(|i| 1.0 + 0.01 * f64::from(i)).collect();
    let (_, [low, high], ends, _) = angle(&draws, "");
    assert_eq!((high - low, ends), (8.0, Ends::Joined));
}

#[test]
fn modes_are_marked_where_a_parameter_tells_them_apart() {
    let of_mode = |median, sd| Mode {
        mass: 0.5,
        error: 0.01,
        parameters: vec![ParameterSummary {
            name: "w".to_owned(),
            mean: median,
            sd,
            median,
            quantile_16: median - sd,
            quantile_84: median + sd,
        }],
    };
    let modes = |sd| [of_mode(1.5, sd), of_mode(8.5, sd)];
    assert_eq!(told_apart(0, &modes(3.0), None), [1.5, 8.5]);
    assert_eq!(told_apart(0, &modes(4.0), None), [0.0; 0]);
    // Of a period of 8 they are one apart.
    assert_eq!(told_apart(0, &modes(0.4), Some(8.0)), [1.5, 8.5]);
    assert_eq!(told_apart(0, &modes(0.6), Some(8.0)), [0.0; 0]);
    assert_eq!(told_apart(0, &modes(0.1)[..1], None), [0.0; 0]);
}
