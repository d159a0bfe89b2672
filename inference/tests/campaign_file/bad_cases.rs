//! Mistakes in campaign files and the messages that they get.

/// A change to [`SINE`](super::SINE) (text that is replaced, and its replacement; text that is added where there is
/// nothing to replace) and all messages that follow from it.
pub(super) type Case = (&'static str, &'static str, &'static [&'static str]);

pub(super) const TOP_LEVEL: &[Case] = &[
    (
        "name = \"test\"",
        "",
        &["c.toml: name: missing, expected the campaign's name"],
    ),
    (
        "name = \"test\"",
        "name = 3",
        &["c.toml:1: name: found 3, expected text in quotes"],
    ),
    (
        "name = \"test\"",
        "name = \"a/b\"",
        &[
            "c.toml:1: name: found \"a/b\", expected 1 to 100 characters, no slashes or control characters",
        ],
    ),
    (
        "name = \"test\"",
        "name = \"test\"\nseed = -1",
        &["c.toml:2: seed: found -1, expected a whole number from 0 to 9223372036854775807"],
    ),
    (
        "name = \"test\"",
        "name = \"test\"\nseeed = 1",
        &["c.toml:2: seeed: unknown key, did you mean seed?"],
    ),
    (
        "",
        "[round]\nmax = 2",
        &["c.toml:15: round: unknown key, did you mean rounds?"],
    ),
    (
        "",
        "[zzz]",
        &[
            "c.toml:15: zzz: unknown key, expected one of name, seed, parameters, prior, simulator, observation, likelihood, \
        noise, featurizer, flow, training, rounds, workers, trust",
        ],
    ),
    (
        "",
        "workers = 3",
        &[
            "c.toml:15: observation.workers: unknown key, expected one of path, grid, value, sigma, \
           columns, missing, hdu",
        ],
    ),
    (
        "",
        "[trust]\nmisfit = \"ignore\"",
        &["c.toml:16: trust.misfit: found \"ignore\", expected one of fail, warn"],
    ),
    (
        "",
        "[trust]\nmisfits = \"warn\"",
        &["c.toml:16: trust.misfits: unknown key, did you mean misfit?"],
    ),
    ("", "[noise", &["c.toml:15: unclosed table, expected `]`"]),
    (
        "name = \"test\"",
        "name = \"test\"\nname = \"again\"",
        &["c.toml:2: duplicate key"],
    ),
];

