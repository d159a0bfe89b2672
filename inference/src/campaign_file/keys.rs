//! All keys of the campaign file, each declared once.

use super::choices::{FeaturizerKind, FlowKind, LossKind, names};
use super::defaults::MOST_STAGES_OF_ANY;
use super::key::Interval::{All, Between, Positive, PositiveUpTo};
use super::key::KeyDefault::{Nothing, Required, Value, Words};
use super::key::Takes::{
    Any, Boolean, Choice, Number, Numbers, OneOf, Rows, Table, Tables, Text, TextByKey, Texts,
    Whole, Word,
};
pub use super::key::{Interval, Key, KeyDefault, Takes};
use crate::campaign::external::Protocol;
use crate::campaign::model::{ModelNoise, Origin};
use crate::campaign::{
    Combine, DeviceChoice, MOST_WORKERS, Misfit, Missing, Normalization, SLICE_ROWS, StopRule,
};

const fn key(name: &'static str, takes: Takes, default: KeyDefault, about: &'static str) -> Key {
    Key {
        name,
        takes,
        default,
        may_change: false,
        about,
    }
}

/// TOML promises whole numbers up to here.
pub(super) const MOST_WHOLE: u64 = i64::MAX as u64;
/// Fewer simulations in a round than this teach a network nothing.
pub(super) const FEWEST_SIMULATIONS: u64 = 32;
pub(super) const MOST_SIMULATIONS: u64 = 1_000_000_000_000;
/// Longest data.
const MOST_DATA: u64 = 10_000_000;
/// Largest number of units, channels or features of a layer.
const UNITS: Takes = Whole(1, 4096);
const LAYER_COUNT: Takes = Whole(1, 100);
/// Bins have a least width of a thousandth of the spline's interval.
const MOST_BINS: u64 = 100;
/// Where a spline's tails begin, in standard deviations of the rows that a flow is fitted to: farther out than this no
/// row is, nearer none is left to the bins.
const TAIL_BOUNDS: Takes = Number(Between(0.1, 1000.0));
/// e to a larger power, in each of a few blocks, is beyond what 32-bit numbers hold; less than this scales nothing.
const MAX_LOG_SCALES: Takes = Number(Between(0.01, 20.0));
/// Atoms are taken from the rows that one thread works on.
const MOST_ATOMS: u64 = SLICE_ROWS as u64;

/// The file itself.
#[rustfmt::skip]
#[expect(missing_docs, reason = "each key says what it is about")]
pub mod file {
    use super::*;

    pub const NAME: Key = key("name", Text, Required, "names the campaign");
    pub const SEED: Key = key("seed", Whole(0, MOST_WHOLE), Value("0"), "of all randomness");
    pub const PARAMETERS: Key = key("parameters", Tables(parameters::KEYS), Words("required, unless [prior] has a transform"),
        "the parameters and their priors");
    pub const PRIOR: Key = key("prior",
        OneOf(joint::KEYS, "multivariate_normal = { mean = [...], covariance = [[...], ...] } or transform = { python = \
            \"...\", names = [...] }"), Nothing,
        "one joint prior of all parameters that have none of their own, in their order, or a prior transform");
    pub const SIMULATOR: Key = key("simulator", Table(simulator::KEYS),
        Words("required, unless [likelihood] has a function or a program"), "the forward model and its options");
    pub const OBSERVATION: Key = key("observation", Table(observation::KEYS), Nothing,
        "the data; without them a model for any observation is trained");
    pub const LIKELIHOOD: Key = key("likelihood", Table(likelihood::KEYS), Nothing,
        "the likelihood, where it does not follow from the model");
    pub const NOISE: Key = key("noise", Table(noise::KEYS), Nothing,
        "noise and likelihood of models that draw none of their own, or noise of training alone");
    pub const FEATURIZER: Key = key("featurizer", Table(featurizer::KEYS), Nothing,
        "the network that summarizes the data");
    pub const FLOW: Key = key("flow", Table(flow::KEYS), Nothing, "the density that proposals are drawn from");
    pub const TRAINING: Key = key("training", Table(training::KEYS), Nothing, "how flows are fitted");
    pub const ROUNDS: Key = key("rounds", Table(rounds::KEYS), Nothing, "how much is simulated, and when it ends");
    pub const WORKERS: Key = key("workers", Table(workers::KEYS), Nothing, "who simulates");
    pub const TRUST: Key = key("trust", Table(trust::KEYS), Nothing, "what a result is held to");

