//! Models with noise of their own: densities against scipy's and against their own draws.

use super::lotka_volterra::Animals;
use super::sir::Epidemic;
use super::tests::{no_options, spec, with};
use super::*;
use rand::RngExt;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use sidereal_inference::space::{Parameter, ParameterSpace, Prior};

fn build_model(
    model: &str,
    options: Options,
    grid: Vec<f64>,
    n_parameters: usize,
) -> Arc<dyn Simulator> {
    let catalogue = Catalogue::default();
    let spec = spec(model, options, &grid);
    let declaration = catalogue.declaration_of(&spec).expect("a model");
    let names: Vec<String> = match declaration.parameters() {
        ModelParameters::Named(names) => names.iter().map(|&name| name.to_owned()).collect(),
        ModelParameters::Any | ModelParameters::Count(_) => {
            (0..n_parameters).map(|i| format!("p{i}")).collect()
        }
    };
    let parameter = |name: String| Parameter {
        name,
        prior: Prior::Normal { mean: 0.0, sd: 1.0 },
        periodic: false,
    };
    let space = ParameterSpace::independent(names.into_iter().map(parameter).collect());
    catalogue.simulator(&spec, &space).expect("a simulator")
}

fn counted(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64).collect()
}

fn sir() -> Arc<dyn Simulator> {
    build_model(
        "sir",
        no_options(),
        (0..10).map(|i| 17.0 * f64::from(i)).collect(),
        2,
    )
}

fn lotka_volterra() -> Arc<dyn Simulator> {
    let times = (0..20).map(|i| 2.1 * f64::from(i % 10)).collect();
    build_model("lotka-volterra", no_options(), times, 4)
}

fn small_glm() -> Arc<dyn Simulator> {
    let design_matrix: Vec<Vec<f64>> = (0..7)
        .map(|i| vec![1.0, libm::sin(f64::from(i)), f64::from(i % 3) - 1.0])
        .collect();
    build_model(
        "bernoulli-glm",
        with("design_matrix", design_matrix),
        counted(3),
        3,
    )
}

fn log_likelihood(simulator: &dyn Simulator, parameters: &[f64], observed: &[f64]) -> f64 {
    let mut out = vec![0.0; simulator.n_data()];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    simulator
        .simulate_and_weigh(parameters, observed, &mut rng, &mut out)
        .expect("an answer")
}

fn draw(simulator: &dyn Simulator, parameters: &[f64], seed: u64) -> Vec<f64> {
    let mut out = vec![f64::NAN; simulator.n_data()];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    simulator
        .simulate(parameters, &mut rng, &mut out)
        .expect("data");
    out
}

fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{found}, not {expected}"
    );
}

