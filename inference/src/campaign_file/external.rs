//! Models in processes of their own: `python` and `command` in `[simulator]` and `[likelihood]`.

use super::choices::Choice;
use super::document::{Entry, Section};
use super::keys::external::{
    BLOBS, COMMAND, DIGEST, DIRECTORY, GLOBAL_RNG, PROTOCOL, PYTHON, SETUP_TIMEOUT, TIMEOUT,
    VECTORIZED,
};
use super::keys::file::{LIKELIHOOD, PRIOR, SIMULATOR};
use super::keys::joint::{FUNCTION, TRANSFORM};
use super::keys::likelihood::KIND;
use super::keys::simulator::OF_CATALOGUES;
use super::parameters::column_name;
use crate::base::files::FileError;
use crate::campaign::external::{ExternalModel, ExternalNoise, Program, PythonFunction, short};
use crate::campaign::model::{ModelId, ModelNoise, Origin};
use std::path::{Path, PathBuf};

/// Rows of each call of a vectorized function, unless a file says how many.
const DEFAULT_BLOCK: u32 = 256;

const FUNCTION_EXPECTED: &str = "\"model.py:name\" or \"package.module:name\"";

/// A model in processes of its own, as far as it could be read.
pub(super) struct External {
    pub id: ModelId,
    /// None where there is a mistake.
    pub model: Option<ExternalModel>,
    pub noise: ModelNoise,
    /// Whether it gives a log-likelihood and no data.
    pub is_alone: bool,
    /// Names of derived quantities.
    pub blobs: Vec<String>,
}

/// What the file says is run.
enum Run<'a> {
    Python {
        simulate: Option<Entry<'a>>,
        log_likelihood: Option<Entry<'a>>,
    },
    Command {
        command: Entry<'a>,
        simulates: bool,
    },
}

/// None where the file names none. What its files hold is looked at unless the file is a `recorded` one, which says it.
pub(super) fn external(root: &Section<'_>, directory: &Path, recorded: bool) -> Option<External> {
    let [simulator, likelihood] =
        [SIMULATOR, LIKELIHOOD].map(|key| root.get(&key).and_then(|entry| entry.section()));
    let run = match (run_of(&simulator), run_of(&likelihood)) {
        ((None, None), (None, None)) => return None,
        ((None, None), (python, command)) if simulator.is_some() => {
            for entry in [python, command].into_iter().flatten() {
                entry.mistake("expected [simulator] with python = \"...\" beside it, or no [simulator]");
            }
            return None;
        }
        ((simulate, None), (log_likelihood, None)) => Some(Run::Python {
            simulate,
            log_likelihood,
        }),
        ((None, Some(command)), (None, None)) => Some(Run::Command {
            command,
            simulates: true,
        }),
        ((None, None), (None, Some(command))) => Some(Run::Command {
            command,
            simulates: false,
        }),
        ((Some(_), Some(command)), _) | (_, (Some(_), Some(command))) => {
            command.refuse("found python and command, expected one of them")
        }
        (_, (_, Some(entry))) | ((_, Some(_)), (Some(entry), _)) => entry.refuse(
            "expected none beside a program in [simulator], which gives the log-likelihood too where likelihood.kind \
             is \"simulator\"",
        ),
    };
    let options = match (&simulator, &likelihood) {
        (Some(simulator), _) => simulator,
        (None, Some(likelihood)) => likelihood,
        (None, None) => return None,
    };
    if let Some(simulator) = &simulator {
        refuse_other_keys(simulator);
    }
    let own_likelihood = likelihood.as_ref().is_some_and(|section| {
        let kind = section.get(&KIND).and_then(|entry| entry.text());
        kind == Some(ModelNoise::Own.name())
    });
    let Some(run) = run else {
        return Some(External::unknown(Origin::Python));
    };
    let is_alone = match &run {
        Run::Python { simulate, .. } => simulate.is_none(),
        Run::Command { simulates, .. } => !simulates,
    };
    let (origin, gives_likelihood) = match &run {
        Run::Python { log_likelihood, .. } => (Origin::Python, log_likelihood.is_some()),
        Run::Command { simulates, .. } => (Origin::Command, own_likelihood || !simulates),
    };
    let blobs = options.optional(&BLOBS, |entry| {
        entry.each(&BLOBS.takes.words(), |item| {
            column_name(item).map(str::to_owned)
        })
    });
    let program = program(root, run, options, directory);
    let model = program.as_ref().and_then(|program| {
        let digest = digest(options, recorded, || program.digest());
        let settings = settings(options);
        let (digest, settings) = (digest?, settings?);
        Some(ExternalModel {
            program: program.clone(),
            digest,
            block: settings.block,
            global_rng: settings.global_rng,
            row_limit_s: settings.row_limit_s,
            setup_limit_s: settings.setup_limit_s,
        })
    });
    let name = program.as_ref().map_or_else(String::new, name);
    let (model, blobs) = match blobs {
        Some(blobs) => (model, blobs.unwrap_or_default()),
        None => (None, Vec::new()),
    };
    Some(External {
        id: ModelId {
            origin,
            name,
            version: 1,
        },
        model,
        noise: match gives_likelihood {
            true => ModelNoise::Own,
            false => ModelNoise::Gaussian,
        },
        is_alone,
        blobs,
    })
}

