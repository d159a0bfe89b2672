//! Mistakes in the estimator, the rounds and the workers of campaign files, and their messages.

use super::bad_cases::Case;

pub(super) const ESTIMATOR: &[Case] = &[
    (
        "",
        "[featurizer]\nkind = \"resnet_gru\"",
        &["c.toml:16: featurizer.kind: found \"resnet_gru\", did you mean resnet-gru?"],
    ),
    (
        "",
        "[featurizer]\nkind = \"gru\"\nchannels = 3\nhidden = 0",
        &[
            "c.toml:17: featurizer.channels: gru has no such option, its options are hidden, features",
            "c.toml:18: featurizer.hidden: found 0, expected a whole number from 1 to 4096",
        ],
    ),
    (
        "",
        "[featurizer]\nkind = \"resnet\"\nstages = 2\nnormalization = \"layer\"",
        &[
            "c.toml:17: featurizer.stages: found 2, expected a whole number from 0 to 1",
            "c.toml:18: featurizer.normalization: found \"layer\", expected one of weight, batch",
        ],
    ),
    (
        "[observation]\npath = \"observation.csv\"\n",
        "grid = { start = 0.0, stop = 1.0, count = 256 }\n[noise]\ngaussian = { sigma = 1 }\n\
         [featurizer]\nkind = \"resnet\"\nstages = 8",
        &["c.toml:18: featurizer.stages: found 8, expected a whole number from 0 to 7"],
    ),
    (
        "",
        "[flow]\nkind = \"nfs\"",
        &["c.toml:16: flow.kind: found \"nfs\", did you mean nsf?"],
    ),
    (
        "",
        "[flow]\nkind = \"nsf\"\nbins = 1\ntail_bound = -3.0\ncomponents = 4",
        &[
            "c.toml:17: flow.bins: found 1, expected a whole number from 2 to 100",
            "c.toml:18: flow.tail_bound: found -3.0, expected a number from 0.1 to 1000",
            "c.toml:19: flow.components: nsf has no such option, its options are blocks, hidden, layers, bins, tail_bound, max_log_scale",
        ],
    ),
    (
        "",
        "[flow]\nbins = 4",
        &[
            "c.toml:16: flow.bins: maf has no such option, its options are blocks, hidden, layers, components, max_log_scale",
        ],
    ),
    (
        "",
        "[flow]\nblocks = 2.5\nmax_log_scale = 0",
        &[
            "c.toml:16: flow.blocks: found 2.5, expected a whole number from 1 to 100",
            "c.toml:17: flow.max_log_scale: found 0, expected a number from 0.01 to 20",
        ],
    ),
    (
        "",
        "[flow]\nhidden = 2",
        &[
            "c.toml:16: flow.hidden: 2 units are fewer than the 3 parameters, whose dependences they could not carry",
        ],
    ),
    (
        "",
        "[flow]\nkind = \"nsf-coupling\"\ntail_bound = 1001\nmax_log_scale = 20.5",
        &[
            "c.toml:17: flow.tail_bound: found 1001, expected a number from 0.1 to 1000",
            "c.toml:18: flow.max_log_scale: found 20.5, expected a number from 0.01 to 20",
        ],
    ),
    (
        "",
        "[training]\nbatch_size = 0\ndevice = \"cuda\"\nvalidation_fraction = 0.6",
        &[
            "c.toml:16: training.batch_size: found 0, expected a whole number from 1 to 1000000",
            "c.toml:17: training.device: found \"cuda\", expected one of auto, cpu, wgpu",
            "c.toml:18: training.validation_fraction: found 0.6, expected a number above 0 and at most 0.5",
        ],
    ),
    (
        "",
        "[training]\nlearning_rate = -1e-3\npatience = true",
        &[
            "c.toml:16: training.learning_rate: found -1e-3, expected a positive number",
            "c.toml:17: training.patience: found true, expected a whole number from 1 to 1000000",
        ],
    ),
    (
        "",
        "[training]\nloss = \"snpe\"\natoms = 1\nrefinement = 0",
        &[
            "c.toml:16: training.loss: found \"snpe\", expected one of nll, apt",
            "c.toml:18: training.refinement: found 0, expected true or false",
        ],
    ),
    (
        "",
        "[training]\nloss = \"apt\"\natoms = 1",
        &["c.toml:17: training.atoms: found 1, expected a whole number from 2 to 32"],
    ),
    (
        "",
        "[training]\nloss = \"nll\"\natoms = 10",
        &["c.toml:17: training.atoms: the loss nll has no atoms, only apt has"],
    ),
    (
        "",
        "[training]\nloss = \"apt\"\n[flow]\nkind = \"nsf-coupling\"",
        &[
            "c.toml:15: training: the loss apt does not work with the flow nsf-coupling, whose wide tails reach where the \
             prior that it divides by is all but zero: take flow.kind = \"maf\"",
        ],
    ),
    (
        "",
        "[training]\nloss = \"apt\"\nbatch_size = 8",
        &[
            "c.toml:15: training: 10 atoms are taken from a slice of the minibatch, but with a batch_size of 8 \
             slices have 8 rows",
        ],
    ),
    (
        "",
        "[training]\nloss = \"apt\"\nbatch_size = 65\natoms = 22",
        &[
            "c.toml:15: training: 22 atoms are taken from a slice of the minibatch, but with a batch_size of 65 \
             slices have 21 rows",
        ],
    ),
];