pub(super) const PARAMETERS: &[Case] = &[
    (
        "low = 0.0, high = 6.25",
        "low = 7.0, high = 6.25",
        &["c.toml:4: parameters[0].prior.uniform: low 7 is not below high 6.25"],
    ),
    (
        "low = 0.0, high = 6.25",
        "low = 6.25, high = 6.25",
        &["c.toml:4: parameters[0].prior.uniform: low 6.25 is not below high 6.25"],
    ),
    (
        "low = 0.0, high = 6.25",
        "low = 0.0, high = 5e-324",
        &[
            "c.toml:4: parameters[0].prior.uniform: low 0.0 to high 5e-324 is too narrow, expected at least 1e-300 between \
             them",
        ],
    ),
    (
        "low = 0.0, high = 6.25",
        "low = -1e308, high = 1.2e308",
        &["c.toml:4: parameters[0].prior.uniform: low is -1e308, expected -1e300 to 1e300"],
    ),
    (
        "normal = { mean = 0.0, sd = 2 }",
        "truncated_normal = { mean = 0.0, sd = 1.0, low = 50, high = 60 }",
        &[
            "c.toml:7: parameters[1].prior.truncated_normal: low 50 to high 60 lies 50.0 sd from mean 0; at most 37 are \
             possible",
        ],
    ),
    (
        "log_uniform = { low = 6.0",
        "log_uniform = { low = 5e-324",
        &["c.toml:10: parameters[2].prior.log_uniform: low is 5e-324, expected at least 1e-300"],
    ),
    (
        "low = 0.0, high = 6.25",
        "low = nan, high = \"6\"",
        &[
            "c.toml:4: parameters[0].prior.uniform.low: found nan, expected a finite number",
            "c.toml:4: parameters[0].prior.uniform.high: found \"6\", expected a number",
        ],
    ),
    (
        "low = 0.0, high = 6.25",
        "low = 0.0, hihg = 6.25",
        &[
            "c.toml:4: parameters[0].prior.uniform.hihg: unknown key, did you mean high?",
            "c.toml:4: parameters[0].prior.uniform.high: missing, expected a number",
        ],
    ),
    (
        "{ normal = { mean = 0.0, sd = 2 } }",
        "{ normal = { mean = 0.0, sd = 2 } }\nperiodic = true",
        &[
            "c.toml:8: parameters[1].periodic: found true, expected it of a parameter with a uniform prior only",
        ],
    ),
    (
        "low = 0.0, high = 6.25 } }",
        "low = 0.0, high = 6.25 } }\ntruth = 6.5",
        &[
            "c.toml:5: parameters[0].truth: found 6.5, expected a number within the prior, from 0 to 6.25",
        ],
    ),
    (
        "{ normal = { mean = 0.0, sd = 2 } }",
        "{ normal = { mean = 0.0, sd = 2 } }\ntruth = inf",
        &["c.toml:8: parameters[1].truth: found inf, expected a finite number"],
    ),
    (
        "{ normal = { mean = 0.0, sd = 2 } }",
        "{ normal = { mean = 0.0, sd = 2 } }\nperiodic = \"yes\"",
        &["c.toml:8: parameters[1].periodic: found \"yes\", expected true or false"],
    ),
    (
        "sd = 2",
        "sd = 0",
        &["c.toml:7: parameters[1].prior.normal.sd: found 0, expected a positive number"],
    ),
    (
        "sd = 2",
        "sd = 1e999",
        &["c.toml:7: parameters[1].prior.normal.sd: found 1e999, expected a finite number"],
    ),
    (
        "log_uniform = { low = 6.0",
        "log_uniform = { low = -6.0",
        &["c.toml:10: parameters[2].prior.log_uniform.low: found -6.0, expected a positive number"],
    ),
    (
        "normal = { mean = 0.0, sd = 2 }",
        "beta = { alpha = 0.0, beta = -1, low = 3 }",
        &[
            "c.toml:7: parameters[1].prior.beta.alpha: found 0.0, expected a positive number",
            "c.toml:7: parameters[1].prior.beta.beta: found -1, expected a positive number",
            "c.toml:7: parameters[1].prior.beta: low 3 is not below high 1",
        ],
    ),
    (
        "normal = { mean = 0.0, sd = 2 }",
        "beta = { alpha = 1.0, beta = 1, low = 3 }",
        &["c.toml:7: parameters[1].prior.beta: low 3 is not below high 1"],
    ),
    (
        "normal = { mean",
        "norml = { mean",
        &["c.toml:7: parameters[1].prior.norml: unknown key, did you mean normal?"],
    ),
    (
        "prior = { normal = { mean = 0.0, sd = 2 } }",
        "prior = {}",
        &[
            "c.toml:7: parameters[1].prior: found an empty table, expected a prior such as \
        { uniform = { low = 0.0, high = 1.0 } }",
        ],
    ),
    (
        "prior = { normal = { mean = 0.0, sd = 2 } }",
        "prior = \"normal\"",
        &[
            "c.toml:7: parameters[1].prior: found \"normal\", expected a prior such as \
        { uniform = { low = 0.0, high = 1.0 } }",
        ],
    ),
    (
        "sd = 2 }",
        "sd = 2 }, uniform = { low = 0, high = 1 }",
        &["c.toml:7: parameters[1].prior: found uniform and normal, expected one of them"],
    ),
    (
        "prior = { normal = { mean = 0.0, sd = 2 } }",
        "",
        &[
            "c.toml:5: parameters[1].prior: missing, expected a prior such as { uniform = { low = 0.0, high = 1.0 } }",
        ],
    ),
    (
        "name = \"omega\"",
        "name = \"A\"",
        &[
            "c.toml:9: parameters[2].name: a parameter named \"A\" is there already",
            "c.toml:11: simulator: sine needs the parameters phi0, A, omega, and omega is not under [[parameters]]",
        ],
    ),
    (
        "name = \"omega\"",
        "name = \"Omga\"",
        &[
            "c.toml:9: parameters[2].name: simulator sine has no parameter \"Omga\", did you mean omega?",
            "c.toml:11: simulator: sine needs the parameters phi0, A, omega, and omega is not under [[parameters]]",
        ],
    ),
    (
        "[simulator]",
        "[[parameters]]\nname = \"b\"\nprior = { uniform = { low = 0, high = 1 } }\n[simulator]",
        &[
            "c.toml:12: parameters[3].name: simulator sine has no parameter \"b\", expected only phi0, A, omega",
        ],
    ),
    (
        "name = \"omega\"",
        "name = \"log_prior\"",
        &[
            "c.toml:9: parameters[2].name: \"log_prior\" is a column of every result, expected a name other than row_id, \
        seed, log_prior, log_proposal, log_likelihood, component, status, message, round, weight and z_...",
        ],
    ),
    (
        "name = \"omega\"",
        "name = \"z_a\"",
        &[
            "c.toml:9: parameters[2].name: \"z_a\" is a column of every result, expected a name other than row_id, \
        seed, log_prior, log_proposal, log_likelihood, component, status, message, round, weight and z_...",
        ],
    ),
    (
        "name = \"omega\"",
        "name = \"2 pi\"",
        &[
            "c.toml:9: parameters[2].name: found \"2 pi\", expected letters, digits and _, a letter first",
        ],
    ),
];