/// Observations 1 of sbibm at their true parameters. The numbers are scipy 1.16's: norm, multivariate_normal, binom and
/// lognorm, with differential equations solved by DOP853 at a relative tolerance of 1e-13.
#[test]
fn log_likelihoods_are_those_of_scipy() {
    let two_moons = build_model("two-moons", no_options(), counted(2), 2);
    let found = log_likelihood(
        &*two_moons,
        &[-0.8176656, -0.5756806],
        &[-0.6396706, 0.16234657],
    );
    assert_close(found, 4.804160417973365, 1e-9);

    let mixture = build_model("gaussian-mixture", no_options(), counted(2), 2);
    let found = log_likelihood(
        &*mixture,
        &[-9.527071, -1.4817104],
        &[-9.472713, -1.4950509],
    );
    assert_close(found, 1.9291176455133916, 1e-12);

    let slcp = build_model("slcp", no_options(), counted(8), 5);
    let found = log_likelihood(
        &*slcp,
        &[-2.8581212, -0.44451332, 2.9473476, 1.2396116, 2.9712725],
        &[
            2.3718784, 0.49947417, 9.931435, 1.7136912, -10.436423, -1.9067793, -1.2343777,
            -0.09735,
        ],
    );
    assert_close(found, -10.853893743710055, 1e-9);
    // Far out, and where the correlation is all but one.
    let found = log_likelihood(
        &*slcp,
        &[0.7, -2.9, -1.0, -0.6, 2.9],
        &[
            -0.66452104,
            -2.9279308,
            -16.49147,
            4.06107,
            4.232153,
            -4.652277,
            -4.9924355,
            -1.5655216,
        ],
    );
    assert_close(found, -61856.08364418028, 1e-6);

    let counts = [0.0, 1.0, 352.0, 40.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let found = log_likelihood(&*sir(), &[0.61479264, 0.19172086], &counts);
    assert_close(found, -11.730325214865058, 1e-6);

    let counts = [
        31.783262, 1.1971166, 0.29703617, 0.71145046, 2.9415865, 11.482614, 36.09036, 0.46229604,
        0.38081983, 0.9173736, 0.8910395, 27.039942, 4.356176, 0.78444487, 0.17100818, 0.1325878,
        8.727008, 16.97251, 2.7902339, 0.47567415,
    ];
    let theta = [0.6859157, 0.10761319, 0.88789904, 0.116794825];
    let found = log_likelihood(&*lotka_volterra(), &theta, &counts);
    assert_close(found, 9.826580227296054, 1e-5);
}

/// Infected people and animals by DOP853 at a relative tolerance of 1e-13.
#[test]
fn differential_equations_are_solved_to_eight_digits() {
    let model = Epidemic {
        days: (0..10).map(|i| 17.0 * f64::from(i)).collect(),
        infected: 1e-6,
        tests: 1000,
    };
    let expected = [
        1.0,
        2092.838939548472,
        401423.42041992093,
        62707.91607790675,
        6135.577605015879,
        587.6868956632367,
        56.18403700711166,
        5.370338647636908,
        0.513313792543072,
        0.04906405977853034,
    ];
    let shares = model.state(&[0.6, 0.15]).expect("a solution");
    for (share, expected) in shares.iter().zip(expected) {
        assert_close(1e6 * share / expected, 1.0, 1e-8);
    }

    let model = Animals {
        times: (0..10).map(|i| 2.1 * f64::from(i)).collect(),
        start: [30.0, 1.0].map(libm::log),
        scatter: 0.1,
    };
    let table = [
        (
            [0.7, 0.11, 0.9, 0.12],
            [
                30.0,
                1.0659036527139905,
                0.2737253408253835,
                0.7483739416486267,
                2.991125748154654,
                12.641929058861486,
                34.604425124325026,
                0.34933981072141146,
                0.3627466626534624,
                1.243945455387525,
                1.0,
                25.98943247562229,
                4.337656785177206,
                0.7327710100382884,
                0.1658114353141871,
                0.13527187289440903,
                13.88820744306486,
                13.454275242989324,
                2.187243995157533,
                0.3935291899814862,
            ],
        ),
        // The prey all but die out; below 1e-10 they are not counted.
        (
            [2.5, 0.2, 0.3, 0.3],
            [
                30.0,
                1.881988477133801e-09,
                1e-10,
                1e-10,
                1e-10,
                1e-10,
                1e-10,
                1e-10,
                1e-10,
                3.5810663266463665e-09,
                1.0,
                62.43921823920961,
                33.25461569744636,
                17.711135666095192,
                9.432805642283128,
                5.023834945571591,
                2.675653301623361,
                1.425031010781676,
                0.7589598325252017,
                0.4042157842756209,
            ],
        ),
    ];
    for (theta, expected) in table {
        let logs = model.state(&theta).expect("a solution");
        for (log, expected) in logs.iter().zip(expected) {
            assert_close(log.exp() / expected, 1.0, 1e-7);
        }
    }
}

/// Whatever is drawn at θ, p(x|θ') / p(x|θ) has the mean 1: draws and likelihood are of one distribution, and the
/// likelihood's constant does not depend on θ.
#[test]
fn draws_are_from_the_likelihoods_distribution() {
    /// Name, simulator, θ and another one.
    type Case = (&'static str, Arc<dyn Simulator>, Vec<f64>, Vec<f64>);
    let table: [Case; 6] = [
        (
            "two-moons",
            build_model("two-moons", no_options(), counted(2), 2),
            vec![0.3, -0.5],
            vec![0.304, -0.497],
        ),
        (
            "gaussian-mixture",
            build_model("gaussian-mixture", no_options(), counted(3), 3),
            vec![1.0, -2.0, 5.0],
            vec![1.04, -2.02, 4.97],
        ),
        (
            "slcp",
            build_model("slcp", no_options(), counted(8), 5),
            vec![0.5, -1.0, -1.2, 0.9, 0.7],
            vec![0.6, -1.05, -1.17, 0.89, 0.66],
        ),
        (
            "bernoulli-glm",
            small_glm(),
            vec![0.2, -1.0, 0.5],
            vec![0.4, -0.8, 0.3],
        ),
        ("sir", sir(), vec![0.5, 0.2], vec![0.503, 0.201]),
        (
            "lotka-volterra",
            lotka_volterra(),
            vec![0.7, 0.11, 0.9, 0.12],
            vec![0.701, 0.1101, 0.8995, 0.1199],
        ),
    ];
    const N: u64 = 4000;
    for (name, simulator, theta, other) in table {
        let (mut sum, mut sum_of_squares) = (0.0, 0.0);
        for seed in 0..N {
            let data = draw(&*simulator, &theta, seed);
            let ratio = (log_likelihood(&*simulator, &other, &data)
                - log_likelihood(&*simulator, &theta, &data))
            .exp();
            sum += ratio;
            sum_of_squares += ratio * ratio;
        }
        let mean = sum / N as f64;
        let error = ((sum_of_squares / N as f64 - mean * mean) / N as f64).sqrt();
        // An error near zero would test nothing, a large one neither.
        assert!((1e-3..0.05).contains(&error), "{name}: {error}");
        assert!((mean - 1.0).abs() < 4.0 * error, "{name}: {mean} ± {error}");
    }
}

#[test]
fn densities_of_two_data_have_an_integral_of_one() {
    let integral =
        |simulator: &dyn Simulator, theta: &[f64], centre: [f64; 2], half: f64, n: u32| {
            let step = 2.0 * half / f64::from(n);
            let at = |centre: f64, i: u32| centre - half + (f64::from(i) + 0.5) * step;
            let mut sum = 0.0;
            for i in 0..n {
                for j in 0..n {
                    let x = [at(centre[0], i), at(centre[1], j)];
                    sum += log_likelihood(simulator, theta, &x).exp();
                }
            }
            sum * step * step
        };
    let two_moons = build_model("two-moons", no_options(), counted(2), 2);
    assert_close(
        integral(&*two_moons, &[0.0, 0.0], [0.25, 0.0], 0.17, 700),
        1.0,
        1e-3,
    );
    let mixture = build_model("gaussian-mixture", no_options(), counted(2), 2);
    assert_close(
        integral(&*mixture, &[1.0, -2.0], [1.0, -2.0], 6.0, 600),
        1.0,
        1e-6,
    );
}

/// All 2^7 outcomes of a small design have a total probability of one; all counts of a day too.
#[test]
fn probabilities_of_discrete_data_add_up_to_one() {
    let glm = small_glm();
    let rows: Vec<[f64; 3]> = (0..7)
        .map(|i| [1.0, libm::sin(f64::from(i)), f64::from(i % 3) - 1.0])
        .collect();
    let total: f64 = (0..128u32)
        .map(|outcome| {
            let mut statistics = [0.0; 3];
            for (i, row) in rows.iter().enumerate() {
                if outcome >> i & 1 == 1 {
                    for (statistic, entry) in statistics.iter_mut().zip(row) {
                        *statistic += entry;
                    }
                }
            }
            log_likelihood(&*glm, &[0.7, -1.3, 2.0], &statistics).exp()
        })
        .sum();
    assert_close(total, 1.0, 1e-12);

    let mut small = with("tests", 40u64);
    small.set("population", 1000.0);
    small.set("infected", 3.0);
    let one_day = build_model("sir", small, vec![30.0], 2);
    let of_count = |count: f64| log_likelihood(&*one_day, &[0.5, 0.2], &[count]).exp();
    let total: f64 = (0..=40).map(|count| of_count(f64::from(count))).sum();
    assert_close(total, 1.0, 1e-10);
    for impossible in [-1.0, 41.0, 2.5] {
        assert_eq!(of_count(impossible), 0.0);
    }
}

#[test]
fn moments_of_the_draws_are_the_models() {
    let mean_and_sd = |simulator: &dyn Simulator, theta: &[f64], datum: usize| {
        let values: Vec<f64> = (0..4000)
            .map(|seed| draw(simulator, theta, seed)[datum])
            .collect();
        let mean = values.iter().sum::<f64>() / 4000.0;
        let square = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        (mean, (square / 4000.0).sqrt())
    };
    // Day 34 of the table above: 40.1 % of 1000 tests.
    let (mean, sd) = mean_and_sd(&*sir(), &[0.6, 0.15], 2);
    assert_close(mean, 401.42, 1.1);
    assert_close(sd, 15.50, 0.8);
    // sd² = 0.5 (1 + 0.01).
    let mixture = build_model("gaussian-mixture", no_options(), counted(2), 2);
    let (mean, sd) = mean_and_sd(&*mixture, &[3.0, -4.0], 1);
    assert_close(mean, -4.0, 0.05);
    assert_close(sd, 0.7106, 0.04);
    // The mean of cos over half a circle is 2 / pi.
    let two_moons = build_model("two-moons", no_options(), counted(2), 2);
    let (mean, _) = mean_and_sd(&*two_moons, &[0.0, 0.0], 0);
    assert_close(mean, 0.25 + 0.1 * 2.0 / std::f64::consts::PI, 0.003);
    // Scatters are squares of the parameters.
    let slcp = build_model("slcp", no_options(), counted(8), 5);
    let (mean, sd) = mean_and_sd(&*slcp, &[0.5, -1.0, -1.2, 0.9, 0.7], 7);
    assert_close(mean, -1.0, 0.06);
    assert_close(sd, 0.81, 0.04);
}

#[test]
fn impossible_data_have_a_likelihood_of_zero() {
    let two_moons = build_model("two-moons", no_options(), counted(2), 2);
    // Left of the crescent's centre.
    let found = log_likelihood(&*two_moons, &[0.0, 0.0], &[0.2, 0.0]);
    assert_eq!(found, f64::NEG_INFINITY);
    let mut counts = [1.0; 20];
    counts[3] = 0.0;
    let found = log_likelihood(&*lotka_volterra(), &[0.7, 0.11, 0.9, 0.12], &counts);
    assert_eq!(found, f64::NEG_INFINITY);
}

/// Mean and standard deviation of a function of θ under the posterior, by importance sampling from the prior.
fn posterior_moments(
    simulator: &dyn Simulator,
    observed: &[f64],
    prior: impl Fn(&mut ChaCha8Rng) -> [f64; 2],
    n: usize,
    function: impl Fn([f64; 2]) -> f64,
) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (mut total, mut sum, mut sum_of_squares) = (0.0, 0.0, 0.0);
    for _ in 0..n {
        let theta = prior(&mut rng);
        let weight = log_likelihood(simulator, &theta, observed).exp();
        let value = function(theta);
        total += weight;
        sum += weight * value;
        sum_of_squares += weight * value * value;
    }
    let mean = sum / total;
    (mean, (sum_of_squares / total - mean * mean).sqrt())
}

/// sbibm's 10,000 reference draws for observation 1 have these means and standard deviations.
#[test]
fn posteriors_are_those_of_the_reference_draws() {
    let uniform =
        |rng: &mut ChaCha8Rng, low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    let two_moons = build_model("two-moons", no_options(), counted(2), 2);
    let square = |rng: &mut ChaCha8Rng| [uniform(rng, -1.0, 1.0), uniform(rng, -1.0, 1.0)];
    let observed = [-0.6396706, 0.16234657];
    let (mean, sd) = posterior_moments(&*two_moons, &observed, square, 400_000, |[a, b]| {
        (a + b).abs()
    });
    assert_close(mean, 1.34791, 0.005);
    assert_close(sd, 0.04450, 0.003);
    let (mean, sd) = posterior_moments(&*two_moons, &observed, square, 400_000, |[a, b]| b - a);
    assert_close(mean, 0.23072, 0.011);
    assert_close(sd, 0.10093, 0.006);

    // Half of its mass is in one part in a thousand of the prior: drawn from the corner where the posterior is.
    let mixture = build_model("gaussian-mixture", no_options(), counted(2), 2);
    let corner = |rng: &mut ChaCha8Rng| [uniform(rng, -10.0, -4.5), uniform(rng, -6.5, 3.5)];
    let observed = [-9.472713, -1.4950509];
    let (mean, sd) = posterior_moments(&*mixture, &observed, corner, 800_000, |[a, _]| a);
    assert_close(mean, -9.26410, 0.04);
    assert_close(sd, 0.52694, 0.04);

    let log_normal = |rng: &mut ChaCha8Rng| {
        let normals: [f64; 2] = [StandardNormal.sample(rng), StandardNormal.sample(rng)];
        [
            0.4 * (0.5 * normals[0]).exp(),
            0.125 * (0.2 * normals[1]).exp(),
        ]
    };
    let counts = [0.0, 1.0, 352.0, 40.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let (mean, sd) = posterior_moments(&*sir(), &counts, log_normal, 20_000, |[beta, _]| beta);
    assert_close(mean, 0.63252, 0.004);
    assert_close(sd, 0.01257, 0.003);
    let (mean, sd) = posterior_moments(&*sir(), &counts, log_normal, 20_000, |[_, gamma]| gamma);
    assert_close(mean, 0.16948, 0.004);
    assert_close(sd, 0.01222, 0.003);
}

#[test]
fn extreme_parameters_are_answered_or_refused_without_panic() {
    let extremes = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e-320,
        1e-12,
        1e4,
        -1e12,
        1e308,
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
    ];
    let models = [
        (build_model("two-moons", no_options(), counted(2), 2), 2),
        (
            build_model("gaussian-mixture", no_options(), counted(3), 3),
            3,
        ),
        (build_model("slcp", no_options(), counted(8), 5), 5),
        (small_glm(), 3),
        (sir(), 2),
        (lotka_volterra(), 4),
    ];
    for (simulator, n_parameters) in models {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let observed = vec![1.0; simulator.n_data()];
        for _ in 0..200 {
            let theta: Vec<f64> = (0..n_parameters)
                .map(|_| extremes[rng.random_range(0..extremes.len())])
                .collect();
            let mut out = vec![f64::NAN; simulator.n_data()];
            let answer = simulator.simulate_and_weigh(&theta, &observed, &mut rng, &mut out);
            if answer.is_ok() {
                assert!(theta.iter().all(|value| value.is_finite()), "{theta:?}");
            }
        }
        let mut out = vec![0.0; simulator.n_data()];
        let one_more = vec![0.5; n_parameters + 1];
        assert!(simulator.simulate(&one_more, &mut rng, &mut out).is_err());
        let too_few =
            simulator.simulate_and_weigh(&one_more[1..], &observed[1..], &mut rng, &mut out);
        assert!(too_few.is_err());
    }
}