pub(super) const ROUNDS: &[Case] = &[
    (
        "",
        "[rounds]\nmax = 0\nsimulations = 10\ndefensive_share = 0.7\ncombine = \"mix\"",
        &[
            "c.toml:16: rounds.max: found 0, expected a whole number from 1 to 10000",
            "c.toml:17: rounds.simulations: found 10, expected a whole number from 32 to 1000000000000",
            "c.toml:18: rounds.defensive_share: found 0.7, expected a number from 0 to 0.5",
            "c.toml:19: rounds.combine: found \"mix\", expected one of fresh, mixture, per-round",
        ],
    ),
    (
        "",
        "[rounds]\nstop = { rule = \"paper\", simulations = 100 }",
        &[
            "c.toml:16: rounds.stop.simulations: 100 simulations in total are fewer than the 1280 of one round",
        ],
    ),
    (
        "",
        "[rounds]\nstop = { efficiency = 1.4, n_eff = 0 }",
        &[
            "c.toml:16: rounds.stop.n_eff: found 0, expected a positive number",
            "c.toml:16: rounds.stop.efficiency: found 1.4, expected a number above 0 and at most 1",
        ],
    ),
    (
        "",
        "[rounds.stop]\nsimulations = 31\nwall_time = \"2 weeks\"\nrul = \"paper\"",
        &[
            "c.toml:16: rounds.stop.simulations: found 31, expected a whole number from 32 to 1000000000000",
            "c.toml:17: rounds.stop.wall_time: found \"2 weeks\", expected seconds or a time such as \"90s\", \"45m\", \
        \"2h\" or \"1d12h\"",
            "c.toml:18: rounds.stop.rul: unknown key, did you mean rule?",
        ],
    ),
    (
        "",
        "[rounds.stop]\nwall_time = 0\nrule = \"papers\"",
        &[
            "c.toml:16: rounds.stop.wall_time: found 0, expected a positive number",
            "c.toml:17: rounds.stop.rule: found \"papers\", did you mean paper?",
        ],
    ),
    (
        "[observation]\npath = \"observation.csv\"\n",
        "grid = [0, 1]\n[noise]\ngaussian = { sigma = 1 }\n[rounds.stop]\nn_eff = 100\ntop_up = 5",
        &[
            "c.toml:17: rounds.stop.n_eff: needs an [observation]: without one nothing is weighed",
            "c.toml:18: rounds.stop.top_up: needs an [observation]: without one nothing is weighed",
        ],
    ),
    (
        "",
        "[workers]\ncount = 0\nbatch_rows = -3",
        &[
            "c.toml:16: workers.count: found 0, expected a whole number from 1 to 1000",
            "c.toml:17: workers.batch_rows: found -3, expected a whole number from 1 to 1000000000000",
        ],
    ),
];
