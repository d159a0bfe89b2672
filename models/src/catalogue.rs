//! The models that a program knows, and how one is set up for a campaign.

use crate::external::External;
use crate::linear::Linear;
use crate::model::Model;
use crate::noise::NoiseChildren;
use crate::simulator::{SimulationError, Simulator, impossible};
use rand_chacha::ChaCha8Rng;
use sidereal_inference::base::files::FileError;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign::model;
use sidereal_inference::campaign::model::{
    Complaint, Declaration, Declarations, ModelId, ModelNoise, ModelParameters, Options, Origin,
    Shape, SimulatorSpec,
};
use sidereal_inference::space::ParameterSpace;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A forward model: what it declares, and how it is set up.
pub trait ForwardModel: Declaration {
    /// The model for data and parameters of this shape; `options` are all that it declares, settled for it. An error says
    /// what was found and what is expected.
    fn build(&self, options: &Options, shape: Shape<'_>) -> Result<Arc<dyn Simulator>, String>;
}

/// A model that is set up already: whatever the campaign, it is this simulator that runs.
pub struct ReadyModel {
    /// As campaign files name it.
    pub name: &'static str,
    /// What runs.
    pub simulator: Arc<dyn Simulator>,
}

impl Declaration for ReadyModel {
    fn name(&self) -> &str {
        self.name
    }

    fn noise(&self) -> ModelNoise {
        match self.simulator.gives_likelihood() {
            true => ModelNoise::Own,
            false => ModelNoise::Gaussian,
        }
    }
}

impl ForwardModel for ReadyModel {
    fn build(&self, _: &Options, _: Shape<'_>) -> Result<Arc<dyn Simulator>, String> {
        Ok(Arc::clone(&self.simulator))
    }
}

/// The forward models of a program: the built-in ones, and its own as guests.
#[derive(Clone)]
pub struct Catalogue {
    models: Vec<(Origin, Arc<dyn ForwardModel>)>,
    /// The interpreter of functions in Python, whatever campaigns say.
    python: Option<PathBuf>,
}

impl Catalogue {
    pub(crate) fn of_builtins(models: Vec<Arc<dyn ForwardModel>>) -> Self {
        let of_origin = |model| (Origin::Builtin, model);
        Self {
            models: models.into_iter().map(of_origin).collect(),
            python: None,
        }
    }

    /// With a model of one's own, which campaign files name by `guest = "..."`; in place of a guest of the same name.
    pub fn with_guest(mut self, model: impl ForwardModel + 'static) -> Self {
        self.models
            .retain(|(origin, other)| (*origin, other.name()) != (Origin::Guest, model.name()));
        self.models.push((Origin::Guest, Arc::new(model)));
        self
    }

    /// With the interpreter that runs functions in Python, whatever campaigns say.
    pub fn with_python(mut self, interpreter: Option<PathBuf>) -> Self {
        self.python = interpreter;
        self
    }

    /// Of all models.
    pub fn ids(&self) -> Vec<ModelId> {
        let id = |(origin, model): &(Origin, Arc<dyn ForwardModel>)| declaration(model).id(*origin);
        self.models.iter().map(id).collect()
    }

    /// The declaration of a campaign's model.
    pub fn declaration_of(&self, spec: &SimulatorSpec) -> Result<&dyn Declaration, BuildError> {
        self.model(&spec.model).map(declaration)
    }

    /// A campaign's model, for as many rows at a time.
    pub fn build(&self, campaign: &Campaign, n_parallel: usize) -> Result<Model, BuildError> {
        if campaign.space.linear().next().is_some() {
            let asked = Linear::asked(campaign);
            let inner = self.build(&asked, n_parallel)?;
            return Ok(Model::Linear(Arc::new(Linear::new(inner, asked))));
        }
        if let Some(external) = &campaign.simulator.external {
            let name = &campaign.simulator.model.name;
            check_digest(name, external.program.digest(), &external.digest)?;
            let python = self.python_of(campaign);
            let external = External::new(external.clone(), n_parallel, python);
            return Ok(Model::External(Arc::new(external)));
        }
        let simulator = self.simulator(&campaign.simulator, &campaign.space)?;
        Ok(Model::InProcess(simulator))
    }