/// What `python` and `command` of a section say.
fn run_of<'a>(section: &Option<Section<'a>>) -> (Option<Entry<'a>>, Option<Entry<'a>>) {
    match section {
        Some(section) => (section.get(&PYTHON), section.get(&COMMAND)),
        None => (None, None),
    }
}

impl External {
    /// One that has mistakes.
    fn unknown(origin: Origin) -> Self {
        Self {
            id: ModelId {
                origin,
                name: String::new(),
                version: 1,
            },
            model: None,
            noise: ModelNoise::Gaussian,
            is_alone: false,
            blobs: Vec::new(),
        }
    }
}

/// `model.py:simulate`, `rv`
fn name(program: &Program) -> String {
    match program {
        Program::Python {
            simulate,
            log_likelihood,
            ..
        } => {
            let function = simulate.as_ref().or(log_likelihood.as_ref());
            function.map_or_else(String::new, PythonFunction::short_name)
        }
        Program::Command { command, .. } => command
            .first()
            .map_or_else(String::new, |program| short(program)),
    }
}

fn refuse_other_keys(simulator: &Section<'_>) {
    let known: Vec<&str> = simulator_keys().collect();
    for (name, entry) in simulator.entries() {
        if !known.contains(&name) {
            entry.mistake(format!(
                "no option of a model in a process of its own, these are {}",
                known.join(", ")
            ));
        }
    }
}

/// Of `[simulator]` with such a model.
fn simulator_keys() -> impl Iterator<Item = &'static str> {
    let catalogues = OF_CATALOGUES.map(|key| key.name);
    let is_grid = |name: &str| name == super::keys::simulator::GRID.name;
    SIMULATOR
        .takes
        .keys()
        .iter()
        .map(|key| key.name)
        .filter(move |name| is_grid(name) || !catalogues.contains(name))
}

