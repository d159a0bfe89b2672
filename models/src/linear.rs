//! Models with parameters that their data are linear in: these are integrated out of the likelihood row by row, and drawn given
//! the row's other parameters and the data.
//!
//! What the data change by where such a parameter is one prior standard deviation larger, its column, is asked of the model
//! itself, for each row, unless it is the same everywhere. Each row ends with one more call, with the values that were
//! drawn: those are its simulated data, and they must be what its columns foretell.

use crate::batch::{BatchError, Places, Values, check_draws};
use crate::process::ChildError;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::{
    Campaign, GaussianNoise, LinearFit, Noise, Observation, RowNoise,
};
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::{ShardLayout, ShardRows};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Draws of the prior at which columns are compared.
const N_COMPARED: u64 = 3;
/// Largest difference of columns that are the same, as a part of their largest element; and of sums that lose digits.
const SAME: f64 = 1e-9;
/// Largest distance of a datum from what its columns foretell, in units of its standard deviation.
const MOST_BESIDE: f64 = 1e-4;

/// Columns that are the same at all places; None: asked for each row.
type Constant = Vec<Option<Vec<f64>>>;

/// What is asked for data: a model that knows of no linear parameters.
pub(crate) trait Asked: Send + Sync {
    /// Starts what runs it, where that takes time and may fail.
    fn start(&self, campaign: &Campaign) -> Result<(), ChildError>;

    /// The data before noise at some places.
    fn values(
        &self,
        campaign: &Campaign,
        places: &Places<'_>,
        abandoned: &AtomicBool,
    ) -> Result<Values, BatchError>;
}

/// A model some of whose parameters are linear.
pub struct Linear {
    inner: Box<dyn Asked>,
    /// As `inner` is asked: linear parameters stand among the others.
    asked: Campaign,
    /// Found with the first row.
    constant: Mutex<Option<Arc<Constant>>>,
}

/// A row with its linear parameters.
struct Answer {
    log_likelihood: f64,
    linear: Vec<f64>,
    data: Vec<f64>,
}

enum Failure {
    Model(String),
    /// The data are not what the columns foretell.
    Beside(String),
}

/// What rows are weighed with.
struct Weighing<'a> {
    campaign: &'a Campaign,
    noise: &'a GaussianNoise,
    observation: &'a Observation,
    draws: &'a Draws,
    abandoned: &'a AtomicBool,
}

impl Weighing<'_> {
    /// Of the `i`-th row.
    fn row_noise(&self, i: usize) -> RowNoise<'_> {
        let theta = self.draws.theta_row(i);
        self.noise.terms.of_row(&self.campaign.space, theta)
    }
}

impl Linear {
    /// The campaign as a model is asked that knows of no linear parameters: for its data alone.
    pub(crate) fn asked(campaign: &Campaign) -> Campaign {
        Campaign {
            space: campaign.space.with_linear(),
            observation: None,
            ..campaign.clone()
        }
    }

    /// `inner` is set up for `asked`.
    pub(crate) fn new(inner: impl Asked + 'static, asked: Campaign) -> Self {
        Self {
            inner: Box::new(inner),
            asked,
            constant: Mutex::new(None),
        }
    }

    pub(crate) fn start(&self) -> Result<(), ChildError> {
        self.inner.start(&self.asked)
    }

    /// The data before noise at places with linear parameters among the others.
    pub(crate) fn values(
        &self,
        places: &Places<'_>,
        abandoned: &AtomicBool,
    ) -> Result<Values, BatchError> {
        self.inner.values(&self.asked, places, abandoned)
    }

