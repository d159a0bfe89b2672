//! `[featurizer]`, `[flow]` and `[training]`: what is not given gets a default.

use super::defaults;
use super::document::Section;
use crate::campaign::{DeviceChoice, Featurizer, Flow, Loss, Normalization, NsfSize, Training};
use crate::minibatch::{SLICE_ROWS, fewest_slice_rows};
use std::ops::RangeInclusive;

/// Largest number of units, channels or features of a layer.
const MOST_UNITS: u64 = 4096;
/// Bins have a least width of a thousandth of the spline's interval.
const MOST_BINS: u64 = 100;
/// Where a spline's tails begin, in standard deviations of the rows that a flow is fitted to: farther out than this no
/// row is, nearer none is left to the bins.
const TAIL_BOUNDS: RangeInclusive<f64> = 0.1..=1000.0;
/// e to a larger power, in each of a few blocks, is beyond what 32-bit numbers hold; less than this scales nothing.
const MAX_LOG_SCALES: RangeInclusive<f64> = 0.01..=20.0;
/// Atoms are taken from the rows that one thread works on.
const MOST_ATOMS: u64 = SLICE_ROWS as u64;

pub(super) fn featurizer(
    root: &Section<'_>,
    n_data: Option<usize>,
    n_parameters: Option<usize>,
) -> Option<Featurizer> {
    let known = [
        "kind",
        "channels",
        "stages",
        "hidden",
        "layers",
        "features",
        "normalization",
    ];
    let section = root.section("featurizer", &known);
    const KINDS: [&str; 4] = ["resnet-gru", "resnet", "gru", "mlp"];
    let kind = match section.get("kind") {
        Some(entry) => entry.choice(&KINDS.map(|kind| (kind, kind)))?,
        None => defaults::featurizer_kind(n_data?),
    };
    let options: &[&str] = match kind {
        "resnet-gru" => &["channels", "stages", "hidden", "features", "normalization"],
        "resnet" => &["channels", "stages", "features", "normalization"],
        "gru" => &["hidden", "features"],
        _ => &["layers", "hidden", "features"],
    };
    for option in &known[1..] {
        if let (Some(entry), false) = (section.get(option), options.contains(option)) {
            entry.mistake(format!(
                "{kind} has no such option, its options are {}",
                options.join(", ")
            ));
        }
    }
    // Unknown lengths have their own mistake; sizes are looked at all the same.
    let most_stages = n_data.map_or(usize::BITS as usize, defaults::most_stages);
    let (data, parameters) = (n_data.unwrap_or(1), n_parameters.unwrap_or(1));
    let size = |name: &str, default: usize| whole(&section, name, 1, MOST_UNITS, default);
    let stages = |default: usize| whole(&section, "stages", 0, most_stages as u64, default);
    let normalization = |default: Normalization| match section.get("normalization") {
        Some(entry) => entry.choice(&[
            ("weight", Normalization::Weight),
            ("batch", Normalization::Batch),
        ]),
        None => Some(default),
    };
    let default = match kind {
        "resnet-gru" => defaults::resnet_gru(data, parameters),
        "resnet" => defaults::resnet(data, parameters),
        "gru" => defaults::gru(parameters),
        _ => defaults::mlp(parameters),
    };
    // Fields are read in turn before any `?`, so that all mistakes are found.
    let featurizer = match default {
        Featurizer::ResnetGru {
            channels,
            stages: n_stages,
            hidden,
            features,
            normalization: kind,
        } => {
            let read = (
                size("channels", channels),
                stages(n_stages),
                size("hidden", hidden),
                size("features", features),
                normalization(kind),
            );
            Featurizer::ResnetGru {
                channels: read.0?,
                stages: read.1?,
                hidden: read.2?,
                features: read.3?,
                normalization: read.4?,
            }
        }
        Featurizer::Resnet {
            channels,
            stages: n_stages,
            features,
            normalization: kind,
        } => {
            let read = (
                size("channels", channels),
                stages(n_stages),
                size("features", features),
                normalization(kind),
            );
            Featurizer::Resnet {
                channels: read.0?,
                stages: read.1?,
                features: read.2?,
                normalization: read.3?,
            }
        }
        Featurizer::Gru { hidden, features } => {
            let read = (size("hidden", hidden), size("features", features));
            Featurizer::Gru {
                hidden: read.0?,
                features: read.1?,
            }
        }
        Featurizer::Mlp {
            layers,
            hidden,
            features,
        } => {
            let read = (
                whole(&section, "layers", 1, 100, layers),
                size("hidden", hidden),
                size("features", features),
            );
            Featurizer::Mlp {
                layers: read.0?,
                hidden: read.1?,
                features: read.2?,
            }
        }
    };
    n_data.and(n_parameters).map(|_| featurizer)
}

