//! `check.html`: one self-contained page of a check.

use super::summary::{CheckSummary, efficiency_line, trusted_of, verdict};
use crate::numbers;
use crate::page::{document, escape, picture, push, table};
use sidereal_inference::method::Calibration;

pub fn render(name: &str, summary: &CheckSummary, png: &[u8]) -> String {
    let mut body = format!("<h1>{}</h1>\n", escape(name));
    let lead = format!(
        "A model asked about {} targets that were drawn from its prior and simulated with noise: where does the truth stand in \
         the posteriors?",
        numbers::count(summary.n_targets)
    );
    push(&mut body, "p class=lead", &lead);
    let trust = match summary.warnings.is_empty() {
        true => "<section class=\"trust good\">Nothing speaks against this model.</section>\n"
            .to_owned(),
        false => {
            let items: Vec<String> = summary
                .warnings
                .iter()
                .map(|one| format!("<li>{}</li>", escape(one)))
                .collect();
            format!(
                "<section class=\"trust bad\"><strong>Not to be trusted.</strong><ul>{}</ul></section>\n",
                items.concat()
            )
        }
    };
    body.push_str(&trust);
    let mut figures = vec![
        ("can be trusted", trusted_of(summary)),
        ("weighted draws", verdict(&summary.weighted)),
        ("network alone", verdict(&summary.network)),
        ("simulations", numbers::count(summary.simulations)),
    ];
    if let Some(efficiency) = &summary.efficiency {
        figures.insert(1, ("efficiency", efficiency_line(efficiency)));
    }
    let rows: Vec<Vec<String>> = figures
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), escape(&value)])
        .collect();
    body.push_str(&table(&["", "found"], &rows));
    let caption = "Above: how much more of the targets than the level have their truth below it, in ranks of each parameter, \
                   in highest-density regions (credibility) and in TARP's regions; calibrated posteriors stay in the grey band in \
                   95 % of all checks. A credibility above it says that posteriors are too wide, below it that they are too narrow. \
                   Below: n_eff by simulations of each target.";
    body.push_str(&picture(
        png,
        "calibration of network and weighted draws, efficiencies",
        caption,
    ));
    push(&mut body, "h2", "Tests");
    let p = |found: &Calibration, i: usize| match found.tests.get(i) {
        Some(test) => numbers::short(test.uniformity.p),
        None => "–".to_owned(),
    };
    let names = summary
        .network
        .tests
        .iter()
        .map(|test| &test.of)
        .enumerate();
    let rows: Vec<Vec<String>> = names
        .map(|(i, of)| vec![escape(of), p(&summary.weighted, i), p(&summary.network, i)])
        .collect();
    body.push_str(&table(
        &["of", "p of weighted draws", "p of the network alone"],
        &rows,
    ));
    push(
        &mut body,
        "p class=note",
        "Kolmogorov's and Smirnov's test of uniform standings. Weighted draws are judged by the targets that can be trusted, which \
         data and draws tell, never the truth.",
    );
    push(&mut body, "h2", "Coverage of highest-density regions");
    let found = |found: &Calibration, i: usize| match found.n_targets {
        0 => "–".to_owned(),
        _ => numbers::percent(found.coverage[i].found),
    };
    let levels = summary.weighted.coverage.iter().enumerate();
    let rows: Vec<Vec<String>> = levels
        .filter(|(i, _)| i % 2 == 1 && *i < 19)
        .map(|(i, level)| {
            vec![
                numbers::percent(level.level),
                found(&summary.weighted, i),
                found(&summary.network, i),
            ]
        })
        .collect();
    body.push_str(&table(
        &["level", "weighted draws", "the network alone"],
        &rows,
    ));
    document(&format!("check of {name}"), "", &body)
}
