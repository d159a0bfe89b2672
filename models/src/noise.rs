//! Noise that a user's function adds to simulated data: children that are set up for it.

use crate::process::{Answers, interpreter};
use crate::process::{ChildError, ChildSettings, Children, Functions, Hello, Program, Rows};
use sidereal_inference::campaign::external::ExternalNoise;
use sidereal_inference::space::ParameterSpace;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A function that adds noise, in processes of its own, which are started when they are needed for the first time.
pub struct NoiseChildren {
    name: String,
    block: u32,
    settings: ChildSettings,
    children: Mutex<Option<Arc<Children>>>,
}

impl std::fmt::Debug for NoiseChildren {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NoiseChildren({})", self.name)
    }
}

/// Why there is no noise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// No process can be started, or none goes on.
    #[error("noise.python {name}: {source}")]
    Children {
        /// The function.
        name: String,
        /// Why not.
        #[source]
        source: ChildError,
    },
    /// The function gives no noise for some data.
    #[error("noise.python {name}: {message}")]
    Function {
        /// The function.
        name: String,
        /// What it says, or what became of its process.
        message: String,
    },
}

impl NoiseChildren {
    /// For data of `n_data` numbers that were simulated of parameters in `space`.
    pub(crate) fn new(
        noise: &ExternalNoise,
        space: &ParameterSpace,
        n_data: usize,
        n_children: usize,
        python: Option<&Path>,
    ) -> Self {
        let hello = Hello {
            functions: Functions {
                noise: Some(noise.function.text()),
                ..Functions::default()
            },
            // With a prior transform θ is not known here, and coordinates of the unit cube are of no use to noise.
            parameters: match space.is_transformed() {
                true => Vec::new(),
                false => space.model_names().into_iter().map(str::to_owned).collect(),
            },
            n_data,
            observed: None,
            theta: None,
            blobs: Vec::new(),
            block: noise.block as usize,
            global_rng: noise.global_rng,
        };
        Self {
            name: noise.name(),
            block: noise.block,
            settings: ChildSettings {
                program: Program::Python {
                    interpreter: interpreter(python),
                },
                hello,
                n_children: n_children.max(1),
                row_limit: Duration::from_secs_f64(noise.row_limit_s),
                setup_limit: Duration::from_secs_f64(noise.setup_limit_s),
            },
            children: Mutex::new(None),
        }
    }

    /// Rows of each call, which begin at multiples of it; 0: one row a call.
    pub fn block(&self) -> usize {
        self.block as usize
    }

    /// Starts one process, so that an interpreter, an import or a function that is missing is told at once.
    pub fn start(&self) -> Result<(), NoiseError> {
        self.children().map(|_| ())
    }

    /// Noise added to rows of data, \[row, datum\], whose parameters are `theta`, \[row\]\[parameter\], as the model is given
    /// them; the first is row `first_row` of its sequence, and each has a seed, in a block that of the block's first row. A
    /// row's noise depends on its block's rows, its place and its seed alone.
    pub fn add(
        &self,
        first_row: u64,
        simulated: &[f64],
        theta: &[Vec<f64>],
        seeds: Vec<[u8; 16]>,
        abandoned: &AtomicBool,
    ) -> Result<Vec<f64>, NoiseError> {
        let hello = &self.settings.hello;
        let n_parameters = hello.parameters.len();
        let data = simulated.chunks_exact(hello.n_data.max(1));
        let inputs = data.zip(theta).flat_map(|(x, theta)| {
            let theta = theta.iter().take(n_parameters);
            x.iter().chain(theta).copied()
        });
        let rows = Rows {
            first_row,
            inputs: inputs.collect(),
            seeds,
        };
        let Answers { outcomes, x, .. } = self
            .children()?
            .run(&rows, abandoned)
            .map_err(|source| self.child_error(source))?;
        match outcomes.into_iter().find_map(Result::err) {
            Some(message) => Err(NoiseError::Function {
                name: self.name.clone(),
                message,
            }),
            None => Ok(x),
        }
    }

    fn children(&self) -> Result<Arc<Children>, NoiseError> {
        let mut held = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(children) = &*held {
            return Ok(Arc::clone(children));
        }
        let started = Children::start(self.settings.clone());
        let children = started.map_err(|source| self.child_error(source))?;
        let children = Arc::new(children);
        *held = Some(Arc::clone(&children));
        Ok(children)
    }

