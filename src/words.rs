//! Our own types in words: for the terminal and the report alike.

mod data;
mod fit;
mod forecast;
mod missing;
mod stops;

pub use data::{data, data_notes};
pub use fit::{fit, fit_in_short, fit_p, poor_fit};
pub use forecast::{count_range, standing, unfinished};
pub use missing::{lost_modes, missing_mass};
pub use stops::stop_reason;

use crate::numbers;
use sidereal_inference::account::Summary;
use sidereal_inference::campaign::model::OptionValue;
use sidereal_inference::campaign::{
    Campaign, Featurizer, Flow, Loss, Noise, NoiseTerm, Refinement, SigmaSource,
};
use sidereal_inference::campaign_file::Choice;
use sidereal_inference::method::Mode;
use sidereal_inference::space::{ParameterSpace, Prior};
use sidereal_inference::weights::{
    Component, Evidence, MAX_PARETO_K, Objective, Proposal, RoundKind, RoundSummary,
};

/// Up to here errors of weighted means are as good as they look (Vehtari et al. 2024).
const GOOD_PARETO_K: f64 = 0.5;

/// One line that says what a campaign is.
pub fn campaign_line(campaign: &Campaign) -> String {
    let kind = match &campaign.observation {
        Some(observation) if observation.is_empty() => {
            return format!(
                "{} with {} parameters, a log-likelihood alone, {}, seed {}",
                campaign.simulator.model.name,
                campaign.space.len(),
                campaign.flow.kind().name(),
                campaign.seed
            );
        }
        Some(_) => "one observation",
        None => "amortized, no observation",
    };
    format!(
        "{} with {} parameters and {} data, {kind}, {} and {}, seed {}",
        campaign.simulator.model.name,
        campaign.space.len(),
        campaign.simulator.grid.len(),
        campaign.featurizer.kind().name(),
        campaign.flow.kind().name(),
        campaign.seed
    )
}

/// The settings that matter, by name.
pub fn settings(campaign: &Campaign) -> Vec<(&'static str, String)> {
    let training = &campaign.training;
    vec![
        ("simulator", simulator(campaign)),
        ("noise", noise(campaign)),
        ("featurizer", featurizer(&campaign.featurizer)),
        ("flow", flow(&campaign.flow)),
        (
            "training",
            format!(
                "on the newest {}, batches of {}, learning rate {}, at most {} epochs, patience {}, {} held out, {}{}, device {}",
                match training.rounds {
                    1 => "round".to_owned(),
                    n => format!("{n} rounds"),
                },
                training.batch_size,
                numbers::plain(training.learning_rate),
                training.max_epochs,
                training.patience,
                numbers::short_percent(training.validation_fraction),
                loss(training.loss),
                match campaign.refinement() {
                    Refinement::Surrogate => ", led by a surrogate",
                    Refinement::Off if !training.refinement => ", no refinement",
                    Refinement::Off | Refinement::Tempered => "",
                },
                training.device.name()
            ),
        ),
        ("rounds", stops::rounds(campaign)),
        ("stops when", stops::stops(campaign)),
        ("seed", campaign.seed.to_string()),
    ]
}

/// `1 round`, `12 rounds`.
pub fn number_of(n: usize, what: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{n} {what}{ending}")
}

pub fn evidence(evidence: &Evidence) -> String {
    let decimals = match evidence.error {
        error if error > 0.0 && error.is_finite() => {
            (1 - error.log10().floor() as i32).clamp(0, 6) as usize
        }
        _ => 4,
    };
    let text = format!(
        "{:.decimals$} ± {:.decimals$}",
        evidence.log_evidence, evidence.error
    );
    text.replace('-', "−")
}

/// `–` where too few weights are positive to tell.
pub fn pareto_k(k: Option<f64>) -> String {
    k.map_or("–".to_owned(), |k| format!("{k:.2}").replace('-', "−"))
}

/// `0.23 (good)`: the k̂ of weights, and what it says.
pub fn judged_pareto_k(k: Option<f64>) -> String {
    let says = match k {
        None => "too few weights to tell",
        Some(k) if k > MAX_PARETO_K => "too high: a few draws carry the result",
        Some(k) if k > GOOD_PARETO_K => "fair",
        Some(_) => "good",
    };
    format!("{} ({says})", pareto_k(k))
}

/// What a round is for, where that is not the posterior itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundPurpose {
    Finding,
    Search,
    ExtraDraws,
    Reused,
}

