//! Priors against 50-digit values (mpmath 1.4.1), and swept for what must hold everywhere.

use super::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn truncated(mean: f64, sd: f64, low: f64, high: f64) -> Prior {
    Prior::TruncatedNormal {
        mean,
        sd,
        low,
        high,
    }
}

fn beta(alpha: f64, beta: f64, low: f64, high: f64) -> Prior {
    Prior::Beta {
        alpha,
        beta,
        low,
        high,
    }
}

fn sampled(low: Option<f64>, high: Option<f64>) -> Prior {
    Prior::Samples(SampledDensity {
        low,
        high,
        // Where pieces meet the density jumps: at none of the places that are looked at.
        reach: 2.13,
        values: vec![-1.0, 0.5, 1.0, 3.0],
        correlations: Vec::new(),
        digest: String::new(),
    })
}

/// All kinds, bounds at zero from both sides and far from it, tails heavy and light.
fn examples() -> Vec<Prior> {
    vec![
        Prior::Uniform {
            low: 6.3,
            high: 37.699,
        },
        Prior::Uniform {
            low: 0.0,
            high: 1.0,
        },
        Prior::Uniform {
            low: -4.0,
            high: 0.0,
        },
        Prior::Uniform {
            low: 1e6,
            high: 1e6 + 1.0,
        },
        sampled(None, None),
        sampled(Some(2.0), None),
        sampled(None, Some(-2.0)),
        sampled(Some(-1e3), Some(1e3)),
        Prior::Normal { mean: 0.0, sd: 1.0 },
        Prior::Normal {
            mean: -1e3,
            sd: 1e-2,
        },
        Prior::LogNormal { mean: 0.0, sd: 1.0 },
        Prior::LogNormal {
            mean: -20.0,
            sd: 5.0,
        },
        Prior::LogUniform {
            low: 1e-3,
            high: 1e3,
        },
        Prior::LogUniform {
            low: 1e-300,
            high: 1e300,
        },
        Prior::LogUniform {
            low: 1.0,
            high: 1.001,
        },
        truncated(1.0, 0.5, 0.0, 4.0),
        truncated(-1.0, 0.5, -4.0, 0.0),
        truncated(0.0, 1.0, 10.0, 12.0),
        truncated(0.0, 1.0, -12.0, -10.0),
        truncated(0.0, 1.0, 36.0, 36.25),
        truncated(-5.0, 1.0, 0.0, 1e9),
        truncated(5.0, 1.0, -1e9, 1e9),
        truncated(0.25, 1.0, 0.0, 1e-3),
        truncated(30.0, 1.0, 0.0, 100.0),
        beta(2.0, 5.0, 0.0, 1.0),
        beta(0.5, 0.5, 0.0, 1.0),
        beta(0.5, 0.5, -1.0, 0.0),
        beta(0.3, 8.0, 0.0, 1.0),
        beta(0.01, 0.01, 0.0, 1.0),
        beta(3.0, 50.0, -3.0, -1.0),
        beta(200.0, 300.0, 0.0, 2.0),
        beta(1e6, 2e4, 0.0, 1.0),
    ]
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64, what: &dyn std::fmt::Debug) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what:?}: found {found:e}, expected {expected:e}"
    );
}