pub(super) fn flow(root: &Section<'_>, n_parameters: Option<usize>) -> Option<Flow> {
    let known = [
        "kind",
        "blocks",
        "hidden",
        "layers",
        "components",
        "bins",
        "tail_bound",
        "max_log_scale",
    ];
    let section = root.section("flow", &known);
    const KINDS: [&str; 3] = ["maf", "nsf", "nsf-coupling"];
    let kind = match section.get("kind") {
        Some(entry) => entry.choice(&KINDS.map(|kind| (kind, kind)))?,
        None => defaults::FLOW_KIND,
    };
    let options: &[&str] = match kind {
        "maf" => &["blocks", "hidden", "layers", "components", "max_log_scale"],
        _ => &[
            "blocks",
            "hidden",
            "layers",
            "bins",
            "tail_bound",
            "max_log_scale",
        ],
    };
    for option in &known[1..] {
        if let (Some(entry), false) = (section.get(option), options.contains(option)) {
            entry.mistake(format!(
                "{kind} has no such option, its options are {}",
                options.join(", ")
            ));
        }
    }
    let n = n_parameters.unwrap_or(1);
    let flow = match kind {
        "maf" => maf(&section, n),
        "nsf" => nsf(&section, n).map(Flow::Nsf),
        _ => nsf(&section, n).map(Flow::NsfCoupling),
    };
    n_parameters.and(flow)
}

fn maf(section: &Section<'_>, n_parameters: usize) -> Option<Flow> {
    let default = defaults::maf(n_parameters);
    // All are read before any `?`, so that all mistakes are found.
    let blocks = whole(section, "blocks", 1, 100, default.blocks);
    let hidden = conditioner_units(section, n_parameters, default.hidden);
    let layers = whole(section, "layers", 1, 100, default.layers);
    let components = whole(section, "components", 1, 1000, default.components);
    let max_log_scale = within(
        section,
        "max_log_scale",
        MAX_LOG_SCALES,
        default.max_log_scale,
    );
    Some(Flow::Maf {
        blocks: blocks?,
        hidden: hidden?,
        layers: layers?,
        components: components?,
        max_log_scale: max_log_scale?,
    })
}

fn nsf(section: &Section<'_>, n_parameters: usize) -> Option<NsfSize> {
    let default = defaults::nsf(n_parameters);
    let blocks = whole(section, "blocks", 1, 100, default.blocks);
    let hidden = conditioner_units(section, n_parameters, default.hidden);
    let layers = whole(section, "layers", 1, 100, default.layers);
    let bins = whole(section, "bins", 2, MOST_BINS, default.bins);
    let tail_bound = within(section, "tail_bound", TAIL_BOUNDS, default.tail_bound);
    let max_log_scale = within(
        section,
        "max_log_scale",
        MAX_LOG_SCALES,
        default.max_log_scale,
    );
    Some(NsfSize {
        blocks: blocks?,
        hidden: hidden?,
        layers: layers?,
        bins: bins?,
        tail_bound: tail_bound?,
        max_log_scale: max_log_scale?,
    })
}

/// Units of a conditioner's hidden layers. Each sees the parameters before one of them, so that with fewer units than
/// parameters some would see nothing of those before.
fn conditioner_units(section: &Section<'_>, n_parameters: usize, default: usize) -> Option<usize> {
    let hidden = whole(section, "hidden", 1, MOST_UNITS, default)?;
    if let Some(entry) = section.get("hidden")
        && hidden < n_parameters
    {
        entry.mistake(format!(
            "{hidden} units are fewer than the {n_parameters} parameters, whose dependences they could not carry"
        ));
        return None;
    }
    Some(hidden)
}