    /// As [`Model::run_unless`](crate::Model::run_unless).
    pub(crate) fn run(
        &self,
        campaign: &Campaign,
        draws: Draws,
        abandoned: &AtomicBool,
    ) -> Result<ShardRows, BatchError> {
        check_draws(campaign, &draws)?;
        let (Noise::Gaussian(noise), Some(observation)) = (&campaign.noise, &campaign.observation)
        else {
            return Err(BatchError::NoLikelihood);
        };
        let constant = self.constant(campaign, abandoned)?;
        let mut rows = ShardRows::unanswered(draws, ShardLayout::of(campaign));
        let weighing = Weighing {
            campaign,
            noise,
            observation,
            draws: &rows.draws,
            abandoned,
        };
        let all: Vec<usize> = (0..weighing.draws.n_rows()).collect();
        let mut answers = self.answers(&weighing, &all, &constant)?;
        if constant.iter().any(Option::is_some) {
            // Where a column is not what it is elsewhere, all are asked for.
            let is_beside = |i: &usize| matches!(answers[*i], Err(Failure::Beside(_)));
            let beside: Vec<usize> = all.into_iter().filter(is_beside).collect();
            let none = vec![None; constant.len()];
            let again = self.answers(&weighing, &beside, &none)?;
            for (i, answer) in beside.into_iter().zip(again) {
                answers[i] = answer;
            }
        }
        let (n_data, n_derived) = (rows.n_data, rows.n_derived);
        for (i, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(answer) => {
                    rows.log_likelihood[i] = Some(answer.log_likelihood);
                    rows.derived[i * n_derived..(i + 1) * n_derived]
                        .copy_from_slice(&answer.linear);
                    let data = rows.simulated[i * n_data..(i + 1) * n_data].iter_mut();
                    data.zip(&answer.data)
                        .for_each(|(single, value)| *single = *value as f32);
                }
                Err(Failure::Model(message) | Failure::Beside(message)) => rows.fail(i, message),
            }
        }
        Ok(rows)
    }

    /// Columns that are the same at a few draws of the prior, in the order of the linear parameters.
    fn constant(
        &self,
        campaign: &Campaign,
        abandoned: &AtomicBool,
    ) -> Result<Arc<Constant>, BatchError> {
        let mut held = self.constant.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(constant) = &*held {
            return Ok(Arc::clone(constant));
        }
        let round = RoundId(0);
        let draws = Draws::from_prior(&campaign.space, campaign.seed, round, 0..N_COMPARED);
        let k = campaign.space.linear().count();
        let every: Vec<usize> = (0..k).collect();
        let mut places = Vec::new();
        for i in 0..draws.n_rows() {
            places.extend(around(campaign, draws.theta_row(i), &every));
        }
        let places = Places {
            round,
            first_row: 0,
            theta: &places,
        };
        let values = self.values(&places, abandoned)?;
        let found: Vec<Vec<Vec<f64>>> = values
            .chunks(k + 1)
            .filter_map(|values| columns(values).ok())
            .map(|(_, columns)| columns)
            .collect();
        let constant = (0..k).map(|place| {
            let (first, others) = found.split_first()?;
            let is_same = |other: &Vec<Vec<f64>>| is_same(&first[place], &other[place]);
            (!others.is_empty() && others.iter().all(is_same)).then(|| first[place].clone())
        });
        let constant = Arc::new(constant.collect::<Constant>());
        *held = Some(Arc::clone(&constant));
        Ok(constant)
    }

    /// Of the rows `which`; columns that are not in `constant` are asked for.
    fn answers(
        &self,
        weighing: &Weighing<'_>,
        which: &[usize],
        constant: &Constant,
    ) -> Result<Vec<Result<Answer, Failure>>, BatchError> {
        let Weighing {
            campaign, draws, ..
        } = *weighing;
        let varying: Vec<usize> = (0..constant.len())
            .filter(|&place| constant[place].is_none())
            .collect();
        let around = which
            .iter()
            .flat_map(|&i| around(campaign, draws.theta_row(i), &varying));
        let around: Vec<f64> = around.collect();
        let values = self.values_of(weighing, &around)?;
        let of_row = |(&i, values): (&usize, &[Result<Vec<f64>, String>])| {
            let (base, asked) = columns(values)?;
            let mut asked = asked.iter();
            let all = constant.iter().map(|column| match column {
                Some(column) => Some(column),
                None => asked.next(),
            });
            let all: Option<Vec<&[f64]>> = all.map(|column| Some(column?.as_slice())).collect();
            foretold(weighing, i, &base, &all.unwrap_or_default())
        };
        let rows = which.par_iter().zip(values.par_chunks(varying.len() + 1));
        let foretold: Vec<Result<Answer, String>> = rows.map(of_row).collect();
        let drawn = which.iter().zip(&foretold);
        let drawn = drawn.filter_map(|(&i, answer)| {
            let linear = &answer.as_ref().ok()?.linear;
            Some(campaign.space.theta_with_linear(draws.theta_row(i), linear))
        });
        let drawn: Vec<f64> = drawn.flatten().collect();
        let mut simulated = self.values_of(weighing, &drawn)?.into_iter();
        let mut answers = Vec::with_capacity(which.len());
        for (&i, foretold) in which.iter().zip(foretold) {
            answers.push(match foretold {
                Err(message) => Err(Failure::Model(message)),
                Ok(foretold) => match simulated.next() {
                    Some(Ok(data)) => compared(weighing, i, foretold, data),
                    Some(Err(message)) => Err(Failure::Model(message)),
                    None => Err(Failure::Model("found no data".to_owned())),
                },
            });
        }
        Ok(answers)
    }

    fn values_of(&self, weighing: &Weighing<'_>, theta: &[f64]) -> Result<Values, BatchError> {
        if theta.is_empty() {
            return Ok(Vec::new());
        }
        let places = Places {
            round: weighing.draws.round,
            first_row: weighing.draws.first_row,
            theta,
        };
        self.values(&places, weighing.abandoned)
    }
}