    pub const KEYS: &[Key] = &[
        NAME, SEED, PARAMETERS, PRIOR, SIMULATOR, OBSERVATION, LIKELIHOOD, NOISE, FEATURIZER, FLOW, TRAINING, ROUNDS,
        WORKERS, TRUST,
    ];
}

/// `[[parameters]]`
#[rustfmt::skip]
pub(crate) mod parameters {
    use super::*;

    pub const NAME: Key = key("name", Text, Required, "letters, digits and _, a letter first");
    pub const PRIOR: Key = key("prior", OneOf(PRIORS, "a prior such as { uniform = { low = 0.0, high = 1.0 } }"),
        Words("required, but for parameters of a joint one"),
        "the parameter's own prior");
    pub const PERIODIC: Key = key("periodic", Boolean, Value("false"),
        "whether the bounds of its uniform prior are one and the same point");
    pub const TRUTH: Key = key("truth", Number(All), Nothing,
        "the true value, where it is known: for pictures only").may_change();

    pub const KEYS: &[Key] = &[NAME, PRIOR, PERIODIC, TRUTH];

    pub const UNIFORM: Key = key("uniform", Table(&[LOW, HIGH]), Nothing, "the same density from low to high");
    pub const NORMAL: Key = key("normal", Table(&[MEAN, SD]), Nothing, "normal");
    pub const TRUNCATED_NORMAL: Key = key("truncated_normal", Table(&[MEAN, SD, OPEN_LOW, OPEN_HIGH]), Nothing,
        "normal from low to high, 0 beyond");
    pub const LOG_NORMAL: Key = key("log_normal", Table(&[MEAN, SD]), Nothing,
        "normal in the logarithm, with its mean and sd");
    pub const LOG_UNIFORM: Key = key("log_uniform", Table(&[POSITIVE_LOW, POSITIVE_HIGH]), Nothing,
        "uniform in the logarithm");
    pub const BETA: Key = key("beta", Table(&[ALPHA, BETA_EXPONENT, UNIT_LOW, UNIT_HIGH]), Nothing,
        "beta, stretched to low to high");

    pub const FIXED: Key = key("fixed", Number(All), Nothing, "this number, always");

    pub const SAMPLES: Key = key("samples", Any(&[Text, Table(samples::KEYS)], "the path of a file, or a table with path"),
        Nothing, "a density that is fitted to a file's weighted samples");

    const PRIORS: &[Key] = &[FIXED, UNIFORM, NORMAL, TRUNCATED_NORMAL, LOG_NORMAL, LOG_UNIFORM, BETA, SAMPLES];

    pub const LOW: Key = key("low", Number(All), Required, "lower bound");
    pub const HIGH: Key = key("high", Number(All), Required, "upper bound");
    pub const POSITIVE_LOW: Key = key("low", Number(Positive), Required, "lower bound");
    pub const POSITIVE_HIGH: Key = key("high", Number(Positive), Required, "upper bound");
    pub const OPEN_LOW: Key = key("low", Number(All), Words("none, that is mean - 40 sd"), "lower bound");
    pub const OPEN_HIGH: Key = key("high", Number(All), Words("none, that is mean + 40 sd"), "upper bound");
    pub const UNIT_LOW: Key = key("low", Number(All), Value("0"), "lower bound");
    pub const UNIT_HIGH: Key = key("high", Number(All), Value("1"), "upper bound");
    pub const MEAN: Key = key("mean", Number(All), Required, "mean");
    pub const SD: Key = key("sd", Number(Positive), Required, "standard deviation");
    pub const ALPHA: Key = key("alpha", Number(Positive), Required, "one more than the exponent at low");
    pub const BETA_EXPONENT: Key = key("beta", Number(Positive), Required, "one more than the exponent at high");
}

/// `samples` in a prior.
#[rustfmt::skip]
pub(crate) mod samples {
    use super::*;