    /// What adds the noise of a campaign's trainings, in as many processes; None where no function does.
    pub fn noise(
        &self,
        campaign: &Campaign,
        n_parallel: usize,
    ) -> Result<Option<NoiseChildren>, BuildError> {
        let Some(noise) = &campaign.training_noise else {
            return Ok(None);
        };
        check_digest(&noise.name(), noise.found_digest(), &noise.digest)?;
        let python = self.python_of(campaign);
        Ok(Some(NoiseChildren::new(
            noise,
            &campaign.space,
            campaign.simulator.grid.len(),
            n_parallel,
            python,
        )))
    }

    fn python_of<'a>(&'a self, campaign: &'a Campaign) -> Option<&'a Path> {
        let own = self.python.as_deref();
        own.or(campaign.workers.python.as_deref())
    }

    /// A model of the catalogue; its parameters may stand in any order in `space` where it names them.
    pub fn simulator(
        &self,
        spec: &SimulatorSpec,
        space: &ParameterSpace,
    ) -> Result<Arc<dyn Simulator>, BuildError> {
        let model = self.model(&spec.model)?;
        build(model.as_ref(), spec, space).map_err(|message| BuildError::Model {
            model: spec.model.name.clone(),
            message,
        })
    }

    /// What a campaign's data lie on, for pictures.
    pub fn grid_name(&self, spec: &SimulatorSpec) -> &'static str {
        let declaration = self.declaration_of(spec);
        declaration.map_or("grid", |declaration| declaration.grid_name())
    }

    fn model(&self, id: &ModelId) -> Result<&Arc<dyn ForwardModel>, BuildError> {
        let found = self
            .models
            .iter()
            .find(|(origin, model)| declaration(model).id(*origin) == *id);
        match found {
            Some((_, model)) => Ok(model),
            None => Err(BuildError::Unknown {
                model: id.clone(),
                known: self.ids(),
            }),
        }
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Declarations for Catalogue {
    fn of(&self, origin: Origin) -> Vec<&dyn Declaration> {
        let mine = self.models.iter().filter(|(other, _)| *other == origin);
        mine.map(|(_, model)| declaration(model)).collect()
    }
}

fn declaration(model: &Arc<dyn ForwardModel>) -> &dyn Declaration {
    model.as_ref()
}

/// A campaign whose model cannot be set up.
#[derive(Debug, Clone, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the variants' own messages say it, with the fields"
)]
pub enum BuildError {
    /// Parameters, options or grid are not what the model needs.
    #[error("simulator `{model}`: {message}")]
    Model { model: String, message: String },
    #[error(
        "{model} has changed since the campaign began: its files have the digest {found}, expected {expected}"
    )]
    Changed {
        model: String,
        found: String,
        expected: String,
    },
    #[error("{model}: {source}")]
    Files {
        model: String,
        source: Arc<FileError>,
    },
    #[error(
        "the campaign's model is {model}, this program has {}",
        model::list(known)
    )]
    Unknown { model: ModelId, known: Vec<ModelId> },
}

/// Refuses files that are not those that the campaign began with.
fn check_digest(
    name: &str,
    found: Result<String, FileError>,
    expected: &str,
) -> Result<(), BuildError> {
    let found = found.map_err(|source| BuildError::Files {
        model: name.to_owned(),
        source: Arc::new(source),
    })?;
    match found == expected {
        true => Ok(()),
        false => Err(BuildError::Changed {
            model: name.to_owned(),
            found: found[..8].to_owned(),
            expected: expected.chars().take(8).collect(),
        }),
    }
}