/// Where the model is asked for one row: with all linear parameters at their prior means, and with each of `varying` one
/// standard deviation larger.
fn around(campaign: &Campaign, theta: &[f64], varying: &[usize]) -> Vec<f64> {
    let means: Vec<f64> = campaign.space.linear().map(|one| one.value).collect();
    let sds: Vec<f64> = campaign.space.linear().filter_map(|one| one.sd).collect();
    let mut places = campaign.space.theta_with_linear(theta, &means);
    for &place in varying {
        let mut values = means.clone();
        values[place] += sds[place];
        places.extend(campaign.space.theta_with_linear(theta, &values));
    }
    places
}

/// The first of these, and by how much the others differ from it.
fn columns(values: &[Result<Vec<f64>, String>]) -> Result<(Vec<f64>, Vec<Vec<f64>>), String> {
    let mut all = values.iter().cloned();
    let base = all
        .next()
        .unwrap_or_else(|| Err("found no data".to_owned()))?;
    let mut columns = Vec::with_capacity(values.len());
    for values in all {
        let values = values?;
        columns.push(values.iter().zip(&base).map(|(x, base)| x - base).collect());
    }
    Ok((base, columns))
}

fn is_same(a: &[f64], b: &[f64]) -> bool {
    let largest = a.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let mut pairs = a.iter().zip(b);
    pairs.all(|(a, b)| (a - b).abs() <= SAME * largest)
}

/// The row's likelihood, its linear parameters, and the data with them as the columns say.
fn foretold(
    weighing: &Weighing<'_>,
    i: usize,
    base: &[f64],
    columns: &[&[f64]],
) -> Result<Answer, String> {
    let Weighing {
        campaign,
        observation,
        draws,
        ..
    } = *weighing;
    let noise = weighing.row_noise(i);
    let fit = LinearFit::new(&noise, observation, base, columns)
        .filter(|fit| !fit.log_likelihood.is_nan());
    let Some(fit) = fit else {
        return Err("what the data change by with the linear parameters is no finite number, or not of the data's length".to_owned());
    };
    let row = RowId(draws.first_row + i as u64);
    let mut rng = stream(campaign.seed, draws.round, row, Purpose::Linear);
    let normal = columns.iter().map(|_| StandardNormal.sample(&mut rng));
    let away = fit.draw(&normal.collect::<Vec<f64>>());
    let mut data = base.to_vec();
    for (column, away) in columns.iter().zip(&away) {
        for (datum, x) in data.iter_mut().zip(*column) {
            *datum += away * x;
        }
    }
    let linear = campaign.space.linear().zip(away);
    let linear = linear.filter_map(|(one, away)| Some(one.value + one.sd? * away));
    Ok(Answer {
        log_likelihood: fit.log_likelihood,
        linear: linear.collect(),
        data,
    })
}

/// With the data that the model gives in place of those that were foretold, which they must not differ from.
fn compared(
    weighing: &Weighing<'_>,
    i: usize,
    foretold: Answer,
    data: Vec<f64>,
) -> Result<Answer, Failure> {
    let noise = weighing.row_noise(i);
    let sigma = &weighing.observation.sigma;
    let is_beside = |(datum, (found, expected)): &(usize, (&f64, &f64))| {
        let sd = noise.sd(*datum, sigma[*datum]);
        (*found - *expected).abs() > MOST_BESIDE * sd + SAME * expected.abs()
    };
    let mut pairs = data.iter().zip(&foretold.data).enumerate();
    if let Some((datum, (found, expected))) = pairs.find(is_beside) {
        let names: Vec<&str> = weighing
            .campaign
            .space
            .linear()
            .map(|one| one.name.as_str())
            .collect();
        return Err(Failure::Beside(format!(
            "datum {datum} is {found}, expected {expected} of a model that is linear in {} and draws no noise of its own",
            names.join(", ")
        )));
    }
    Ok(Answer { data, ..foretold })
}
