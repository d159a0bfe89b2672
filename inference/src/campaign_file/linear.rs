//! `likelihood.linear`: parameters that the data are linear in, taken out of those that are drawn.

use super::document::{Section, suggestion};
use super::keys::file::LIKELIHOOD;
use super::keys::likelihood::LINEAR;
use crate::campaign::Noise;
use crate::space::{Derived, DerivedKind, Fixed, ParameterSpace, Prior};

/// What linear parameters need of the rest of a campaign.
pub(super) struct Beside<'a> {
    pub noise: &'a Noise,
    /// Whether there is an observation.
    pub is_observed: bool,
    /// Whether flows are fitted to weighted draws, which have no data.
    pub is_refined: bool,
}

/// The space without its linear parameters, which become quantities that come with each row; None where there is a mistake.
pub(super) fn without_linear(
    root: &Section<'_>,
    space: ParameterSpace,
    beside: &Beside<'_>,
) -> Option<ParameterSpace> {
    let section = root.get(&LIKELIHOOD).and_then(|entry| entry.section());
    let Some(entry) = section.as_ref().and_then(|section| section.get(&LINEAR)) else {
        return Some(space);
    };
    let names = space.names();
    let known = |item: &super::document::Entry<'_>| {
        let name = item.text()?;
        let Some(parameter) = space.parameters.iter().find(|one| one.name == name) else {
            return item.refuse(format!("found {name:?}{}", suggestion(name, &names)));
        };
        if space.of_noise.iter().any(|of_noise| of_noise == name) {
            return item.refuse(format!(
                "{name:?} is a parameter of the noise, expected one of the model"
            ));
        }
        match parameter.prior {
            Prior::Normal { mean, sd } => Some((name.to_owned(), mean, sd)),
            Prior::Uniform { .. }
            | Prior::LogUniform { .. }
            | Prior::LogNormal { .. }
            | Prior::TruncatedNormal { .. }
            | Prior::Beta { .. }
            | Prior::Samples(_) => item.refuse(format!(
                "the prior of {name} is not normal, expected normal = {{ mean, sd }}: with any other there is no closed form"
            )),
        }
    };
    let linear = entry.each(&LINEAR.takes.words(), known)?;
    let refused = if !matches!(beside.noise, Noise::Gaussian(_)) {
        Some("the model gives a likelihood of its own, expected Gaussian noise")
    } else if !beside.is_observed {
        Some("expected an [observation]: given the data they are drawn")
    } else if !beside.is_refined {
        Some(
            "expected flows that are fitted to weighted draws, found training.refinement = false or rounds.stop.rule = \"paper\"",
        )
    } else if space.joint.is_some() {
        Some("expected no [prior] beside them")
    } else if !space.derived.is_empty() {
        Some("expected no blobs and no prior transform beside them")
    } else if linear.len() == space.len() {
        Some("all parameters are linear, expected one at least that is not")
    } else {
        None
    };
    if let Some(refused) = refused {
        return entry.refuse(refused);
    }
    if let Some((i, (name, ..))) = linear
        .iter()
        .enumerate()
        .find(|(i, (name, ..))| linear[..*i].iter().any(|(earlier, ..)| earlier == name))
    {
        return entry.refuse(format!("{name:?} stands there twice, as number {}", i + 1));
    }
    let mut fixed = Vec::new();
    let mut parameters = Vec::new();
    let mut all_fixed = space.fixed.iter().peekable();
    let mut all_parameters = space.parameters.iter();
    for position in 0..space.len() + space.fixed.len() {
        if let Some(one) = all_fixed.next_if(|one| one.position == position) {
            fixed.push(one.clone());
            continue;
        }
        let Some(parameter) = all_parameters.next() else {
            break;
        };
        match linear.iter().find(|(name, ..)| *name == parameter.name) {
            Some(&(_, mean, sd)) => fixed.push(Fixed {
                name: parameter.name.clone(),
                value: mean,
                position,
                sd: Some(sd),
            }),
            None => parameters.push(parameter.clone()),
        }
    }
    let drawn = fixed.iter().filter(|fixed| fixed.sd.is_some());
    let derived = drawn.map(|fixed| Derived {
        name: fixed.name.clone(),
        kind: DerivedKind::Linear,
    });
    let left = ParameterSpace {
        derived: derived.collect(),
        fixed,
        of_noise: space.of_noise.clone(),
        ..ParameterSpace::independent(parameters)
    };
    entry.accept(left.correlated())
}