pub(super) const FORWARD_MODEL: &[Case] = &[
    (
        "\"sine\"",
        "\"sin\"",
        &["c.toml:12: simulator.builtin: found \"sin\", did you mean sine?"],
    ),
    (
        "\"sine\"",
        "\"quasar\"",
        &[
            "c.toml:12: simulator.builtin: found \"quasar\", expected one of sine, microlensing, transit, \
        absorption-spectrum, linear-gaussian, two-moons, gaussian-mixture, slcp, bernoulli-glm, sir, lotka-volterra",
        ],
    ),
    (
        "builtin = \"sine\"",
        "python = \"model.py:simulate\"",
        &["c.toml:11: simulator: cannot read model.py: No such file or directory (os error 2)"],
    ),
    (
        "builtin = \"sine\"",
        "command = [\"./model\"]",
        &["c.toml:11: simulator: cannot read ./model: No such file or directory (os error 2)"],
    ),
    (
        "builtin",
        "guest",
        &[
            "c.toml:12: simulator.guest: found \"sine\", but this program has no guests: only the program that brings the \
             model can run it",
        ],
    ),
    (
        "\"sine\"",
        "\"sine\"\nguest = \"sine\"",
        &["c.toml:12: simulator.builtin: found builtin and guest, expected one of them"],
    ),
    (
        "\"sine\"",
        "\"sine\"\nversion = 2",
        &["c.toml:13: simulator.version: found version 2 of sine, this program has version 1"],
    ),
    (
        "[simulator]\nbuiltin = \"sine\"\n",
        "",
        &[
            "c.toml: simulator: missing, expected [simulator] with builtin = \"...\" or python = \"model.py:simulate\", \
             or [likelihood] with python = \"model.py:log_likelihood\"",
        ],
    ),
    (
        "\"sine\"",
        "\"sine\"\nperiod = 3",
        &["c.toml:13: simulator.period: sine has no options but grid"],
    ),
    (
        "\"sine\"",
        "\"sine\"\ngrid = [0, 1]",
        &["c.toml:13: simulator.grid: not the grid of the observation, expected none here"],
    ),
    (
        "\"sine\"",
        "\"linear-gaussian\"\nmatrix = [[1, 2, 3], [1, 2]]",
        &["c.toml:13: simulator.matrix: found 2 rows, expected 3, one a datum"],
    ),
    (
        "\"sine\"",
        "\"absorption-spectrum\"\nlines = [0, 1, 2]\nhalf_range = 0",
        &[
            "c.toml:13: simulator.lines[0]: found 0, expected a positive number (of single precision)",
            "c.toml:14: simulator.half_range: found 0, expected a positive number",
        ],
    ),
    (
        "\"sine\"",
        "\"two-moons\"",
        &["observation.csv:1: found a column sigma, expected none: the simulator draws the noise"],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"two-moons\"\n[observation]\nvalue = [1, 2, 3]",
        &[
            "c.toml:11: simulator: two-moons has 2 data, found 3",
            "c.toml:11: simulator: two-moons has 2 parameters, found 3",
        ],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"gaussian-mixture\"\n[observation]\nvalue = [1, 2]\nsigma = [1, 1]\n[noise]\ngaussian = { sigma = 1 }\n\
         [likelihood]\nkind = \"gaussian\"",
        &[
            "c.toml:15: observation.sigma: expected none: the simulator draws the noise",
            "c.toml:16: noise: gaussian-mixture draws noise of its own, expected no [noise]",
            "c.toml:19: likelihood.kind: gaussian-mixture draws noise of its own and gives its likelihood, expected \"simulator\"",
        ],
    ),
    (
        "",
        "[likelihood]\nkind = \"simulator\"",
        &["c.toml:16: likelihood.kind: sine gives no likelihood of its own, expected \"gaussian\""],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"bernoulli-glm\"\ndesign_matrix = [[1, 2, 3], [1, 2]]\n[observation]\nvalue = [1, 2, 3]",
        &["c.toml:13: simulator.design_matrix: row 1 has 2 numbers, expected 3, one a parameter"],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"bernoulli-glm\"\ndesign_matrix = \"ragged.csv\"\n[observation]\nvalue = [1, 2, 3]",
        &["ragged.csv:2: column 2: found \"x\", expected a number"],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"lotka-volterra\"\n[observation]\ngrid = [0, 1, 0, 1]\nvalue = [3, 2, 0, 1]",
        &[
            "c.toml:3: parameters[0].name: simulator lotka-volterra has no parameter \"phi0\", expected one of alpha, beta, gamma, delta",
            "c.toml:6: parameters[1].name: simulator lotka-volterra has no parameter \"A\", expected one of alpha, beta, gamma, delta",
            "c.toml:9: parameters[2].name: simulator lotka-volterra has no parameter \"omega\", expected one of alpha, beta, gamma, delta",
            "c.toml:11: simulator: lotka-volterra needs the parameters alpha, beta, gamma, delta, and alpha, beta, gamma, delta are not under [[parameters]]",
        ],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"sir\"\ntests = 0\npopulation = 10\ninfected = 10\n[observation]\nvalue = [1, 2]",
        &[
            "c.toml:13: simulator.tests: found 0, expected a whole number from 1 to 1000000000",
            "c.toml:16: observation.grid: missing, expected a list of numbers",
        ],
    ),
    (
        "builtin = \"sine\"\n[observation]\npath = \"observation.csv\"\n",
        "builtin = \"lotka-volterra\"\n[observation]\ngrid = [1, 0, 1, 0]\nvalue = [1, 2, 3, 4]",
        &[
            "c.toml:11: simulator: point 1 of the first half of the grid is 0, expected times from 0 on, each after the one before",
        ],
    ),
    (
        "\"sine\"",
        "\"transit\"",
        &["c.toml:11: simulator.period: missing, expected the orbital period in the grid's units"],
    ),
    (
        "[observation]\npath = \"observation.csv\"\n",
        "",
        &[
            "c.toml:11: simulator.grid: missing, expected a list of numbers or { start, stop, count }, as there is no \
        [observation] to take it from",
            "c.toml: noise: missing, expected [noise] with gaussian = { sigma = ... } or python = \"noise.py:add_noise\"",
        ],
    ),
    (
        "[observation]\npath = \"observation.csv\"\n",
        "grid = { start = 1, stop = 0, count = 1 }\n[noise]\ngaussian = { sigma = \"observed\" }",
        &[
            "c.toml:13: simulator.grid: start 1 is not below stop 0",
            "c.toml:13: simulator.grid.count: found 1, expected a whole number from 2 to 10000000",
            "c.toml:15: noise.gaussian.sigma: \"observed\" needs an [observation], expected \"observed\", a positive \
        number, or { uniform = { low, high } }, { log_uniform = { low, high } } or { table = \"sigmas.csv\" }",
        ],
    ),
    (
        "[observation]\npath = \"observation.csv\"\n",
        "grid = []\n[noise]\ngaussian = { sigma = 1 }\n[rounds]\nmax = 2",
        &[
            "c.toml:13: simulator.grid: found an empty list, expected at least one number",
            "c.toml:17: rounds.max: 2 rounds need an [observation], expected 1",
        ],
    ),
    (
        "observation.csv",
        "nothing.csv",
        &[
            "c.toml:14: observation.path: cannot read nothing.csv: No such file or directory (os error 2)",
        ],
    ),
    (
        "observation.csv",
        "empty.csv",
        &["empty.csv: empty, expected a header line with the grid's name, value and sigma"],
    ),
    (
        "observation.csv",
        "zero.csv",
        &[
            "zero.csv:3: value: found NaN, expected a number (missing = \"drop\" in [observation] leaves such rows out)",
            "zero.csv:3: sigma: found 0, expected a positive number (of single precision)",
        ],
    ),
    (
        "observation.csv",
        "bare.csv",
        &[
            "bare.csv:1: no column has a name that is known as a sigma's (sigma, flux_err, ...), and \
        noise.gaussian.sigma is not a number that could stand for it; found the columns time, value; say which is \
        which: columns = { grid = \"time\", value = \"value\", sigma = \"...\" }",
        ],
    ),
    (
        "path = \"observation.csv\"",
        "",
        &[
            "c.toml:13: observation: expected path = \"observation.csv\", or the lists grid, value and sigma",
        ],
    ),
    (
        "path = \"observation.csv\"",
        "grid = [0, 1]\nvalue = [1, nan]\nsigma = [0.1, -0.1]",
        &[
            "c.toml:15: observation.value[1]: found nan, expected a finite number",
            "c.toml:16: observation.sigma[1]: found -0.1, expected a positive number (of single precision)",
        ],
    ),
    (
        "path = \"observation.csv\"",
        "grid = [0, 1]\nvalue = [1]\nsigma = [0.1]",
        &[
            "c.toml:13: observation: found 2 numbers in grid, 1 in value and 1 in sigma, expected as many in each, at \
        least one",
        ],
    ),
    (
        "",
        "value = [1.0]",
        &["c.toml:15: observation.value: expected either path or the numbers themselves, not both"],
    ),
    (
        "path = \"observation.csv\"",
        "grid = [0, 1]\nvalue = [1, 1]\nsigma = [0.2, 0.1]\n[noise]\ngaussian = { sigma = 0.2 }",
        &[
            "c.toml:18: noise.gaussian.sigma: 0.2 is not the observation's own sigma, 0.1 in row 1, expected \"observed\"",
        ],
    ),
    (
        "",
        "columns = { grid = 1, value = \"value\", sgma = \"sigma\" }\nmissing = \"dropped\"\nhdu = -1",
        &[
            "c.toml:15: observation.columns.sgma: unknown key, did you mean sigma?",
            "c.toml:15: observation.columns.grid: found 1, expected text in quotes",
            "c.toml:16: observation.missing: found \"dropped\", did you mean drop?",
            "c.toml:17: observation.hdu: found -1, expected a whole number from 0 to 4294967295",
        ],
    ),
    (
        "observation.csv",
        ".",
        &["c.toml:14: observation.path: cannot read .: found a directory, expected a regular file"],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = -0.2 }",
        &["c.toml:16: noise.gaussian.sigma: found -0.2, expected a positive number"],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = nan }",
        &["c.toml:16: noise.gaussian.sigma: found nan, expected a finite number"],
    ),
    (
        "",
        "[noise]\ngaussian = { sgma = 0.1 }",
        &[
            "c.toml:16: noise.gaussian.sgma: unknown key, did you mean sigma?",
            "c.toml:16: noise.gaussian.sigma: missing, expected \"observed\", a positive number, or \
        { uniform = { low, high } }, { log_uniform = { low, high } } or { table = \"sigmas.csv\" }",
        ],
    ),
    (
        "",
        "[noise]\ngausian = { sigma = 0.1 }",
        &[
            "c.toml:15: noise.gaussian: missing, expected a table { sigma = ... }",
            "c.toml:16: noise.gausian: unknown key, did you mean gaussian?",
        ],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = { uniform = { low = 0, high = 1 } } }",
        &["c.toml:16: noise.gaussian.sigma.uniform.low: found 0, expected a positive number"],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = { log_uniform = { low = 2, high = 1 } } }",
        &["c.toml:16: noise.gaussian.sigma.log_uniform: low 2 is not below high 1"],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = { table = \"sigmas-bad.csv\" } }",
        &[
            "sigmas-bad.csv:2: found 2 sigmas, expected 3, the data's length",
            "sigmas-bad.csv:3: column 2: found -1, expected a positive number (of single precision)",
        ],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = { table = [[1, 2]] } }",
        &[
            "c.toml:16: noise.gaussian.sigma.table[0]: found 2 sigmas, expected 3, the data's length",
        ],
    ),
    (
        "",
        "[noise]\ngaussian = { sigma = { table = \"empty.csv\" } }",
        &[
            "c.toml:16: noise.gaussian.sigma.table: found no rows, expected at least one row of sigmas",
        ],
    ),
    (
        "",
        "[likelihood]\nkind = \"poisson\"",
        &["c.toml:16: likelihood.kind: found \"poisson\", expected one of gaussian, simulator"],
    ),
];
