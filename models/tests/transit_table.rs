//! The `transit` model against the `batman` package and against direct integration, both tabulated by
//! `make_transit_table.py`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sidereal_inference::campaign::model::{ModelId, Options, Origin, SimulatorSpec};
use sidereal_inference::space::{Parameter, ParameterSpace, Prior};
use sidereal_models::Catalogue;

const COLUMNS: &str = "rp,aRs,b,t0,u1,u2,period,t,batman,integral";

#[test]
fn flux_agrees_with_batman_and_with_the_integral() {
    let prior = Prior::Uniform {
        low: 0.0,
        high: 1.0,
    };
    let parameter = |name: &str| Parameter {
        name: name.to_owned(),
        prior: prior.clone(),
        periodic: false,
    };
    let space =
        ParameterSpace::independent(["rp", "aRs", "b", "t0", "u1", "u2"].map(parameter).to_vec());
    let catalogue = Catalogue::default();
    let mut lines = include_str!("transit_table.csv").lines();
    assert_eq!(lines.next(), Some(COLUMNS));
    let (mut n_batman, mut n_in_transit) = (0, 0);
    for line in lines {
        let fields: Vec<Option<f64>> = line.split(',').map(|field| field.parse().ok()).collect();
        let &[.., Some(period), Some(time), batman, Some(integral)] = &fields[..] else {
            panic!("cannot read {line}");
        };
        let theta: Vec<f64> = fields[..6]
            .iter()
            .map(|field| field.expect("parameter"))
            .collect();
        let mut options = Options::default();
        options.set("period", period);
        let spec = SimulatorSpec {
            model: ModelId {
                origin: Origin::Builtin,
                name: "transit".to_owned(),
                version: 1,
            },
            options,
            grid: vec![time],
            external: None,
        };
        let simulator = catalogue.simulator(&spec, &space).expect("simulator");
        let mut flux = [f64::NAN];
        simulator
            .simulate(&theta, &mut ChaCha8Rng::seed_from_u64(0), &mut flux)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let [flux] = flux;
        if let Some(batman) = batman {
            assert!(
                (flux - batman).abs() < 1e-6,
                "{line}: found {flux}, batman has {batman}"
            );
            n_batman += 1;
        }
        assert!(
            (flux - integral).abs() < 1e-11,
            "{line}: found {flux}, the integral is {integral}"
        );
        n_in_transit += usize::from(integral < 1.0);
    }
    assert!(
        n_batman >= 480 && n_in_transit >= 300,
        "{n_batman} rows of batman, {n_in_transit} in transit"
    );
}
