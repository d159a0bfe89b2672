//! `catalogue.html`: one self-contained page with a row a target, to sort and to filter.

use super::catalogue_numbers::{Counts, STATUSES};
use crate::numbers;
use crate::page::{document, escape};
use crate::words;
use sidereal_inference::records::{CatalogueQuantiles, CatalogueRow, TargetStatus};
use sidereal_inference::weights::Evidence;
use std::fmt::Write;

const STYLE: &str = include_str!("catalogue_page.css");
const SCRIPT: &str = include_str!("catalogue_page.js");

/// The page as HTML; `names` are those of what is shown.
pub fn render(title: &str, names: &[&str], n_eff: f64, rows: &[CatalogueRow]) -> String {
    let counts = Counts::of(rows, n_eff);
    let mut body = format!("<h1>{}</h1>\n", escape(title));
    let _ = writeln!(
        body,
        "<p class=lead>{}</p>",
        escape(&words::number_of(rows.len(), "target"))
    );
    body.push_str(&figures(&counts));
    body.push_str(
        "<div class=filters><input id=text type=search placeholder=\"target or reason\" aria-label=\"target or reason\">\
         <select id=status aria-label=\"status\"><option value=\"\">any status</option><option value=bad>not 0</option>",
    );
    for (status, what) in STATUSES {
        let status = u8::from(status);
        let _ = write!(body, "<option value={status}>{status}, {what}</option>");
    }
    body.push_str("</select><span id=shown class=note></span></div>\n");
    body.push_str("<div class=wide><table>\n<thead><tr>");
    let fixed = [
        "target",
        "status",
        "n_eff",
        "efficiency",
        "k̂",
        "log evidence",
        "χ² / dof",
        "p of fit",
        "simulations",
    ];
    for head in fixed.iter().chain(names) {
        let _ = write!(body, "<th scope=col>{}</th>", escape(head));
    }
    body.push_str("<th scope=col class=text>reasons</th></tr></thead>\n<tbody>\n");
    for row in rows {
        body.push_str(&table_row(row, names.len()));
    }
    let _ = writeln!(body, "</tbody></table></div>\n<script>\n{SCRIPT}</script>");
    document(title, &format!("<style>{STYLE}</style>\n"), &body)
}

fn figures(counts: &Counts) -> String {
    let mut figures: Vec<(String, String)> = Vec::new();
    for (status, what, n) in &counts.n_by_status {
        figures.push((
            format!("status {}, {what}", u8::from(*status)),
            numbers::count(*n),
        ));
    }
    figures.push((
        format!("n_eff of {}", numbers::n_eff(counts.n_eff)),
        numbers::count(counts.n_reached),
    ));
    if let Some(efficiency) = counts.median_efficiency {
        figures.push(("median efficiency".to_owned(), numbers::percent(efficiency)));
    }
    figures.push(("simulations".to_owned(), numbers::count(counts.simulations)));
    let mut text = "<dl class=figures>".to_owned();
    for (name, value) in figures {
        let _ = write!(
            text,
            "<div><dt>{}</dt><dd>{value}</dd></div>",
            escape(&name)
        );
    }
    text.push_str("</dl>\n");
    text
}

fn table_row(row: &CatalogueRow, n_parameters: usize) -> String {
    let class = match row.status {
        TargetStatus::Done => "",
        TargetStatus::Failed | TargetStatus::Unusable | TargetStatus::NotTrusted => " class=bad",
    };
    let status = u8::from(row.status);
    let mut text = format!("<tr{class} data-status={status}>");
    let target = escape(&row.target.to_string());
    let _ = match &row.posterior {
        // The names of its folders have signs that addresses take apart.
        Some(path) => write!(
            text,
            "<th scope=row><a href=\"{}\">{target}</a></th>",
            escape(&path.replace('%', "%25"))
        ),
        None => write!(text, "<th scope=row>{target}</th>"),
    };
    let mut cell = |value: Option<f64>, shown: &dyn Fn(f64) -> String| {
        let _ = match value {
            Some(value) => write!(
                text,
                "<td data-v=\"{value}\">{}</td>",
                escape(&shown(value))
            ),
            None => write!(text, "<td data-v=\"\">–</td>"),
        };
    };
    cell(Some(f64::from(status)), &|_| status.to_string());
    cell(row.n_eff, &numbers::n_eff);
    cell(row.efficiency, &numbers::percent);
    cell(row.pareto_k, &|k| words::pareto_k(Some(k)));
    cell(row.log_evidence, &|log_evidence| {
        let error = row.log_evidence_error.unwrap_or(0.0);
        words::evidence(&Evidence {
            log_evidence,
            error,
        })
    });
    let reduced = row.chi_square.zip(row.degrees_of_freedom);
    cell(
        reduced.map(|(chi_square, dof)| chi_square / dof),
        &numbers::short,
    );
    cell(row.p_of_fit, &numbers::short);
    cell(Some(row.simulations as f64), &|_| {
        numbers::count(row.simulations)
    });
    for j in 0..n_parameters {
        let found = row.parameters.get(j);
        cell(found.and_then(|found| found.median), &|median| {
            quantiles(median, found)
        });
    }
    let reasons = escape(&row.reasons.join("; "));
    let _ = writeln!(text, "<td class=text>{reasons}</td></tr>");
    text
}

fn quantiles(median: f64, found: Option<&CatalogueQuantiles>) -> String {
    let quantiles = found.and_then(|found| found.quantile_16.zip(found.quantile_84));
    let Some((low, high)) = quantiles else {
        return numbers::short(median);
    };
    let numbers::Estimate {
        value,
        above,
        below,
    } = numbers::estimate(median, low, high);
    format!("{value} +{above} −{below}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::base::TargetId;
    use sidereal_predict::row_without;

    #[test]
    fn every_target_has_its_row_and_nothing_of_it_is_markup() {
        let bad = row_without(
            &TargetId::Name("<b>".to_owned()),
            0,
            0,
            TargetStatus::Unusable,
            "found 3 data & no more".to_owned(),
        );
        let good = CatalogueRow {
            status: TargetStatus::Done,
            reasons: Vec::new(),
            n_eff: Some(1234.5),
            log_evidence: Some(-3.25),
            log_evidence_error: Some(0.02),
            posterior: Some("posteriors/target=a%20b/posterior.parquet".to_owned()),
            parameters: vec![CatalogueQuantiles {
                median: Some(1.0),
                quantile_16: Some(0.75),
                quantile_84: Some(1.5),
            }],
            ..row_without(
                &TargetId::Name("a b".to_owned()),
                0,
                9,
                TargetStatus::Done,
                String::new(),
            )
        };
        let page = render("any", &["x"], 1000.0, &[bad, good]);
        for expected in [
            "<tr class=bad data-status=2><th scope=row>&lt;b&gt;</th><td data-v=\"2\">2</td><td data-v=\"\">–</td>",
            "<td class=text>found 3 data &amp; no more</td></tr>",
            "<a href=\"posteriors/target=a%2520b/posterior.parquet\">a b</a>",
            "<td data-v=\"1234.5\">1,235</td>",
            "<td data-v=\"-3.25\">−3.250 ± 0.020</td>",
            "<td data-v=\"1\">1.00 +0.50 −0.25</td>",
            "<div><dt>status 2, cannot be used</dt><dd>1</dd></div>",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
        let from_elsewhere = ["http://", "https://", "src="];
        assert!(!from_elsewhere.iter().any(|from| page.contains(from)));
    }
}
