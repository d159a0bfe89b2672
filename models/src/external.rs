//! A campaign's model in processes of its own: children that are set up for it, and their answers as shard rows.

use crate::batch::{BatchError, Places, Values, check_data, check_draws, check_finite, judge};
use crate::process::{
    Answers, ChildError, ChildSettings, Children, Functions, Hello, Observed, Program, Rows,
    interpreter,
};
use rand::Rng;
use sidereal_inference::base::{Purpose, RoundId, RowId, stream};
use sidereal_inference::campaign::external::{ExternalModel, Protocol, PythonFunction};
use sidereal_inference::campaign::{Campaign, Noise, external};
use sidereal_inference::records::Draws;
use sidereal_inference::records::shard::{ShardLayout, ShardRows};
use sidereal_inference::space::DerivedKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A model in processes of its own, which are started when it runs for the first time.
pub struct External {
    model: ExternalModel,
    n_children: usize,
    python: PathBuf,
    /// With what they were told at their start.
    children: Mutex<Option<(Hello, Arc<Children>)>>,
}

impl External {
    /// For `n_children` processes at once. `python` is the interpreter of functions in Python, where one is given.
    pub(crate) fn new(model: ExternalModel, n_children: usize, python: Option<&Path>) -> Self {
        Self {
            model,
            n_children: n_children.max(1),
            python: interpreter(python),
            children: Mutex::new(None),
        }
    }

    /// Starts one process, so that an interpreter, an import or a function that is missing is told at once.
    pub(crate) fn start(&self, campaign: &Campaign) -> Result<(), ChildError> {
        self.children(campaign).map(|_| ())
    }

    /// As [`Model::run_unless`](crate::Model::run_unless).
    pub(crate) fn run(
        &self,
        campaign: &Campaign,
        draws: Draws,
        abandoned: &AtomicBool,
    ) -> Result<ShardRows, BatchError> {
        check_draws(campaign, &draws)?;
        let n_data = campaign.simulator.grid.len();
        let gives_likelihood = match &campaign.noise {
            Noise::Simulator => true,
            Noise::Gaussian(_) => false,
        };
        check_data(campaign, n_data, gives_likelihood)?;
        let children = self.children(campaign)?;
        let rows = Rows {
            first_row: draws.first_row,
            inputs: (0..draws.n_rows())
                .flat_map(|i| campaign.space.model_parameters(draws.theta_row(i)))
                .collect(),
            seeds: seeds(
                campaign,
                draws.round,
                draws.first_row,
                draws.n_rows(),
                self.model.block,
            ),
        };
        let answers = children.run(&rows, abandoned)?;
        Ok(shard_rows(campaign, draws, &answers))
    }

    /// The data before noise at some places.
    pub(crate) fn values(
        &self,
        campaign: &Campaign,
        places: &Places<'_>,
        abandoned: &AtomicBool,
    ) -> Result<Values, BatchError> {
        let n_data = campaign.simulator.grid.len();
        let thetas = places.theta.chunks_exact(campaign.space.len());
        let n_rows = thetas.len();
        let rows = Rows {
            first_row: places.first_row,
            inputs: thetas
                .flat_map(|theta| campaign.space.model_parameters(theta))
                .collect(),
            seeds: seeds(
                campaign,
                places.round,
                places.first_row,
                n_rows,
                self.model.block,
            ),
        };
        let answers = self.children(campaign)?.run(&rows, abandoned)?;
        let outcomes = answers.outcomes.iter().enumerate();
        let of_row = |(i, outcome): (usize, &Result<(), String>)| {
            outcome.clone()?;
            let values = &answers.x[i * n_data..(i + 1) * n_data];
            check_finite(values)?;
            Ok(values.to_vec())
        };
        Ok(outcomes.map(of_row).collect())
    }

    /// The processes that are set up for this campaign; those of another observation are ended.
    fn children(&self, campaign: &Campaign) -> Result<Arc<Children>, ChildError> {
        let hello = hello(&self.model, campaign);
        let mut held = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((told, children)) = &*held
            && *told == hello
        {
            return Ok(Arc::clone(children));
        }
        *held = None;
        let children = Arc::new(Children::start(ChildSettings {
            program: self.program(),
            hello: hello.clone(),
            n_children: self.n_children,
            row_limit: Duration::from_secs_f64(self.model.row_limit_s),
            setup_limit: Duration::from_secs_f64(self.model.setup_limit_s),
        })?);
        *held = Some((hello, Arc::clone(&children)));
        Ok(children)
    }

