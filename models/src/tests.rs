//! What every built-in simulator promises, and exact values of each.

use super::*;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sidereal_inference::campaign::model::{ModelId, Origin, SimulatorSpec};
use sidereal_inference::space::{Parameter, ParameterSpace, Prior};

/// A model with a prior in which every θ has an answer.
struct Case {
    model: &'static str,
    options: Options,
    grid: Vec<f64>,
    /// Name, low, high.
    parameters: Vec<(&'static str, f64, f64)>,
}

impl Case {
    fn space(&self) -> ParameterSpace {
        let parameter = |&(name, low, high): &(&str, f64, f64)| Parameter {
            name: name.to_owned(),
            prior: Prior::Uniform { low, high },
            periodic: false,
        };
        ParameterSpace::independent(self.parameters.iter().map(parameter).collect())
    }

    fn spec(&self) -> SimulatorSpec {
        spec(self.model, self.options.clone(), &self.grid)
    }

    fn simulator(&self) -> Arc<dyn Simulator> {
        let catalogue = Catalogue::default();
        catalogue
            .simulator(&self.spec(), &self.space())
            .expect("simulator")
    }
}

pub(crate) fn spec(name: &str, options: Options, grid: &[f64]) -> SimulatorSpec {
    let model = ModelId {
        origin: Origin::Builtin,
        name: name.to_owned(),
        version: 1,
    };
    SimulatorSpec {
        model,
        options,
        grid: grid.to_vec(),
        external: None,
    }
}

pub(crate) fn no_options() -> Options {
    Options::default()
}

pub(crate) fn with(
    name: &str,
    value: impl Into<sidereal_inference::campaign::model::OptionValue>,
) -> Options {
    let mut options = Options::default();
    options.set(name, value);
    options
}

fn cases() -> Vec<Case> {
    let grid: Vec<f64> = (0..40).map(|i| 0.1 * f64::from(i)).collect();
    let case = |model, options, parameters: &[_]| Case {
        model,
        options,
        grid: grid.clone(),
        parameters: parameters.to_vec(),
    };
    let matrix: Vec<Vec<f64>> = (0..40)
        .map(|i| vec![1.0, 0.1 * f64::from(i), -3.0])
        .collect();
    let mut spectrum = with("pivot", 2.0);
    spectrum.set("half_range", 2.0);
    spectrum.set("lines", vec![1.5, 1.6]);
    vec![
        case(
            "sine",
            no_options(),
            &[("phi0", 0.0, 6.3), ("A", -4.0, 4.0), ("omega", 6.0, 38.0)],
        ),
        case(
            "microlensing",
            no_options(),
            &[
                ("t0", -1.05, 5.0),
                ("u0", 0.0, 2.0),
                ("log10tE", -1.0, 3.0),
                ("fs", -0.2, 1.4),
                ("m_base", 14.0, 20.0),
            ],
        ),
        case(
            "transit",
            with("period", 1.7),
            &[
                ("rp", 0.0, 1.5),
                ("aRs", 1.5, 20.0),
                ("b", 0.0, 1.5),
                ("t0", -1.0, 1.0),
                ("u1", 0.0, 1.0),
                ("u2", -0.4, 1.0),
            ],
        ),
        case(
            "absorption-spectrum",
            spectrum,
            &[
                ("c0", 0.5, 2.0),
                ("s", -0.5, 0.5),
                ("d", 0.0, 5.0),
                ("v", -3e4, 3e4),
                ("w", 0.01, 1.0),
                ("r", 0.0, 1.0),
            ],
        ),
        case(
            "linear-gaussian",
            with("matrix", matrix),
            &[("a", -1.0, 1.0), ("b", -2.0, 2.0), ("c", 0.0, 1.0)],
        ),
    ]
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(5)
}

fn simulate(simulator: &dyn Simulator, theta: &[f64]) -> Result<Vec<f64>, SimulationError> {
    let mut out = vec![f64::NAN; simulator.n_data()];
    simulator.simulate(theta, &mut rng(), &mut out)?;
    Ok(out)
}

fn uniform(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * f64::from(rng.next_u32()) / 2_f64.powi(32)
}

#[test]
fn draws_are_answered_with_finite_numbers_and_always_the_same() {
    for case in cases() {
        let name = case.model;
        let simulator = case.simulator();
        assert_eq!(simulator.n_data(), case.grid.len(), "{name}");
        let again = case.simulator();
        let mut draw = rng();
        for _ in 0..10_000 {
            let theta: Vec<f64> = case
                .parameters
                .iter()
                .map(|&(_, low, high)| uniform(&mut draw, low, high))
                .collect();
            let out = simulate(&*simulator, &theta)
                .unwrap_or_else(|error| panic!("{name} at {theta:?}: {error}"));
            assert!(
                out.iter().all(|value| value.is_finite()),
                "{name} at {theta:?}"
            );
            // Neither what the output held before nor what the simulator did before matters.
            let mut dirty = vec![7.5; case.grid.len()];
            let same = again.simulate(&theta, &mut draw.clone(), &mut dirty);
            assert_eq!((same, dirty), (Ok(()), out), "{name} at {theta:?}");
        }
    }
}

#[test]
fn extreme_and_impossible_parameters_are_answered_or_refused_without_panic() {
    let extremes = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1e-320,
        1e-12,
        1e12,
        -1e12,
        1e308,
        -1e308,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    for case in cases() {
        let name = case.model;
        let simulator = case.simulator();
        let mut pick = rng();
        let mut n_answered = 0;
        for _ in 0..10_000 {
            let theta: Vec<f64> = case
                .parameters
                .iter()
                .map(|&(_, low, high)| match pick.next_u32() % 4 {
                    0 => low,
                    1 => high,
                    2 => uniform(&mut pick, low, high),
                    _ => extremes[pick.next_u32() as usize % extremes.len()],
                })
                .collect();
            match simulate(&*simulator, &theta) {
                Ok(_) => {
                    n_answered += 1;
                    assert!(
                        theta.iter().all(|value| value.is_finite()),
                        "{name} at {theta:?}"
                    );
                }
                Err(error) => assert!(!error.is_recoverable(), "{name} at {theta:?}"),
            }
        }
        assert!(n_answered > 1_000, "{name} answered {n_answered}");
    }
}

#[test]
fn parameters_are_found_by_name() {
    for mut case in cases() {
        if case.model == "linear-gaussian" {
            continue;
        }
        let name = case.model;
        let theta: Vec<f64> = case
            .parameters
            .iter()
            .map(|&(_, low, high)| 0.3 * low + 0.7 * high)
            .collect();
        let expected = simulate(&*case.simulator(), &theta);
        case.parameters.reverse();
        let reversed: Vec<f64> = theta.into_iter().rev().collect();
        assert_eq!(simulate(&*case.simulator(), &reversed), expected, "{name}");
    }
}

#[test]
fn another_number_of_parameters_is_refused() {
    for case in cases() {
        let simulator = case.simulator();
        let n = case.parameters.len();
        for wrong in [0, n - 1, n + 1] {
            let message = format!("found {wrong} parameters, expected {n}");
            assert_eq!(
                simulate(&*simulator, &vec![0.5; wrong]),
                Err(SimulationError::Impossible(message))
            );
        }
    }
}

#[test]
fn refusals_name_parameter_or_datum() {
    let [_, microlensing, transit, spectrum, linear] = &cases()[..] else {
        panic!("five models");
    };
    let table: [(&Case, &[f64], &str); 8] = [
        (
            transit,
            &[-0.1, 8.0, 0.2, 0.0, 0.3, 0.2],
            "rp is -0.1, expected a number that is not negative",
        ),
        (
            transit,
            &[0.1, 0.0, 0.0, 0.0, 0.3, 0.2],
            "aRs is 0, expected a positive number",
        ),
        (
            transit,
            &[0.1, 8.0, 8.5, 0.0, 0.3, 0.2],
            "b is 8.5, beyond the orbit of aRs = 8",
        ),
        (
            transit,
            &[0.1, 8.0, f64::NAN, 0.0, 0.3, 0.2],
            "b is NaN, expected a finite number",
        ),
        (
            transit,
            &[0.1, 8.0, 0.2, 0.0, 2.0, 2.0],
            "u1 = 2 and u2 = 2 leave the star no flux",
        ),
        (
            spectrum,
            &[1.0, 0.0, 1.0, 0.0, 0.0, 0.5],
            "w is 0, expected a positive number",
        ),
        (
            microlensing,
            &[0.4, 0.1, -400.0, 0.5, 18.0],
            "log10tE is -400, which makes tE = 0, expected a positive number",
        ),
        (
            linear,
            &[0.1, f64::INFINITY, 0.2],
            "b is inf, expected a finite number",
        ),
    ];
    for (case, theta, expected) in table {
        let found = simulate(&*case.simulator(), theta);
        assert_eq!(found, Err(SimulationError::Impossible(expected.to_owned())));
    }
}

#[test]
fn campaigns_that_do_not_fit_the_model_are_refused() {
    let refusal = |case: &Case| {
        Catalogue::default()
            .simulator(&case.spec(), &case.space())
            .err()
            .map(|error| error.to_string())
    };
    let [mut sine, _, mut transit, mut spectrum, mut linear] =
        <[Case; 5]>::try_from(cases()).unwrap_or_else(|_| panic!("five models"));
    sine.parameters[1].0 = "amplitude";
    assert_eq!(
        refusal(&sine).as_deref(),
        Some(
            "simulator `sine`: found the parameters phi0, amplitude, omega, expected phi0, A, omega"
        )
    );
    sine.grid.clear();
    assert_eq!(
        refusal(&sine).as_deref(),
        Some("simulator `sine`: the grid is empty, expected at least one point")
    );
    transit.options.set("period", 0.0);
    assert_eq!(
        refusal(&transit).as_deref(),
        Some("simulator `transit`: period: found 0, expected a positive number")
    );
    transit.grid[3] = f64::NAN;
    assert_eq!(
        refusal(&transit).as_deref(),
        Some("simulator `transit`: point 3 of the grid is NaN, expected a finite number")
    );
    spectrum.options.set("half_range", -1.0);
    assert_eq!(
        refusal(&spectrum).as_deref(),
        Some("simulator `absorption-spectrum`: half_range: found -1, expected a positive number")
    );
    linear.parameters.pop();
    assert_eq!(
        refusal(&linear).as_deref(),
        Some(
            "simulator `linear-gaussian`: matrix: row 0 has 3 numbers, expected 2, one a parameter"
        )
    );
    linear.grid.pop();
    assert_eq!(
        refusal(&linear).as_deref(),
        Some("simulator `linear-gaussian`: matrix: found 40 rows, expected 39, one a datum")
    );
}

fn assert_values(case: &Case, theta: &[f64], expected: &[(usize, f64)]) {
    let out = simulate(&*case.simulator(), theta).expect("answer");
    for &(datum, value) in expected {
        let found = out[datum];
        assert!(
            (found - value).abs() <= 1e-14 * value.abs().max(1.0),
            "{} datum {datum}: found {found}, expected {value}",
            case.model
        );
    }
}

#[test]
fn values_follow_the_formulas() {
    let [sine, microlensing, transit, spectrum, linear] = &cases()[..] else {
        panic!("five models");
    };
    let half_pi = std::f64::consts::FRAC_PI_2;
    assert_values(
        sine,
        &[half_pi, -3.0, 10.0 * half_pi],
        &[(0, -3.0), (1, 0.0), (2, 3.0), (3, 0.0)],
    );
    // u is 1 at t0 = 1 (A = 3/sqrt 5) and sqrt 2 one tE = 2 from it (A = 4/sqrt 12).
    let magnitude = |amplification: f64| 18.0 - 2.5 * (0.4 * amplification + 0.6).log10();
    assert_values(
        microlensing,
        &[1.0, -1.0, 2_f64.log10(), 0.4, 18.0],
        &[
            (10, magnitude(3.0 / 5_f64.sqrt())),
            (30, magnitude(4.0 / 12_f64.sqrt())),
        ],
    );
    // Far more light lost than there is: the floor of 1e-12.
    assert_values(microlensing, &[1.0, 0.1, 1.0, -2.0, 18.0], &[(10, 48.0)]);
    // A uniform star loses rp² in mid-transit, nothing behind it: half a period is 0.85.
    assert_values(
        transit,
        &[0.2, 5.0, 0.1, 1.0, 0.0, 0.0],
        &[(10, 0.96), (14, 1.0), (18, 1.0), (27, 0.96)],
    );
    // At rest: the first line's centre is datum 15, the second one is a width away.
    let depth = 2.0 * (1.0 + 0.5 * (-0.5_f64).exp());
    let continuum = 1.5 * (1.0 + 0.2 * (1.5 - 2.0) / 2.0);
    let theta = [1.5, 0.2, 2.0, 0.0, 0.1, 0.5];
    assert_values(
        spectrum,
        &theta,
        &[(15, continuum * (-depth).exp()), (39, 1.5 * 1.19)],
    );
    // A fifteenth of the speed of light moves 1.5 to 1.6.
    let at_rest =
        simulate(&*spectrum.simulator(), &[1.0, 0.0, 1.0, 0.0, 0.1, 0.0]).expect("answer");
    let shifted = [1.0, 0.0, 1.0, 29_979.245_8 / 1.5, 0.1, 0.0];
    assert_values(spectrum, &shifted, &[(16, at_rest[15])]);
    assert_values(linear, &[0.5, 2.0, 0.25], &[(0, -0.25), (10, 1.75)]);
}