#[test]
fn quantiles_agree_with_tabulated_values_in_both_tails() {
    #[rustfmt::skip]
    let table: &[(Prior, &[(f64, f64)])] = &[
        (truncated(1.0, 0.5, 0.0, 4.0), &[(-9.0, 1.02138648455233e-18), (-3.5, 0.002096512800968112), (-0.5, 0.7721020837976833), (0.0, 1.014258462676955), (0.25, 1.1368414098528516), (2.0, 2.0048397131486038), (9.0, 3.9999999999909237)]),
        (truncated(-1.0, 0.5, -4.0, 0.0), &[(-9.0, -3.9999999999909237), (-3.5, -2.7530643109794455), (-0.5, -1.2600193949534282), (0.0, -1.014258462676955), (0.25, -0.8925393280262597), (2.0, -0.15220984886929267), (9.0, -1.02138648455233e-18)]),
        (truncated(0.0, 1.0, 10.0, 12.0), &[(-9.0, 10.0), (-3.5, 10.0000230395851), (-0.5, 10.036471005657049), (0.0, 10.068411836058496), (0.25, 10.090021734153014), (2.0, 10.367999915091891), (9.0, 11.999999999959934)]),
        (truncated(0.0, 1.0, 30.0, 31.0), &[(-9.0, 30.0), (-3.5, 30.000007746615385), (-0.5, 30.012282085853684), (0.0, 30.02307046782731), (0.25, 30.030386332337905), (2.0, 30.12570371514581), (9.0, 30.999999933791408)]),
        (truncated(0.0, 1.0, -12.0, -10.0), &[(-9.0, -11.999999999959934), (-3.5, -10.797288069858695), (-0.5, -10.115791247803257), (0.0, -10.068411836058496), (0.25, -10.050674143881217), (2.0, -10.002278681441572), (9.0, -10.0)]),
        (truncated(-5.0, 1.0, 0.0, 100.0), &[(-9.0, 2.176009915556394e-20), (-3.5, 4.4857802025478434e-05), (-0.5, 0.07067001350701634), (0.0, 0.13201833204429847), (0.25, 0.17324508365010452), (2.0, 0.6855042750563228), (9.0, 5.527242203337862)]),
        (truncated(5.0, 1.0, 0.0, 100.0), &[(-9.0, 7.591129807989935e-14), (-3.5, 1.5003282067162242), (-0.5, 4.500000562988623), (0.0, 5.000000359264468), (0.25, 5.250000297494057), (2.0, 7.000000120786167), (9.0, 14.000000031470702)]),
        (truncated(0.25, 1.0, 0.0, 0.001), &[(-9.0, 1.1287293031281376e-22), (-3.5, 2.3265811454877495e-07), (-0.5, 0.0003085641608104761), (0.0, 0.0005000311874979699), (0.25, 0.000598736293304978), (2.0, 0.0009772526395757349), (9.0, 0.001)]),
        (truncated(0.0, 0.001, -1.0, 2.0), &[(-9.0, -0.009), (-3.5, -0.0035), (-0.5, -0.0005), (0.25, 0.00025), (2.0, 0.002), (9.0, 0.009)]),
        (truncated(2.0, 0.75, -1.0, 3.5), &[(-9.0, -0.9999999999999993), (-3.5, -0.6034531410767034), (-0.5, 1.6100180367242292), (0.0, 1.9786420876586845), (0.25, 2.1612154589752004), (2.0, 3.2716909294703522), (9.0, 3.5)]),
        (beta(2.0, 5.0, 0.0, 1.0), &[(-9.0, 8.674054823494766e-11), (-3.0, 0.00960904400110957), (-0.5, 0.18529284037055516), (0.0, 0.26444998329565994), (1.0, 0.4540170559983112), (4.0, 0.9106230184424848), (9.0, 0.999886528948198)]),
        (beta(0.5, 0.5, 0.0, 1.0), &[(-9.0, 3.142757872207687e-38), (-3.0, 4.496152480878862e-06), (-0.5, 0.21706129070051444), (0.0, 0.5), (1.0, 0.9391670459770495), (4.0, 0.99999999752503), (9.0, 1.0)]),
        (beta(0.5, 0.5, -1.0, 0.0), &[(-9.0, -1.0), (-3.0, -0.9999955038475191), (-0.5, -0.7829387092994855), (0.0, -0.5), (1.0, -0.06083295402295057), (4.0, -2.474969997303964e-09), (9.0, -3.142757872207687e-38)]),
        (beta(0.3, 8.0, 0.0, 1.0), &[(-9.0, 6.32767540920149e-65), (-3.0, 2.476255530972822e-11), (-0.5, 0.0018256378509358354), (0.0, 0.009507618577490566), (1.0, 0.07451319038877507), (4.0, 0.6353837209025461), (9.0, 0.9941035171508149)]),
        (beta(3.0, 50.0, -1.0, 0.0), &[(-9.0, -0.9999999827794166), (-3.0, -0.9958574819189963), (-0.5, -0.9625670454653483), (0.0, -0.9489076759622731), (1.0, -0.9130509443576351), (4.0, -0.7414591756967346), (9.0, -0.3684554763472814)]),
        (beta(50.0, 3.0, 0.0, 1.0), &[(-9.0, 0.3684554763472814), (-3.0, 0.8079692366718132), (-0.5, 0.9324231687348755), (0.0, 0.9489076759622731), (1.0, 0.9735419884166164), (4.0, 0.9988566801361308), (9.0, 0.9999999827794166)]),
        (beta(200.0, 300.0, 0.0, 2.0), &[(-9.0, 0.441005297596603), (-3.0, 0.6711949602984337), (-0.5, 0.77788421088633), (0.0, 0.7997331254282322), (1.0, 0.84381566745567), (4.0, 0.9779481181436701), (9.0, 1.1997109911264991)]),
        (beta(1.0, 1.0, 0.0, 1.0), &[(-9.0, 1.1285884059538405e-19), (-3.0, 0.0013498980316300946), (-0.5, 0.3085375387259869), (0.0, 0.5), (1.0, 0.8413447460685429), (4.0, 0.9999683287581669), (9.0, 1.0)]),
        (beta(1.5, 20.0, -2.0, 0.0), &[(-9.0, -1.999999999999972), (-3.0, -1.9985331997893698), (-0.5, -1.9291595186969994), (0.0, -1.8864884544022302), (1.0, -1.7595501475835134), (4.0, -1.1188823002339734), (9.0, -0.2085660225573036)]),
    ];
    for (prior, values) in table {
        prior.check().expect("usable prior");
        for &(z, expected) in *values {
            assert_near(
                prior.from_unconstrained(z),
                expected,
                1e-12 * expected.abs(),
                &(prior, z),
            );
        }
    }
}