    pub const PATH: Key = key("path", Text, Nothing, "a table of samples: Parquet, text with a header, ECSV or FITS");
    pub const COLUMN: Key = key("column", Text, Words("the parameter's name"), "the column of the samples");
    pub const WEIGHTS: Key = key("weights", Text, Words("\"weight\", where there is one"), "the column of their weights");
    pub const LOW: Key = key("low", Number(All), Nothing, "lower bound of the density");
    pub const HIGH: Key = key("high", Number(All), Nothing, "upper bound of the density");
    pub const DIGEST: Key = key("digest", Text, Nothing, "SHA-256 of the file; written beside what was fitted to it");
    pub const REACH: Key = key("reach", Number(Positive), Nothing, "z of the last of values, and less that of the first");
    pub const VALUES: Key = key("values", Numbers(All), Nothing, "what was fitted: the parameter at equal distances in z");
    pub const CORRELATIONS: Key = key("correlations", Numbers(All), Nothing,
        "what was fitted: of z with those of earlier parameters of the same file");

    pub const KEYS: &[Key] = &[PATH, COLUMN, WEIGHTS, LOW, HIGH, DIGEST, REACH, VALUES, CORRELATIONS];

    /// The column of weights where none is named.
    pub const WEIGHT: &str = "weight";
}

/// `[prior]`
#[rustfmt::skip]
pub(crate) mod joint {
    use super::*;

    pub const MULTIVARIATE_NORMAL: Key = key("multivariate_normal", Table(&[MEAN, COVARIANCE, PRECISION]), Nothing,
        "a multivariate normal, by its covariance or its precision");
    pub const MEAN: Key = key("mean", Numbers(All), Required, "one number a parameter");
    pub const COVARIANCE: Key = key("covariance", Rows(All), Nothing, "one row a parameter");
    pub const PRECISION: Key = key("precision", Rows(All), Nothing, "the inverse of the covariance");

    pub const TRANSFORM: Key = key("transform", Table(&[FUNCTION, NAMES, PERIODIC_NAMES]), Nothing,
        "a function in Python from the unit cube to the parameters, in place of [[parameters]]");
    pub const FUNCTION: Key = key("python", Text, Required, "\"model.py:prior_transform\"").may_change();
    pub const NAMES: Key = key("names", Texts, Required, "of the parameters that it gives");
    pub const PERIODIC_NAMES: Key = key("periodic", Texts, Nothing,
        "those of them whose coordinate of the cube is a circle");

    pub const KEYS: &[Key] = &[MULTIVARIATE_NORMAL, TRANSFORM];
}

/// `[simulator]`, to which come the options of the model.
#[rustfmt::skip]
pub(crate) mod simulator {
    use super::*;

    pub const BUILTIN: Key = key(Origin::Builtin.key(), Text, Words("required, or another of these"), "a model of every program");
    pub const GUEST: Key = key(Origin::Guest.key(), Text, Nothing, "a model of the program's own");
    pub const VERSION: Key = key("version", Whole(1, u32::MAX as u64), Words("the program's"),
        "the model's version, refused where the program's model has another");
    pub const GRID: Key = key("grid",
        Any(&[Numbers(All), Table(&[START, STOP, COUNT])], "a list of numbers or { start, stop, count }"),
        Words("the observation's grid"),
        "what the data lie on, where there is no observation");

    pub use super::external::{
        BLOBS, COMMAND, DIGEST, DIRECTORY, GLOBAL_RNG, PROTOCOL, PYTHON, SETUP_TIMEOUT, TIMEOUT, VECTORIZED,
    };

    /// Of the models that a program has.
    pub const OF_CATALOGUES: [Key; 4] = [BUILTIN, GUEST, VERSION, GRID];
    pub const KEYS: &[Key] = &[
        BUILTIN, GUEST, VERSION, GRID, PYTHON, COMMAND, DIRECTORY, PROTOCOL, DIGEST, VECTORIZED, BLOBS, GLOBAL_RNG, TIMEOUT,
        SETUP_TIMEOUT,
    ];

    /// An option of a model that nobody here knows.
    pub const OPTION: Takes = Any(
        &[Text, Whole(0, MOST_WHOLE), Number(All), Numbers(All), Rows(All)],
        "text, a number or a list",
    );

    pub const START: Key = key("start", Number(All), Required, "the first point");
    pub const STOP: Key = key("stop", Number(All), Required, "the last point");
    pub const COUNT: Key = key("count", Whole(2, MOST_DATA), Required, "how many points");
}

/// `[observation]`
#[rustfmt::skip]
pub(crate) mod observation {
    use super::*;