impl RoundPurpose {
    /// `is_on_the_way` where the flow that the round draws from is not fitted to the posterior itself yet.
    pub fn of(kind: RoundKind, is_on_the_way: bool) -> Option<Self> {
        match kind {
            RoundKind::Training if is_on_the_way => Some(Self::Finding),
            RoundKind::Training => None,
            RoundKind::Probe => Some(Self::Search),
            RoundKind::TopUp => Some(Self::ExtraDraws),
            RoundKind::Reused => Some(Self::Reused),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Search => "search",
            Self::ExtraDraws => "extra draws",
            Self::Reused => "reused",
        }
    }

    pub fn explained(self) -> &'static str {
        match self {
            Self::Finding => {
                "the proposal is broader than the posterior on purpose, so that it loses no mode"
            }
            Self::Search => "a few draws around places where a mode may have been lost",
            Self::ExtraDraws => "of the best proposal, to make up what was missing of n_eff",
            Self::Reused => "simulated by an earlier campaign, and weighed anew",
        }
    }
}

/// Whether the flow that a round draws from is not fitted to the posterior itself yet.
pub fn is_on_the_way(campaign: &Campaign, summary: &Summary, round: &RoundSummary) -> bool {
    let Component::Flow(flow) = round.proposal.newest() else {
        return false;
    };
    let training = summary
        .training
        .iter()
        .find(|training| training.flow == flow);
    campaign.is_refined()
        && campaign.observation.is_some()
        && training.is_some_and(|training| !training.objective.is_final(campaign.space.len()))
}

/// `8,260`, or `0 (11,400 of runs/sine reused)`
pub fn simulations(summary: &Summary) -> String {
    let own = numbers::count(summary.simulations);
    if summary.reused.is_empty() {
        return own;
    }
    let reused = summary.reused.iter();
    let each = reused.map(|one| format!("{} of {}", numbers::count(one.n_rows), one.location));
    format!("{own} ({} reused)", each.collect::<Vec<_>>().join(", "))
}

/// Where reused simulations are from: `runs/sine`
pub fn reused(summary: &Summary) -> String {
    let locations = summary.reused.iter().map(|one| one.location.as_str());
    locations.collect::<Vec<_>>().join(", ")
}

/// `7`, `9 (search)`
pub fn round_name(round: &RoundSummary, is_on_the_way: bool) -> String {
    match RoundPurpose::of(round.kind, is_on_the_way) {
        None => round.round.0.to_string(),
        Some(purpose) => format!("{} ({})", round.round.0, purpose.name()),
    }
}

/// `simulations`, `weighted draws`, `draws weighted by likelihood^0.0661`
pub fn objective(objective: &Objective) -> String {
    match objective {
        Objective::Simulations => "simulations".to_owned(),
        Objective::SurrogateDraws => "draws of a surrogate's posterior".to_owned(),
        Objective::WeightedDraws { exponent } if *exponent == 1.0 => "weighted draws".to_owned(),
        Objective::WeightedDraws { exponent } => {
            format!("draws weighted by likelihood^{}", numbers::short(*exponent))
        }
    }
}