#[test]
fn both_tails_of_the_uniform_prior_are_equally_exact() {
    // Φ(-9) = 1.1285884059538407e-19
    let from_below = Prior::Uniform {
        low: 0.0,
        high: 2.0,
    };
    let from_above = Prior::Uniform {
        low: -2.0,
        high: 0.0,
    };
    assert_near(
        from_below.from_unconstrained(-9.0),
        2.257_176_811_907_681_4e-19,
        1e-33,
        &from_below,
    );
    assert_near(
        from_above.from_unconstrained(9.0),
        -2.257_176_811_907_681_4e-19,
        1e-33,
        &from_above,
    );
    assert_near(
        from_below.to_unconstrained(2.257_176_811_907_681_4e-19),
        -9.0,
        1e-14,
        &from_below,
    );
    assert_near(
        from_above.to_unconstrained(-2.257_176_811_907_681_4e-19),
        9.0,
        1e-14,
        &from_above,
    );
}

#[test]
fn log_densities_agree_with_tabulated_values() {
    let table = [
        (
            Prior::Uniform {
                low: -2.0,
                high: 3.0,
            },
            1.0,
            -1.609_437_912_434_100_3,
        ),
        (
            Prior::Normal { mean: 1.0, sd: 2.0 },
            4.0,
            -2.737_085_713_764_618,
        ),
        (truncated(1.0, 0.5, 0.0, 4.0), 0.3, -1.182_778_442_306_208_9),
        (
            truncated(0.0, 1.0, 10.0, 12.0),
            10.5,
            -2.812_653_382_459_063_6,
        ),
        (
            Prior::LogNormal { mean: 0.5, sd: 1.5 },
            2.0,
            -2.025_841_007_063_506,
        ),
        (
            Prior::LogUniform {
                low: 0.1,
                high: 10.0,
            },
            2.0,
            -2.220_326_806_367_846_3,
        ),
        (beta(2.5, 4.0, -1.0, 3.0), 0.0, -0.742_662_399_998_901_9),
    ];
    for (prior, x, expected) in table {
        assert_near(prior.log_density(x), expected, 2e-14, &prior);
    }
}

#[test]
fn density_is_the_derivative_of_the_map() {
    // p(x) dx = N(z) dz, by a five-point derivative.
    for prior in examples() {
        if prior
            == (Prior::Uniform {
                low: 1e6,
                high: 1e6 + 1.0,
            })
            || prior == beta(0.01, 0.01, 0.0, 1.0)
        {
            continue; // no digits left for a difference quotient
        }
        for z in [-2.5, -1.0, -0.1, 0.7, 1.9] {
            let h = 3e-4;
            let x = |steps: f64| prior.from_unconstrained(z + steps * h);
            let slope = (8.0 * (x(1.0) - x(-1.0)) - (x(2.0) - x(-2.0))) / (12.0 * h);
            let expected = normal::log_density(z) - slope.ln();
            assert_near(prior.log_density(x(0.0)), expected, 2e-3, &(&prior, z));
        }
    }
}