pub(super) fn training(root: &Section<'_>, flow: Option<&Flow>) -> Option<Training> {
    let known = [
        "device",
        "batch_size",
        "learning_rate",
        "max_epochs",
        "patience",
        "validation_fraction",
        "clip_norm",
        "rounds",
        "loss",
        "atoms",
        "refinement",
    ];
    let section = root.section("training", &known);
    let default = defaults::training(flow);
    let device = match section.get("device") {
        Some(entry) => entry.choice(&[
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("wgpu", DeviceChoice::Wgpu),
        ]),
        None => Some(default.device),
    };
    let batch_size = whole(&section, "batch_size", 1, 1_000_000, default.batch_size);
    let learning_rate = positive(&section, "learning_rate", default.learning_rate);
    let max_epochs = whole(
        &section,
        "max_epochs",
        1,
        1_000_000,
        default.max_epochs as usize,
    );
    let patience = whole(
        &section,
        "patience",
        1,
        1_000_000,
        default.patience as usize,
    );
    let validation_fraction = match section.get("validation_fraction") {
        Some(entry) => entry.number().and_then(|fraction| {
            if !(fraction > 0.0 && fraction <= 0.5) {
                entry.mistake(format!("validation fraction {fraction} is not in (0, 0.5]"));
                return None;
            }
            Some(fraction)
        }),
        None => Some(default.validation_fraction),
    };
    let clip_norm = positive(&section, "clip_norm", default.clip_norm);
    let rounds = whole(&section, "rounds", 1, 10_000, default.rounds as usize);
    let loss = loss(&section, batch_size);
    let refinement = match section.get("refinement") {
        Some(entry) => entry.boolean(),
        None => Some(default.refinement),
    };
    Some(Training {
        device: device?,
        batch_size: batch_size?,
        learning_rate: learning_rate?,
        max_epochs: u32::try_from(max_epochs?).ok()?,
        patience: u32::try_from(patience?).ok()?,
        validation_fraction: validation_fraction?,
        clip_norm: clip_norm?,
        rounds: u32::try_from(rounds?).ok()?,
        loss: loss?,
        refinement: refinement?,
    })
}

fn loss(section: &Section<'_>, batch_size: Option<usize>) -> Option<Loss> {
    const LOSSES: [&str; 3] = ["nll", "apt", "weighted-nll"];
    let name = match section.get("loss") {
        Some(entry) => entry.choice(&LOSSES.map(|name| (name, name)))?,
        None => LOSSES[0],
    };
    let atoms = whole(section, "atoms", 2, MOST_ATOMS, defaults::ATOMS);
    if let Some(entry) = section.get("atoms")
        && name != "apt"
    {
        entry.mistake(format!("the loss {name} has no atoms, only apt has"));
        return None;
    }
    match name {
        "nll" => Some(Loss::Nll),
        "weighted-nll" => Some(Loss::WeightedNll),
        _ => {
            let (atoms, batch_size) = (atoms?, batch_size?);
            let fewest = fewest_slice_rows(batch_size);
            if atoms > fewest {
                section.mistake(format!(
                    "{atoms} atoms are taken from a slice of the minibatch, but with a batch_size of {batch_size} \
                     slices have {fewest} rows"
                ));
                return None;
            }
            Some(Loss::Apt { atoms })
        }
    }
}

fn whole(section: &Section<'_>, name: &str, min: u64, max: u64, default: usize) -> Option<usize> {
    match section.get(name) {
        Some(entry) => entry
            .whole(min..=max)
            .and_then(|number| usize::try_from(number).ok()),
        None => Some(default),
    }
}

fn within(
    section: &Section<'_>,
    name: &str,
    range: RangeInclusive<f64>,
    default: f64,
) -> Option<f64> {
    section
        .get(name)
        .map_or(Some(default), |entry| entry.number_in(range))
}

fn positive(section: &Section<'_>, name: &str, default: f64) -> Option<f64> {
    section
        .get(name)
        .map_or(Some(default), |entry| entry.positive())
}