    pub const PATH: Key = key("path", Text, Nothing, "a table: text with a header, ECSV, or FITS");
    pub const GRID: Key = key("grid", Numbers(All), Nothing, "the numbers themselves, in place of path");
    pub const VALUE: Key = key("value", Numbers(All), Nothing, "the numbers themselves, in place of path");
    pub const SIGMA: Key = key("sigma", Numbers(Positive), Nothing, "the numbers themselves, in place of path");
    pub const COLUMNS: Key = key("columns", Table(&[GRID_NAME, VALUE_NAME, SIGMA_NAME]), Words("by name"),
        "which column of the file is what").may_change();
    pub const MISSING: Key = key("missing", Choice(names::<Missing>), Value("\"refuse\""),
        "what becomes of rows in which a number is missing").may_change();
    pub const HDU: Key = key("hdu", Any(&[Text, Whole(0, u32::MAX as u64)], "text in quotes or a whole number"),
        Words("the first binary table"),
        "of a FITS file: EXTNAME, or number from 0, the primary HDU").may_change();

    pub const KEYS: &[Key] = &[PATH, GRID, VALUE, SIGMA, COLUMNS, MISSING, HDU];
    /// Those that make an observation.
    pub const DATA: [Key; 4] = [PATH, GRID, VALUE, SIGMA];
    /// Those that say how files are read.
    pub const READING: [Key; 3] = [COLUMNS, MISSING, HDU];

    pub const GRID_NAME: Key = key(GRID.name, Text, Nothing, "the name of its column");
    pub const VALUE_NAME: Key = key(VALUE.name, Text, Nothing, "the name of its column");
    pub const SIGMA_NAME: Key = key(SIGMA.name, Text, Nothing, "the name of its column");
}

/// `[likelihood]`
#[rustfmt::skip]
pub(crate) mod likelihood {
    use super::*;

    pub const KIND: Key = key("kind", Choice(names::<ModelNoise>), Words("by the model"),
        "gaussian: the density of the noise; simulator: the model gives it");

    pub const LINEAR: Key = key("linear", Texts, Nothing,
        "parameters with normal priors that the data are linear in: they are integrated out, and drawn given the others");

    pub use super::external::{
        BLOBS, COMMAND, DIGEST, DIRECTORY, GLOBAL_RNG, PROTOCOL, PYTHON, SETUP_TIMEOUT, TIMEOUT, VECTORIZED,
    };

    pub const KEYS: &[Key] = &[
        KIND, LINEAR, PYTHON, COMMAND, DIRECTORY, PROTOCOL, DIGEST, VECTORIZED, BLOBS, GLOBAL_RNG, TIMEOUT, SETUP_TIMEOUT,
    ];
}

/// In `[simulator]` and `[likelihood]`: models in processes of their own.
#[rustfmt::skip]
pub(crate) mod external {
    use super::*;

    pub const PYTHON: Key = key("python", Text, Nothing,
        "a function in Python: \"model.py:simulate\", or \"package.module:simulate\"").may_change();
    pub const COMMAND: Key = key("command", Texts, Nothing, "a program and its arguments").may_change();
    pub const DIRECTORY: Key = key("directory", Text, Words("of the campaign file"),
        "in which the program is started").may_change();
    pub const PROTOCOL: Key = key("protocol", Choice(names::<Protocol>), Value("\"arrow\""),
        "how the program is talked to");
    pub const DIGEST: Key = key("digest", Text, Words("of the files"),
        "SHA-256 of the model's files, refused where they have another").may_change();
    pub const VECTORIZED: Key = key("vectorized",
        Any(&[Boolean, Whole(1, MOST_BLOCK)], "true, false, or how many rows a call"), Value("false"),
        "whether functions take many rows at once; true: 256");
    pub const BLOBS: Key = key("blobs", Texts, Nothing, "names of derived quantities that come with each row");
    pub const GLOBAL_RNG: Key = key("global_rng", Boolean, Value("false"),
        "whether the global generators of numpy and Python are seeded for each call");
    pub const TIMEOUT: Key = key("timeout", Number(PositiveUpTo(MOST_SECONDS)), Value("600"),
        "seconds that one row may take").may_change();
    pub const SETUP_TIMEOUT: Key = key("setup_timeout", Number(PositiveUpTo(MOST_SECONDS)), Value("300"),
        "seconds to the first answer of a process").may_change();

    const MOST_BLOCK: u64 = 1 << 20;
    const MOST_SECONDS: f64 = 1e7;
}

/// `[noise]`
#[rustfmt::skip]
pub(crate) mod noise {
    use super::*;

