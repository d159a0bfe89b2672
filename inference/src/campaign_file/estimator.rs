//! `[featurizer]`, `[flow]` and `[training]`: what is not given gets a default.

use super::choices::{Choice, FeaturizerKind, FlowKind, LossKind};
use super::defaults;
use super::document::Section;
use super::key::Key;
use super::keys::file::{FEATURIZER, FLOW, TRAINING};
use super::keys::{featurizer, flow, training};
use crate::campaign::{Featurizer, Flow, Loss, NsfSize, Training, fewest_slice_rows};

pub(super) fn featurizer(
    root: &Section<'_>,
    n_data: Option<usize>,
    n_parameters: Option<usize>,
) -> Option<Featurizer> {
    let section = root.section(&FEATURIZER);
    let kind: FeaturizerKind = match section.get(&featurizer::KIND) {
        Some(entry) => entry.choice()?,
        None => defaults::featurizer_kind(n_data?),
    };
    refuse_other_options(&section, kind.name(), FEATURIZER, kind.options());
    // Unknown lengths have their own mistake; sizes are looked at all the same.
    let most_stages = n_data.map_or(defaults::MOST_STAGES_OF_ANY, |n_data| {
        defaults::most_stages(n_data) as u64
    });
    let stages = || {
        let given = section.optional(&featurizer::STAGES, |entry| entry.whole_in(0..=most_stages));
        Some(given?.unwrap_or_else(|| defaults::stages(n_data.unwrap_or(1))))
    };
    let features = || {
        let default = defaults::features(n_parameters.unwrap_or(1));
        section.whole_or(&featurizer::FEATURES, default)
    };
    // Fields are read in turn before any `?`, so that all mistakes are found.
    let featurizer = match kind {
        FeaturizerKind::ResnetGru => {
            let channels = section.whole_or(&featurizer::CHANNELS, defaults::RESNET_GRU_CHANNELS);
            let stages = stages();
            let (hidden, features) = (section.whole(&featurizer::HIDDEN), features());
            let normalization = section.choice(&featurizer::NORMALIZATION);
            Featurizer::ResnetGru {
                channels: channels?,
                stages: stages?,
                hidden: hidden?,
                features: features?,
                normalization: normalization?,
            }
        }
        FeaturizerKind::Resnet => {
            let channels = section.whole_or(&featurizer::CHANNELS, defaults::RESNET_CHANNELS);
            let (stages, features) = (stages(), features());
            let normalization = section.choice(&featurizer::NORMALIZATION);
            Featurizer::Resnet {
                channels: channels?,
                stages: stages?,
                features: features?,
                normalization: normalization?,
            }
        }
        FeaturizerKind::Gru => {
            let (hidden, features) = (section.whole(&featurizer::HIDDEN), features());
            Featurizer::Gru {
                hidden: hidden?,
                features: features?,
            }
        }
        FeaturizerKind::Mlp => {
            let (layers, hidden) = (
                section.whole(&featurizer::LAYERS),
                section.whole(&featurizer::HIDDEN),
            );
            let features = features();
            Featurizer::Mlp {
                layers: layers?,
                hidden: hidden?,
                features: features?,
            }
        }
    };
    n_data.and(n_parameters).map(|_| featurizer)
}

/// Refuses keys of a section that are of another kind.
fn refuse_other_options(section: &Section<'_>, kind: &str, of: Key, options: &[Key]) {
    let names: Vec<&str> = options.iter().map(|key| key.name).collect();
    // The first is the kind itself.
    for key in &of.takes.keys()[1..] {
        if let (Some(entry), false) = (section.get(key), names.contains(&key.name)) {
            entry.mistake(format!(
                "{kind} has no such option, its options are {}",
                names.join(", ")
            ));
        }
    }
}

pub(super) fn flow(root: &Section<'_>, n_parameters: Option<usize>) -> Option<Flow> {
    let section = root.section(&FLOW);
    let kind: FlowKind = section.choice(&flow::KIND)?;
    refuse_other_options(&section, kind.name(), FLOW, kind.options());
    let n = n_parameters.unwrap_or(1);
    let flow = match kind {
        FlowKind::Maf => maf(&section, n),
        FlowKind::Nsf => nsf(&section, n).map(Flow::Nsf),
        FlowKind::NsfCoupling => nsf(&section, n).map(Flow::NsfCoupling),
    };
    n_parameters.and(flow)
}