#[test]
fn maps_are_inverse_to_each_other() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for prior in examples() {
        prior.check().expect("usable prior");
        let (low, high) = prior.support();
        for _ in 0..1_000 {
            let z = rng.random::<f64>() * 16.0 - 8.0;
            let x = prior.from_unconstrained(z);
            let z_again = prior.to_unconstrained(x);
            assert_near(
                prior.from_unconstrained(z_again),
                x,
                1e-12 * x.abs(),
                &(&prior, z),
            );
            // What x's own rounding, 2 ulp, makes of z; the slope dx/dz is N(z) / p(x).
            let ulp = 2.0 * f64::EPSILON * x.abs().max(f64::MIN_POSITIVE);
            let rounding = ulp / (normal::log_density(z) - prior.log_density(x)).exp();
            let pinned = x == low.next_up() || x == high.next_down() || x.abs() < f64::MIN_POSITIVE;
            if rounding < 1e-6 && !pinned {
                // Logarithms of the order of the shapes lose as many digits.
                let shapes = if let Prior::Beta { alpha, beta, .. } = prior {
                    alpha + beta
                } else {
                    0.0
                };
                let tolerance = 1e-12 * z.abs().max(1.0) + 4.0 * rounding + shapes * f64::EPSILON;
                assert_near(z_again, z, tolerance, &(&prior, x));
            }
        }
    }
}

#[test]
fn from_unconstrained_is_finite_inside_and_monotone_for_every_z() {
    let mut z: Vec<f64> = (-8_000..=8_000).map(|i| f64::from(i) * 5e-3).collect();
    z.extend(
        [1e2, 1e3, 1e10, 1e200, f64::MAX]
            .into_iter()
            .flat_map(|z| [z, -z]),
    );
    z.extend([
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        -f64::MIN_POSITIVE,
        1e-15,
        -1e-15,
    ]);
    z.sort_by(f64::total_cmp);
    for prior in examples() {
        let (low, high) = prior.support();
        let mut last = f64::NEG_INFINITY;
        for &z in &z {
            let x = prior.from_unconstrained(z);
            assert!(
                x.is_finite() && x > low && x < high,
                "{prior:?} at {z}: {x}"
            );
            // The halves meet within rounding, which is that of the mean where they are measured from it.
            let scale = x.abs()
                + if let Prior::TruncatedNormal { mean, .. } = prior {
                    mean.abs()
                } else {
                    0.0
                };
            assert!(
                x >= last - 1e-14 * scale,
                "{prior:?} at {z}: {x:e} after {last:e}"
            );
            assert!(
                prior.to_unconstrained(x).is_finite(),
                "{prior:?} at {z}: {x}"
            );
            assert!(
                z.abs() > 40.0 || prior.log_density(x).is_finite(),
                "{prior:?} at {z}: {x}"
            );
            last = x;
        }
    }
}

#[test]
fn bounds_count_as_inside_and_beyond_them_nothing_does() {
    for prior in examples() {
        let (low, high) = prior.support();
        for (bound, beyond) in [(low, low.next_down()), (high, high.next_up())] {
            if bound.is_finite() {
                assert_eq!(prior.log_density(beyond), f64::NEG_INFINITY, "{prior:?}");
                assert!(prior.to_unconstrained(bound).is_finite(), "{prior:?}");
            }
        }
        assert_eq!(prior.log_density(f64::NAN), f64::NEG_INFINITY, "{prior:?}");
        assert!(prior.to_unconstrained(f64::NAN).is_nan(), "{prior:?}");
    }
    assert_eq!(
        Prior::Uniform {
            low: 0.0,
            high: 2.0
        }
        .log_density(2.0),
        -2f64.ln()
    );
    assert_eq!(beta(1.0, 2.0, 0.0, 1.0).log_density(1.0), f64::NEG_INFINITY);
    assert!(beta(0.5, 2.0, 0.0, 1.0).log_density(0.0) > 300.0);
}