    fn program(&self) -> Program {
        match &self.model.program {
            external::Program::Python { .. } => Program::Python {
                interpreter: self.python.clone(),
            },
            external::Program::Command {
                command,
                directory,
                protocol,
                ..
            } => {
                let (command, directory) = (command.clone(), directory.clone());
                match protocol {
                    Protocol::Arrow => Program::Arrow { command, directory },
                    Protocol::Lines => Program::Lines { command, directory },
                }
            }
        }
    }
}

fn hello(model: &ExternalModel, campaign: &Campaign) -> Hello {
    let functions = match &model.program {
        external::Program::Python {
            simulate,
            log_likelihood,
            prior_transform,
        } => {
            let text =
                |function: &Option<PythonFunction>| function.as_ref().map(PythonFunction::text);
            Functions {
                simulate: text(simulate),
                log_likelihood: text(log_likelihood),
                prior_transform: text(prior_transform),
                noise: None,
            }
        }
        external::Program::Command { .. } => Functions::default(),
    };
    let space = &campaign.space;
    let names = |kind: DerivedKind| -> Vec<String> {
        let derived = space.derived.iter();
        let of_kind = derived.filter(|derived| derived.kind == kind);
        of_kind.map(|derived| derived.name.clone()).collect()
    };
    // Who adds no noise has no use for what was observed.
    let observed = match &campaign.noise {
        Noise::Simulator => campaign.observation.as_ref(),
        Noise::Gaussian(_) => None,
    };
    Hello {
        functions,
        parameters: space.model_names().into_iter().map(str::to_owned).collect(),
        n_data: campaign.simulator.grid.len(),
        observed: observed
            .filter(|observation| !observation.is_empty())
            .map(|observation| Observed {
                grid: observation.grid.clone(),
                value: observation.value.clone(),
                sigma: observation.sigma.clone(),
            }),
        theta: space
            .is_transformed()
            .then(|| names(DerivedKind::Transformed)),
        blobs: names(DerivedKind::Blob),
        block: model.block as usize,
        global_rng: model.global_rng,
    }
}

/// Keys of the rows' own generators; rows of a block have that of its first row.
fn seeds(
    campaign: &Campaign,
    round: RoundId,
    first_row: u64,
    n_rows: usize,
    block: u32,
) -> Vec<[u8; 16]> {
    let seed = |row: u64| {
        let row = row - row % u64::from(block.max(1));
        let mut seed = [0; 16];
        stream(campaign.seed, round, RowId(row), Purpose::Simulate).fill_bytes(&mut seed);
        seed
    };
    (first_row..first_row + n_rows as u64).map(seed).collect()
}

fn shard_rows(campaign: &Campaign, draws: Draws, answers: &Answers) -> ShardRows {
    let n_data = campaign.simulator.grid.len();
    let n_derived = campaign.space.derived.len();
    let mut rows = ShardRows::unanswered(draws, ShardLayout::of(campaign));
    let n_rows = answers.outcomes.len().max(1);
    let (n_theta, n_blobs) = (answers.theta.len() / n_rows, answers.blobs.len() / n_rows);
    for (i, outcome) in answers.outcomes.iter().enumerate() {
        let judged = outcome.clone().and_then(|()| {
            let own = answers.log_likelihood[i];
            if matches!(campaign.noise, Noise::Simulator)
                && campaign.observation.is_some()
                && own.is_none()
            {
                return Err("found no log-likelihood, expected one".to_owned());
            }
            let x = &answers.x[i * n_data..(i + 1) * n_data];
            judge(
                campaign,
                rows.draws.theta_row(i),
                x,
                own,
                &mut rows.simulated[i * n_data..(i + 1) * n_data],
            )
        });
        let theta = &answers.theta[i * n_theta..(i + 1) * n_theta];
        let blobs = &answers.blobs[i * n_blobs..(i + 1) * n_blobs];
        let judged = judged.and_then(|log_likelihood| {
            let mut derived = campaign.space.derived.iter().zip(theta.iter().chain(blobs));
            match derived.find(|(_, value)| value.is_nan()) {
                // Where the likelihood is zero nobody asks for more.
                Some((derived, _)) if log_likelihood != Some(f64::NEG_INFINITY) => {
                    Err(format!("no value for {}, expected a number", derived.name))
                }
                Some(_) | None => Ok(log_likelihood),
            }
        });
        match judged {
            Ok(log_likelihood) => {
                rows.log_likelihood[i] = log_likelihood;
                let own = rows.derived[i * n_derived..(i + 1) * n_derived].iter_mut();
                own.zip(theta.iter().chain(blobs))
                    .for_each(|(own, derived)| *own = *derived);
            }
            Err(message) => rows.fail(i, message),
        }
    }
    rows
}