/// `flow 2 90 %, prior 10 %`; neighbours of equal share together, `flow 0 to flow 7 5 % in all`. What searches for
/// lost modes draw around are places.
pub fn proposal(proposal: &Proposal) -> String {
    let name = |component: Component| match component {
        Component::Prior => "prior".to_owned(),
        Component::Local(id) => format!("place {}", id.0),
        Component::Flow(flow) => flow.to_string(),
    };
    if let [(only, _)] = proposal.components.as_slice() {
        return name(*only);
    }
    let are_alike = |a: &(Component, f64), b: &(Component, f64)| match (a.0, b.0) {
        (Component::Flow(_), Component::Flow(_)) => a.1 == b.1,
        (Component::Local(_), Component::Local(_)) => a.1 == b.1,
        (Component::Prior | Component::Local(_) | Component::Flow(_), _) => false,
    };
    let parts = proposal.components.chunk_by(are_alike).map(|alike| {
        let all: f64 = alike.iter().map(|(_, share)| share).sum();
        match alike {
            [(first, _), _, .., (last, _)] => format!(
                "{} to {} {} in all",
                name(*first),
                name(*last),
                numbers::short_percent(all)
            ),
            few => {
                let part = |&(component, share): &(Component, f64)| {
                    format!("{} {}", name(component), numbers::short_percent(share))
                };
                few.iter().map(part).collect::<Vec<_>>().join(", ")
            }
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// In the place of the prior of what is none of the space's coordinates.
pub const NO_PRIOR: &str = "by the model";

/// The prior of one parameter of a space.
pub fn prior(space: &ParameterSpace, position: usize) -> String {
    let alone = independent_prior(&space.parameters[position].prior);
    let mut copulas = space.copulas.iter();
    let is_correlated = copulas.any(|copula| copula.positions().contains(&position));
    if space.is_joint(position) || is_correlated {
        format!("{alone}, correlated")
    } else {
        alone
    }
}

fn independent_prior(prior: &Prior) -> String {
    let n = |number: &f64| numbers::plain(*number);
    match prior {
        Prior::Uniform { low, high } => format!("uniform {}", span(*low, *high)),
        Prior::Normal { mean, sd } => format!("normal, mean {}, sd {}", n(mean), n(sd)),
        Prior::TruncatedNormal {
            mean,
            sd,
            low,
            high,
        } => {
            format!(
                "normal, mean {}, sd {}, {}",
                n(mean),
                n(sd),
                span(*low, *high)
            )
        }
        Prior::LogNormal { mean, sd } => {
            format!("log-normal, ln has mean {}, sd {}", n(mean), n(sd))
        }
        Prior::LogUniform { low, high } => format!("log-uniform {}", span(*low, *high)),
        Prior::Beta {
            alpha,
            beta,
            low,
            high,
        } => format!("beta({}, {}) {}", n(alpha), n(beta), span(*low, *high)),
        Prior::Samples(_) => {
            let quantile = |z| numbers::short(prior.from_unconstrained(z));
            format!(
                "fitted to samples, median {}, 16 to 84 % {} to {}",
                quantile(0.0),
                quantile(-1.0),
                quantile(1.0)
            )
        }
    }
}

/// `from 0 to 6.28319`
fn span(low: f64, high: f64) -> String {
    let (low, high) = numbers::range(low, high);
    format!("from {low} to {high}")
}

/// `mode 1 of 2, 61.2 ± 0.5 % of the posterior`, `position` counted from 0.
pub fn mode(position: usize, n_modes: usize, mode: &Mode) -> String {
    format!(
        "mode {} of {n_modes}, {:.1} ± {:.1} % of the posterior",
        position + 1,
        100.0 * mode.mass,
        100.0 * mode.error
    )
}

fn simulator(campaign: &Campaign) -> String {
    let options = campaign.simulator.options.0.iter();
    let constants: String = options
        .map(|(name, value)| format!(", {name} {}", option_value(value)))
        .collect();
    let grid = &campaign.simulator.grid;
    let ends = match (grid.first(), grid.last()) {
        (Some(first), Some(last)) => format!(" {}", span(*first, *last)),
        (Some(_) | None, _) => String::new(),
    };
    let name = &campaign.simulator.model.name;
    match grid.len() {
        0 => format!("{name}, a log-likelihood alone{constants}"),
        n => format!("{name} at {n} points{ends}{constants}"),
    }
}

fn option_value(value: &OptionValue) -> String {
    match value {
        OptionValue::Whole(number) => number.to_string(),
        OptionValue::Number(number) => numbers::plain(*number),
        OptionValue::Text(text) => format!("{text:?}"),
        OptionValue::Numbers(values) => {
            let values: Vec<String> = values.iter().map(|&value| numbers::plain(value)).collect();
            values.join(" and ")
        }
        OptionValue::Rows(rows) => {
            let n_columns = rows.first().map_or(0, Vec::len);
            format!("of {} x {n_columns}", rows.len())
        }
    }
}

fn noise(campaign: &Campaign) -> String {
    let own = match &campaign.noise {
        Noise::Gaussian(gaussian) => {
            let terms = [
                ("jitter", &gaussian.terms.jitter),
                ("offset", &gaussian.terms.offset),
            ];
            let terms = terms
                .into_iter()
                .filter_map(|(what, term)| Some((what, term.as_ref()?)));
            let terms = terms.map(|(what, term)| match term {
                NoiseTerm::One(name) => format!("; {what} {name}"),
                NoiseTerm::ByLabel(name_by_label) => {
                    let names = name_by_label.iter();
                    let names: Vec<String> = names
                        .map(|(label, name)| format!("{name} of {label}"))
                        .collect();
                    format!("; {what} {}", names.join(", "))
                }
            });
            let terms: String = terms.collect();
            format!("{}{terms}", sigma_source(&gaussian.sigma))
        }
        Noise::Simulator => "the simulator's own".to_owned(),
    };
    match &campaign.training_noise {
        Some(noise) => format!("{} in training; in the likelihood {own}", noise.name()),
        None => own,
    }
}

fn sigma_source(source: &SigmaSource) -> String {
    match source {
        SigmaSource::Observed => "gaussian, the observation's own errors".to_owned(),
        SigmaSource::Constant(sigma) => format!("gaussian, sigma {}", numbers::plain(*sigma)),
        SigmaSource::Uniform { low, high } => {
            format!("gaussian, sigma uniform {}", span(*low, *high))
        }
        SigmaSource::LogUniform { low, high } => {
            format!("gaussian, sigma log-uniform {}", span(*low, *high))
        }
        SigmaSource::Table(rows) => format!(
            "gaussian, sigma from a table of {} sets of errors",
            rows.len()
        ),
    }
}

fn featurizer(featurizer: &Featurizer) -> String {
    let name = featurizer.kind().name();
    match featurizer {
        Featurizer::ResnetGru {
            channels,
            stages,
            hidden,
            features,
            normalization,
        } => format!(
            "{name}: {stages} stages of {channels} channels, GRU of {hidden}, {features} features, {} normalization",
            normalization.name()
        ),
        Featurizer::Resnet {
            channels,
            stages,
            features,
            normalization,
        } => format!(
            "{name}: {stages} stages of {channels} channels, {features} features, {} normalization",
            normalization.name()
        ),
        Featurizer::Gru { hidden, features } => format!("{name} of {hidden}, {features} features"),
        Featurizer::Mlp {
            layers,
            hidden,
            features,
        } => {
            format!("{name}: {layers} layers of {hidden}, {features} features")
        }
    }
}

fn flow(flow: &Flow) -> String {
    let name = flow.kind().name();
    match flow {
        Flow::Maf {
            blocks,
            hidden,
            layers,
            components,
            max_log_scale,
        } => format!(
            "{name}: {blocks} blocks of {layers} hidden layers of {hidden}, base of {components} gaussians, log-scales \
             within ±{max_log_scale}"
        ),
        Flow::Nsf(size) | Flow::NsfCoupling(size) => format!(
            "{name}: {} blocks of {} hidden layers of {}, splines of {} bins within ±{}, log-scales within ±{}",
            size.blocks, size.layers, size.hidden, size.bins, size.tail_bound, size.max_log_scale
        ),
    }
}

fn loss(loss: Loss) -> String {
    let name = loss.kind().name();
    match loss {
        Loss::Nll => format!("loss {name}"),
        Loss::Apt { atoms } => format!("loss {name} of {atoms} atoms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::base::FlowId;

    #[test]
    fn shares_are_as_short_as_they_can_be() {
        let flow = |id| Component::Flow(FlowId(id));
        let components = vec![
            (flow(2), 0.9),
            (Component::Prior, 0.05),
            (flow(0), 0.025),
            (flow(1), 0.05 / 3.0),
        ];
        assert_eq!(
            proposal(&Proposal::of(components)),
            "flow 2 90 %, prior 5 %, flow 0 2.5 %, flow 1 1.7 %"
        );
        assert_eq!(proposal(&Proposal::prior()), "prior");
        let components = vec![
            (flow(4), 0.9),
            (flow(0), 0.0125),
            (flow(1), 0.0125),
            (flow(2), 0.0125),
            (flow(3), 0.0125),
            (Component::Prior, 0.05),
        ];
        assert_eq!(
            proposal(&Proposal::of(components)),
            "flow 4 90 %, flow 0 to flow 3 5 % in all, prior 5 %"
        );
    }

    #[test]
    fn evidence_has_the_digits_of_its_error() {
        let text = |log_evidence, error| {
            evidence(&Evidence {
                log_evidence,
                error,
            })
        };
        assert_eq!(text(28.487_123, 0.0312), "28.487 ± 0.031");
        assert_eq!(text(-1319.8111, 0.5), "−1319.81 ± 0.50");
        assert_eq!(text(1.0, 0.0), "1.0000 ± 0.0000");
    }
}