    pub const GAUSSIAN: Key = key("gaussian", Table(&[SIGMA, JITTER, OFFSET, BY]), Nothing,
        "independent Gaussian noise");
    pub const SIGMA: Key = key("sigma", Any(
            &[Word(OBSERVED), Number(Positive), OneOf(DRAWN, SIGMA_WORDS)],
            SIGMA_WORDS,
        ), Value("\"observed\""),
        "standard deviation of the noise, and of the likelihood");

    pub const JITTER: Key = key("jitter", Any(&[Text, TextByKey], TERM_WORDS), Nothing,
        "a parameter whose square is added to that of sigma, or one by the values of a column");
    pub const OFFSET: Key = key("offset", Any(&[Text, TextByKey], TERM_WORDS), Nothing,
        "a parameter that is added to the model's data, or one by the values of a column");
    pub const BY: Key = key("by", Any(&[Text, Texts], BY_WORDS), Words("\"instrument\""),
        "the column of the observation that jitter and offset go by, or what stands in it, one text a datum");
    pub const PYTHON: Key = key("python", Text, Nothing,
        "a function in Python that adds noise in training, anew in every epoch: \"noise.py:add_noise\"").may_change();

    pub use super::external::{DIGEST, GLOBAL_RNG, SETUP_TIMEOUT, TIMEOUT, VECTORIZED};

    /// Of a function in Python.
    pub const OPTIONS: [Key; 5] = [DIGEST, VECTORIZED, GLOBAL_RNG, TIMEOUT, SETUP_TIMEOUT];
    pub const KEYS: &[Key] = &[GAUSSIAN, PYTHON, DIGEST, VECTORIZED, GLOBAL_RNG, TIMEOUT, SETUP_TIMEOUT];

    pub const GAUSSIAN_WORDS: &str = "a table { sigma = ... }";
    /// The column that terms go by where none is named.
    pub const INSTRUMENT: &str = "instrument";
    const TERM_WORDS: &str = "the name of a parameter, or a table of such names by the values of a column";
    const BY_WORDS: &str = "the name of a column of the observation, or a list of texts, one a datum";

    pub const UNIFORM: Key = key("uniform", Table(&[LOW, HIGH]), Nothing, "one sigma a simulation, uniform");
    pub const LOG_UNIFORM: Key = key("log_uniform", Table(&[LOW, HIGH]), Nothing,
        "one sigma a simulation, uniform in the logarithm");
    pub const TABLE: Key = key("table",
        Any(&[Rows(Positive), Text], "a list of rows, or a CSV file without a header"), Nothing,
        "rows of real error bars, one of them a simulation");

    /// The observation's own.
    pub const OBSERVED: &str = "observed";
    const DRAWN: &[Key] = &[UNIFORM, LOG_UNIFORM, TABLE];
    const SIGMA_WORDS: &str = "\"observed\", a positive number, or { uniform = { low, high } }, \
        { log_uniform = { low, high } } or { table = \"sigmas.csv\" }";

    pub use super::parameters::{POSITIVE_HIGH as HIGH, POSITIVE_LOW as LOW};
}

/// `[featurizer]`
#[rustfmt::skip]
pub(crate) mod featurizer {
    use super::*;

    pub const KIND: Key = key("kind", Choice(names::<FeaturizerKind>), Words("\"resnet\", \"mlp\" up to 16 data"),
        "which network; resnet-gru is the paper's");
    pub const CHANNELS: Key = key("channels", UNITS, Words("32 (16 of \"resnet-gru\")"), "channels of a convolution");
    pub const STAGES: Key = key("stages", Whole(0, MOST_STAGES_OF_ANY), Words("from the data"),
        "how often convolutions halve the data's length");
    pub const HIDDEN: Key = key("hidden", UNITS, Value("64"), "units of the GRU, or of a layer");
    pub const LAYERS: Key = key("layers", LAYER_COUNT, Value("2"), "hidden layers");
    pub const FEATURES: Key = key("features", UNITS, Words("from the parameters"),
        "how many numbers summarize the data");
    pub const NORMALIZATION: Key = key("normalization", Choice(names::<Normalization>), Value("\"weight\""),
        "of the convolutions");

    pub const KEYS: &[Key] = &[KIND, CHANNELS, STAGES, HIDDEN, LAYERS, FEATURES, NORMALIZATION];
    pub const OF_RESNET_GRU: &[Key] = &[CHANNELS, STAGES, HIDDEN, FEATURES, NORMALIZATION];
    pub const OF_RESNET: &[Key] = &[CHANNELS, STAGES, FEATURES, NORMALIZATION];
    pub const OF_GRU: &[Key] = &[HIDDEN, FEATURES];
    pub const OF_MLP: &[Key] = &[LAYERS, HIDDEN, FEATURES];
}