#[test]
fn impossible_priors_are_refused_with_their_numbers() {
    let table = [
        (
            Prior::Uniform {
                low: 3.0,
                high: 3.0,
            },
            "low 3 is not below high 3",
        ),
        (
            Prior::Uniform {
                low: f64::NAN,
                high: 3.0,
            },
            "low NaN is not finite",
        ),
        (
            Prior::Uniform {
                low: -1e308,
                high: 1e308,
            },
            "low is -1e308, expected -1e300 to 1e300",
        ),
        (
            Prior::Uniform {
                low: 0.0,
                high: 5e-324,
            },
            "low 0.0 to high 5e-324 is too narrow, expected at least 1e-300 between them",
        ),
        (
            Prior::Uniform {
                low: 1.0,
                high: 1.0 + 1e-14,
            },
            "is too narrow to tell its values apart",
        ),
        (
            Prior::Normal { mean: 0.0, sd: 0.0 },
            "sd 0 is not a positive number",
        ),
        (
            Prior::Normal {
                mean: f64::INFINITY,
                sd: 1.0,
            },
            "mean inf is not finite",
        ),
        (
            truncated(0.0, 1.0, 40.0, 50.0),
            "low 40 to high 50 lies 40.0 sd from mean 0; at most 37 are possible",
        ),
        (
            Prior::LogNormal {
                mean: 800.0,
                sd: 1.0,
            },
            "mean 800 and sd 1 are of ln(parameter)",
        ),
        (
            Prior::LogUniform {
                low: 0.0,
                high: 1.0,
            },
            "low is 0.0, expected at least 1e-300",
        ),
        (
            Prior::LogUniform {
                low: 5e-324,
                high: 1.0,
            },
            "low is 5e-324, expected at least 1e-300",
        ),
        (
            Prior::Normal {
                mean: 0.0,
                sd: 5e-324,
            },
            "sd is 5e-324, expected 1e-300 to 1e300",
        ),
        (
            Prior::Normal {
                mean: 1.0,
                sd: 1e-20,
            },
            "sd 1e-20 is too narrow to tell the values around mean 1 apart, expected at least 1e-12",
        ),
        (
            Prior::LogNormal {
                mean: 0.0,
                sd: 1e-13,
            },
            "sd 1e-13 of ln(parameter) is too narrow",
        ),
        (
            truncated(0.0, 1e-300, -1e300, 1e300),
            "are inf sd, expected 1e-290 to 1e290",
        ),
        (
            truncated(0.0, 1e300, 0.0, 1.0),
            "are 1e-300 sd, expected 1e-290 to 1e290",
        ),
        (beta(0.0, 1.0, 0.0, 1.0), "alpha 0 is not in [0.01, 1e6]"),
        (
            beta(1.0, f64::NAN, 0.0, 1.0),
            "beta NaN is not in [0.01, 1e6]",
        ),
    ];
    for (prior, expected) in table {
        let message = prior.check().expect_err("impossible prior").to_string();
        assert!(message.contains(expected), "{prior:?}: {message}");
    }
}

#[test]
fn whatever_passes_the_check_gives_values_that_differ() {
    let magnitudes = [
        0.0,
        5e-324,
        1e-310,
        2e-308,
        1e-300,
        2e-300,
        1e-290,
        1e-12,
        1.0,
        1.000_000_000_1,
        36.0,
        1e12,
        1e290,
        1e300,
        1e308,
        f64::MAX,
    ];
    let numbers: Vec<f64> = magnitudes.iter().flat_map(|&x| [x, -x]).collect();
    let mut priors = Vec::new();
    for &first in &numbers {
        for &second in &numbers {
            let (low, high, mean, sd) = (first, second, first, second);
            priors.push(Prior::Uniform { low, high });
            priors.push(Prior::LogUniform { low, high });
            priors.push(beta(2.0, 3.0, low, high));
            priors.push(Prior::Normal { mean, sd });
            priors.push(Prior::LogNormal { mean, sd });
            for &mean in &numbers {
                for &sd in &numbers {
                    priors.push(truncated(mean, sd, low, high));
                }
            }
        }
    }
    priors.retain(|prior| prior.check().is_ok());
    assert!(priors.len() > 1000, "{} priors", priors.len());
    for prior in priors {
        let x = [-1.0, 0.0, 1.0].map(|z| prior.from_unconstrained(z));
        let (low, high) = prior.support();
        assert!(
            low < x[0] && x[0] < x[1] && x[1] < x[2] && x[2] < high,
            "{prior:?}: {x:?}"
        );
        for x in x {
            assert!(prior.log_density(x).is_finite(), "{prior:?} at {x}");
            assert!(prior.to_unconstrained(x).is_finite(), "{prior:?} at {x}");
        }
    }
}