fn maf(section: &Section<'_>, n_parameters: usize) -> Option<Flow> {
    // All are read before any `?`, so that all mistakes are found.
    let blocks = section.whole_or(&flow::BLOCKS, defaults::maf_blocks(n_parameters));
    let hidden = conditioner_units(section, n_parameters);
    let layers = section.whole(&flow::LAYERS);
    let components = section.whole(&flow::COMPONENTS);
    let max_log_scale = section.number_or(&flow::MAX_LOG_SCALE, defaults::MAF_MAX_LOG_SCALE);
    Some(Flow::Maf {
        blocks: blocks?,
        hidden: hidden?,
        layers: layers?,
        components: components?,
        max_log_scale: max_log_scale?,
    })
}

fn nsf(section: &Section<'_>, n_parameters: usize) -> Option<NsfSize> {
    let blocks = section.whole_or(&flow::BLOCKS, defaults::nsf_blocks(n_parameters));
    let hidden = conditioner_units(section, n_parameters);
    let layers = section.whole(&flow::LAYERS);
    let bins = section.whole(&flow::BINS);
    let tail_bound = section.number(&flow::TAIL_BOUND);
    let max_log_scale = section.number_or(&flow::MAX_LOG_SCALE, defaults::NSF_MAX_LOG_SCALE);
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
fn conditioner_units(section: &Section<'_>, n_parameters: usize) -> Option<usize> {
    let Some(entry) = section.get(&flow::HIDDEN) else {
        return Some(defaults::conditioner_units(n_parameters));
    };
    let hidden = entry.whole()?;
    match hidden < n_parameters {
        true => entry.refuse(format!(
            "{hidden} units are fewer than the {n_parameters} parameters, whose dependences they could not carry"
        )),
        false => Some(hidden),
    }
}

pub(super) fn training(root: &Section<'_>, flow: Option<&Flow>) -> Option<Training> {
    let section = root.section(&TRAINING);
    let device = section.choice(&training::DEVICE);
    let batch_size = section.whole(&training::BATCH_SIZE);
    let default = defaults::learning_rate(flow);
    let learning_rate = section.number_or(&training::LEARNING_RATE, default);
    let max_epochs = section.whole(&training::MAX_EPOCHS);
    let patience = section.whole(&training::PATIENCE);
    let validation_fraction = section.number(&training::VALIDATION_FRACTION);
    let clip_norm = section.number(&training::CLIP_NORM);
    let rounds = section.whole(&training::ROUNDS);
    let loss = loss(&section, batch_size);
    let refinement = section.boolean(&training::REFINEMENT);
    let surrogate = section.boolean(&training::SURROGATE);
    Some(Training {
        device: device?,
        batch_size: batch_size?,
        learning_rate: learning_rate?,
        max_epochs: max_epochs?,
        patience: patience?,
        validation_fraction: validation_fraction?,
        clip_norm: clip_norm?,
        rounds: rounds?,
        loss: loss?,
        refinement: refinement?,
        surrogate: surrogate?,
    })
}

fn loss(section: &Section<'_>, batch_size: Option<usize>) -> Option<Loss> {
    let kind: LossKind = section.choice(&training::LOSS)?;
    let atoms = section.whole(&training::ATOMS);
    let apt = LossKind::Apt;
    if let Some(entry) = section.get(&training::ATOMS)
        && kind != apt
    {
        let (found, expected) = (kind.name(), apt.name());
        return entry.refuse(format!(
            "the loss {found} has no atoms, only {expected} has"
        ));
    }
    match kind {
        LossKind::Nll => Some(Loss::Nll),
        LossKind::Apt => {
            let (atoms, batch_size) = (atoms?, batch_size?);
            let fewest = fewest_slice_rows(batch_size);
            if atoms > fewest {
                return section.refuse(format!(
                    "{atoms} atoms are taken from a slice of the minibatch, but with a batch_size of {batch_size} \
                     slices have {fewest} rows"
                ));
            }
            Some(Loss::Apt { atoms })
        }
    }
}