/// `[flow]`
#[rustfmt::skip]
#[expect(missing_docs, reason = "each key says what it is about")]
pub mod flow {
    use super::*;

    pub const KIND: Key = key("kind", Choice(names::<FlowKind>), Value("\"maf\""),
        "masked autoregressive flow, or neural spline flow, autoregressive or with coupling");
    pub const BLOCKS: Key = key("blocks", LAYER_COUNT, Words("from the parameters"),
        "how many transforms follow each other");
    pub const HIDDEN: Key = key("hidden", UNITS, Words("from the parameters"),
        "units of a hidden layer, at least one a parameter");
    pub const LAYERS: Key = key("layers", LAYER_COUNT, Value("2"), "hidden layers of a block");
    pub const COMPONENTS: Key = key("components", Whole(1, 1000), Value("8"), "maf: Gaussians of the base");
    pub const BINS: Key = key("bins", Whole(2, MOST_BINS), Value("8"), "nsf, nsf-coupling: bins of a spline");
    pub const TAIL_BOUND: Key = key("tail_bound", TAIL_BOUNDS, Value("5"),
        "nsf, nsf-coupling: where a spline's linear tails begin");
    pub const MAX_LOG_SCALE: Key = key("max_log_scale", MAX_LOG_SCALES, Words("5 (3 with spline flows)"),
        "bound of a block's log-scale");

    pub const KEYS: &[Key] = &[KIND, BLOCKS, HIDDEN, LAYERS, COMPONENTS, BINS, TAIL_BOUND, MAX_LOG_SCALE];
    pub const OF_MAF: &[Key] = &[BLOCKS, HIDDEN, LAYERS, COMPONENTS, MAX_LOG_SCALE];
    pub const OF_SPLINES: &[Key] = &[BLOCKS, HIDDEN, LAYERS, BINS, TAIL_BOUND, MAX_LOG_SCALE];
}

/// `[training]`
#[rustfmt::skip]
#[expect(missing_docs, reason = "each key says what it is about")]
pub mod training {
    use super::*;

    pub const DEVICE: Key = key("device", Choice(names::<DeviceChoice>), Value("\"auto\""),
        "where flows are fitted to simulations; auto: a GPU where there is a real one").may_change();
    pub const BATCH_SIZE: Key = key("batch_size", Whole(1, 1_000_000), Value("64"), "rows of a minibatch");
    pub const LEARNING_RATE: Key = key("learning_rate", Number(Positive), Words("0.002 (0.001 with spline flows)"),
        "at the start, on simulations; cosine decay");
    pub const MAX_EPOCHS: Key = key("max_epochs", Whole(1, 1_000_000), Value("100"), "most epochs of a training");
    pub const PATIENCE: Key = key("patience", Whole(1, 1_000_000), Value("30"),
        "epochs without a better validation loss before it stops");
    pub const VALIDATION_FRACTION: Key = key("validation_fraction", Number(PositiveUpTo(0.5)), Value("0.1"),
        "share of the rows held out");
    pub const CLIP_NORM: Key = key("clip_norm", Number(Positive), Value("5"), "largest norm of the gradient");
    pub const ROUNDS: Key = key("rounds", Whole(1, 10_000), Value("4"),
        "the newest rounds whose simulations a flow is trained on");
    pub const LOSS: Key = key("loss", Choice(names::<LossKind>), Value("\"nll\""),
        "what flows fitted to simulations minimize");
    pub const ATOMS: Key = key("atoms", Whole(2, MOST_ATOMS), Value("10"),
        "of the loss apt: parameter vectors, a row's own among them, that it is told from");
    pub const REFINEMENT: Key = key("refinement", Boolean, Value("true"),
        "whether later flows are fitted to the weighted draws of all rounds");
    pub const SURROGATE: Key = key("surrogate", Boolean, Value("false"),
        "whether a surrogate of the forward model leads the first proposals, where there can be one");

    pub const KEYS: &[Key] = &[
        DEVICE, BATCH_SIZE, LEARNING_RATE, MAX_EPOCHS, PATIENCE, VALIDATION_FRACTION, CLIP_NORM, ROUNDS, LOSS, ATOMS,
        REFINEMENT, SURROGATE,
    ];
}