fn build(
    model: &dyn ForwardModel,
    spec: &SimulatorSpec,
    space: &ParameterSpace,
) -> Result<Arc<dyn Simulator>, String> {
    let grid = &spec.grid;
    let n_parameters = space.model_names().len();
    let declaration: &dyn Declaration = model;
    if grid.is_empty() && declaration.n_data(n_parameters) != Some(0) {
        return Err("the grid is empty, expected at least one point".to_owned());
    }
    if let Some(index) = grid.iter().position(|point| !point.is_finite()) {
        let point = grid[index];
        return Err(format!(
            "point {index} of the grid is {point}, expected a finite number"
        ));
    }
    let order = match declaration.parameters() {
        ModelParameters::Named(names) => order_of(names, space)?,
        ModelParameters::Count(_) | ModelParameters::Any => (0..n_parameters).collect(),
    };
    let shape = Shape { grid, n_parameters };
    let settled = declaration
        .settled(&spec.options, shape)
        .map_err(|complaints| {
            let words: Vec<String> = complaints
                .into_iter()
                .map(|Complaint { option, message }| match option {
                    Some(option) => format!("{option}: {message}"),
                    None => message,
                })
                .collect();
            words.join("; ")
        })?;
    let simulator = model.build(&settled, shape)?;
    if simulator.n_data() != grid.len() {
        return Err(format!(
            "it gives {} values, expected one for each of the grid's {} points",
            simulator.n_data(),
            grid.len()
        ));
    }
    let gives_likelihood = match declaration.noise() {
        ModelNoise::Own => true,
        ModelNoise::Gaussian => false,
    };
    if simulator.gives_likelihood() != gives_likelihood {
        let (declared, found) = match gives_likelihood {
            true => ("noise of its own", "no likelihood"),
            false => ("no noise of its own", "a likelihood"),
        };
        return Err(format!("it declares {declared} and gives {found}"));
    }
    Ok(Arc::new(Ordered {
        space: space.clone(),
        is_in_order: order.iter().copied().eq(0..order.len()),
        order,
        simulator,
    }))
}

/// Where each of a model's parameters stands in the campaign's order.
fn order_of(names: &[&str], space: &ParameterSpace) -> Result<Vec<usize>, String> {
    let found = space.model_names();
    let order: Option<Vec<usize>> = names
        .iter()
        .map(|name| found.iter().position(|candidate| candidate == name))
        .collect();
    match order.filter(|order| order.len() == found.len()) {
        Some(order) => Ok(order),
        None => {
            let (found, expected) = (found.join(", "), names.join(", "));
            Err(format!("found the parameters {found}, expected {expected}"))
        }
    }
}

/// A simulator that is given finite parameters, in its own order.
struct Ordered {
    space: ParameterSpace,
    /// Where each of the model's parameters stands among all in the campaign's order.
    order: Vec<usize>,
    is_in_order: bool,
    simulator: Arc<dyn Simulator>,
}

impl Ordered {
    fn with_ordered<T>(
        &self,
        parameters: &[f64],
        run: impl FnOnce(&[f64]) -> Result<T, SimulationError>,
    ) -> Result<T, SimulationError> {
        let (found, expected) = (parameters.len(), self.space.len());
        if found != expected {
            return Err(impossible(format!(
                "found {found} parameters, expected {expected}"
            )));
        }
        let mut named = self.space.names().into_iter().zip(parameters);
        if let Some((name, value)) = named.find(|(_, value)| !value.is_finite()) {
            return Err(impossible(format!(
                "{name} is {value}, expected a finite number"
            )));
        }
        if self.is_in_order && self.space.is_all_of_the_model() {
            return run(parameters);
        }
        let parameters = self.space.model_parameters(parameters);
        let ordered: Vec<f64> = self.order.iter().map(|&at| parameters[at]).collect();
        run(&ordered)
    }
}

impl Simulator for Ordered {
    fn n_data(&self) -> usize {
        self.simulator.n_data()
    }

    fn simulate(
        &self,
        parameters: &[f64],
        rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<(), SimulationError> {
        self.with_ordered(parameters, |ordered| {
            self.simulator.simulate(ordered, rng, out)
        })
    }

    fn gives_likelihood(&self) -> bool {
        self.simulator.gives_likelihood()
    }

    fn simulate_and_weigh(
        &self,
        parameters: &[f64],
        observed: &[f64],
        rng: &mut ChaCha8Rng,
        out: &mut [f64],
    ) -> Result<f64, SimulationError> {
        let (found, expected) = (observed.len(), self.n_data());
        if found != expected {
            return Err(impossible(format!(
                "the observation has {found} values, expected {expected}"
            )));
        }
        self.with_ordered(parameters, |ordered| {
            self.simulator
                .simulate_and_weigh(ordered, observed, rng, out)
        })
    }
}