    fn child_error(&self, source: ChildError) -> NoiseError {
        NoiseError::Children {
            name: self.name.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::tests::python_or_skip;
    use sidereal_inference::campaign::external::PythonFunction;
    use sidereal_inference::space::{Parameter, Prior};

    const SOURCE: &str = "import numpy as np\n\
        def normal(x, rng):\n    return x + rng.standard_normal(2)\n\
        def many(x, rng):\n    return x + rng.standard_normal(x.shape)\n\
        def raises(x, rng):\n    if x[0] == 1.0:\n        raise ValueError('too bright')\n    return x\n\
        def nan(x):\n    return x / 0 * 0\n\
        def three(x, rng):\n    return np.zeros(3)\n\
        def four(x, rng, more, most):\n    return x\n\
        def scaled(x, theta, rng):\n    return x + theta * rng.standard_normal(2)\n\
        def ends(x, rng):\n    import os\n    os._exit(7)\n";

    fn children(directory: &Path, name: &str, block: u32, n_children: usize) -> NoiseChildren {
        let file = directory.join("noise.py");
        std::fs::write(&file, SOURCE).unwrap();
        let noise = ExternalNoise {
            function: PythonFunction {
                place: file.display().to_string(),
                name: name.to_owned(),
            },
            digest: String::new(),
            block,
            global_rng: false,
            row_limit_s: 60.0,
            setup_limit_s: 60.0,
        };
        let parameters = ["a", "b"].map(|name| Parameter {
            name: name.to_owned(),
            prior: Prior::Uniform {
                low: 0.0,
                high: 100.0,
            },
            periodic: false,
        });
        let space = ParameterSpace::independent(parameters.to_vec());
        NoiseChildren::new(&noise, &space, 2, n_children, None)
    }

    /// Of rows (0, 10), (1, 10), ..., each with a seed of its own, or of its block.
    fn add(children: &NoiseChildren, rows: std::ops::Range<u64>) -> Result<Vec<f64>, NoiseError> {
        let block = children.block().max(1) as u64;
        let simulated: Vec<f64> = rows.clone().flat_map(|row| [row as f64, 10.0]).collect();
        let theta: Vec<Vec<f64>> = rows.clone().map(|row| vec![row as f64, 0.0]).collect();
        let seed = |row: u64| u128::from(row - row % block + 1).to_le_bytes();
        let seeds = rows.clone().map(seed).collect();
        children.add(
            rows.start,
            &simulated,
            &theta,
            seeds,
            &AtomicBool::new(false),
        )
    }

    #[test]
    fn a_rows_noise_does_not_depend_on_who_comes_with_it() {
        if python_or_skip("numpy, pyarrow").is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        for (name, block) in [("normal", 0), ("many", 4)] {
            let [one, two] = [1, 2].map(|n| children(directory.path(), name, block, n));
            let whole = add(&one, 0..12).unwrap();
            assert_eq!(whole.len(), 24);
            let parts = [0..4, 4..12].map(|rows| add(&two, rows).unwrap());
            assert_eq!(parts.concat(), whole, "{name}");
            for pair in whole.chunks_exact(2).zip(0u8..) {
                let (x, row) = pair;
                let added = [x[0] - f64::from(row), x[1] - 10.0];
                assert!(
                    added.iter().all(|z| z.abs() < 5.0 && *z != 0.0),
                    "{added:?}"
                );
            }
            let first = |row: usize| whole[2 * row + 1];
            assert!((1..12).all(|row| first(row) != first(0)), "{name}");
        }
    }

    #[test]
    fn noise_may_go_by_the_parameters() {
        if python_or_skip("numpy, pyarrow").is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let plain = children(directory.path(), "normal", 0, 1);
        let scaled = children(directory.path(), "scaled", 0, 1);
        let (plain, scaled) = (add(&plain, 0..5).unwrap(), add(&scaled, 0..5).unwrap());
        for row in 0..5 {
            let scale = row as f64;
            let deviation = plain[2 * row] - scale;
            let gap = scaled[2 * row] - (scale + scale * deviation);
            assert!(gap.abs() < 1e-12, "row {row}: {gap}");
            assert_eq!(scaled[2 * row + 1], 10.0, "row {row}");
        }
    }

    #[test]
    fn a_function_without_noise_is_named() {
        if python_or_skip("numpy, pyarrow").is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        for (name, expected) in [
            (
                "raises",
                "noise.python noise.py:raises: ValueError: too bright (noise.py, line 8, in raises)",
            ),
            (
                "three",
                "noise.python noise.py:three: noise gave x of shape (3,), expected 2 numbers (noise.py, line 12, in three)",
            ),
            (
                "nan",
                "noise.python noise.py:nan: noise gave nan in x[0], expected finite numbers (noise.py, line 10, in nan)",
            ),
        ] {
            let children = children(directory.path(), name, 0, 1);
            let found = add(&children, 0..3).unwrap_err().to_string();
            assert_eq!(found, expected);
        }
        let ends = children(directory.path(), "ends", 0, 1);
        let found = add(&ends, 0..1).unwrap_err().to_string();
        let expected = "noise.python noise.py:ends: tried 3 times: ";
        assert!(found.starts_with(expected), "{found}");
        let four = children(directory.path(), "four", 0, 1);
        let found = four.start().unwrap_err().to_string();
        let expected = "noise takes 4 arguments without a default (noise.py, line 14, in four), expected 1 to 3: x, theta, rng";
        assert!(found.contains(expected), "{found}");
    }
}