/// `[rounds]`
#[rustfmt::skip]
#[expect(missing_docs, reason = "each key says what it is about")]
pub mod rounds {
    use super::*;

    pub const MAX: Key = key("max", Whole(1, 10_000), Words("50 (1 without an observation)"),
        "rounds that a flow is trained on; without stop.simulations, as many of one size are the budget").may_change();
    pub const SIMULATIONS: Key = key("simulations", Whole(FEWEST_SIMULATIONS, MOST_SIMULATIONS),
        Words("1280 (12800 without an observation)"),
        "of the first round, and the most of many a later one");
    pub const DEFENSIVE_SHARE: Key = key("defensive_share", Number(Between(0.0, 0.5)), Value("0.1"),
        "share of a round drawn from the prior and earlier flows");
    pub const COMBINE: Key = key("combine", Choice(names::<Combine>), Value("\"fresh\""),
        "how the rounds' weights are combined");
    pub const STOP: Key = key("stop", Table(stop::KEYS), Nothing, "targets and budgets");

    pub const KEYS: &[Key] = &[MAX, SIMULATIONS, DEFENSIVE_SHARE, COMBINE, STOP];
}

/// `[rounds.stop]`
#[rustfmt::skip]
pub(crate) mod stop {
    use super::*;

    pub const RULE: Key = key("rule", Choice(names::<StopRule>), Value("\"bootstrap\""),
        "bootstrap: until a target or the budget is reached; paper: Algorithm 1 to the letter").may_change();
    pub const N_EFF: Key = key("n_eff", Number(Positive), Nothing,
        "stop at this n_eff of all rounds together").may_change();
    pub const EFFICIENCY: Key = key("efficiency", Number(PositiveUpTo(1.0)), Nothing,
        "stop at this efficiency of a round").may_change();
    pub const SIMULATIONS: Key = key("simulations", Whole(1, MOST_SIMULATIONS), Words("see rounds.max"),
        "most simulations in total").may_change();
    pub const WALL_TIME: Key = key("wall_time",
        Any(&[Number(Positive), Text], "seconds or a time such as \"90s\", \"45m\", \"2h\" or \"1d12h\""), Nothing,
        "most seconds since the campaign's first start, or a time such as \"1d12h\"").may_change();
    pub const TOP_UP: Key = key("top_up", Whole(0, MOST_SIMULATIONS),
        Words("rounds.simulations where n_eff is given, else 0"),
        "most simulations of the round of fresh draws after the stop").may_change();

    pub const KEYS: &[Key] = &[RULE, N_EFF, EFFICIENCY, SIMULATIONS, WALL_TIME, TOP_UP];
}

/// `[workers]`
#[rustfmt::skip]
pub(crate) mod workers {
    use super::*;

    pub const COUNT: Key = key("count", Whole(1, MOST_WORKERS as u64), Words("one a core"),
        "simulations at a time").may_change();
    pub const BATCH_ROWS: Key = key("batch_rows", Whole(1, MOST_SIMULATIONS), Words("by measured time"),
        "rows handed to a worker at once").may_change();

    pub const PYTHON: Key = key("python", Text, Words("of the active environment"),
        "the interpreter that runs functions in Python").may_change();

    pub const KEYS: &[Key] = &[COUNT, BATCH_ROWS, PYTHON];
}

/// `[trust]`
#[rustfmt::skip]
pub(crate) mod trust {
    use super::*;

    pub const MISFIT: Key = key("misfit", Choice(names::<Misfit>), Value("\"fail\""),
        "what a model is that does not fit the data: fail, a result not to be trusted; warn, said and no more");

    pub const KEYS: &[Key] = &[MISFIT];
}

impl FeaturizerKind {
    /// Its keys beside `kind`.
    pub(super) fn options(self) -> &'static [Key] {
        match self {
            Self::ResnetGru => featurizer::OF_RESNET_GRU,
            Self::Resnet => featurizer::OF_RESNET,
            Self::Gru => featurizer::OF_GRU,
            Self::Mlp => featurizer::OF_MLP,
        }
    }
}

impl FlowKind {
    /// Its keys beside `kind`.
    pub(super) fn options(self) -> &'static [Key] {
        match self {
            Self::Maf => flow::OF_MAF,
            Self::Nsf | Self::NsfCoupling => flow::OF_SPLINES,
        }
    }
}