fn program(
    root: &Section<'_>,
    run: Run<'_>,
    options: &Section<'_>,
    directory: &Path,
) -> Option<Program> {
    let transform = transform_entry(root);
    match run {
        Run::Python {
            simulate,
            log_likelihood,
        } => {
            for key in [PROTOCOL, DIRECTORY] {
                if let Some(entry) = options.get(&key) {
                    entry.mistake("expected none of a model in Python");
                }
            }
            let read = |entry: Option<Entry<'_>>| match entry {
                Some(entry) => function(&entry, directory).map(Some),
                None => Some(None),
            };
            let [simulate, log_likelihood, prior_transform] =
                [simulate, log_likelihood, transform].map(read);
            Some(Program::Python {
                simulate: simulate?,
                log_likelihood: log_likelihood?,
                prior_transform: prior_transform?,
            })
        }
        Run::Command { command, simulates } => {
            if let Some(entry) = transform {
                entry.mistake("expected none beside a program");
            }
            for key in [VECTORIZED, GLOBAL_RNG] {
                if let Some(entry) = options.get(&key) {
                    entry.mistake("expected none of a program");
                }
            }
            let words = command.each(&COMMAND.takes.words(), |item| {
                item.text().map(str::to_owned)
            })?;
            if words.first().is_none_or(String::is_empty) {
                return command.refuse("found no program, expected its name and its arguments");
            }
            let given = options.optional(&DIRECTORY, Entry::text)?;
            Some(Program::Command {
                command: words,
                directory: absolute(&directory.join(given.unwrap_or_default())),
                protocol: options.choice(&PROTOCOL)?,
                simulates,
            })
        }
    }
}

/// `prior.transform.python`
fn transform_entry<'a>(root: &Section<'a>) -> Option<Entry<'a>> {
    let prior = root.get(&PRIOR)?.section()?;
    prior.get(&TRANSFORM)?.section()?.get(&FUNCTION)
}

fn function(entry: &Entry<'_>, directory: &Path) -> Option<PythonFunction> {
    let text = entry.text()?;
    let Some(mut function) = PythonFunction::parse(text) else {
        return entry.refuse(format!("found {text:?}, expected {FUNCTION_EXPECTED}"));
    };
    if function.is_in_file() {
        let path = absolute(&directory.join(&function.place));
        function.place = path.display().to_string();
    }
    Some(function)
}

fn absolute(path: &Path) -> PathBuf {
    // Without a current directory the name stays what it is.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A function that adds noise, of `section`, where it stands at `python`; None where there is a mistake.
pub(super) fn noise(
    section: &Section<'_>,
    python: &Entry<'_>,
    directory: &Path,
    recorded: bool,
) -> Option<ExternalNoise> {
    let settings = settings(section);
    let function = function(python, directory)?;
    let digest = digest(section, recorded, || function.digest("noise"))?;
    let settings = settings?;
    Some(ExternalNoise {
        function,
        digest,
        block: settings.block,
        global_rng: settings.global_rng,
        row_limit_s: settings.row_limit_s,
        setup_limit_s: settings.setup_limit_s,
    })
}

/// The digest of what the files hold, held against the one that is given; what is `recorded` is believed.
fn digest(
    options: &Section<'_>,
    recorded: bool,
    found: impl FnOnce() -> Result<String, FileError>,
) -> Option<String> {
    if recorded {
        let digest = options.require(&DIGEST, "the digest of its files")?;
        return digest.text().map(str::to_owned);
    }
    let found = options.accept(found())?;
    let check = |entry: &Entry<'_>| match entry.text()? == found {
        true => Some(()),
        false => entry.refuse(format!(
            "the model's files have {found}, expected this digest or none"
        )),
    };
    options.optional(&DIGEST, check)?;
    Some(found)
}

/// How functions and programs are treated.
struct Settings {
    block: u32,
    global_rng: bool,
    row_limit_s: f64,
    setup_limit_s: f64,
}

fn settings(options: &Section<'_>) -> Option<Settings> {
    let block = options.optional(&VECTORIZED, |entry| match entry.value().is_bool() {
        true => Some(if entry.boolean()? { DEFAULT_BLOCK } else { 0 }),
        false => entry.whole(),
    });
    let global_rng = options.boolean(&GLOBAL_RNG);
    let (row_limit_s, setup_limit_s) = (options.number(&TIMEOUT), options.number(&SETUP_TIMEOUT));
    Some(Settings {
        block: block?.unwrap_or(0),
        global_rng: global_rng?,
        row_limit_s: row_limit_s?,
        setup_limit_s: setup_limit_s?,
    })
}
