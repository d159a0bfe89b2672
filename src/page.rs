//! `report.html`: one self-contained page with everything that people look at.

use crate::numbers::{self, Estimate};
use crate::words;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sidereal_inference::account::Summary;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::{ParameterSummary, TrainingSummary};
use sidereal_inference::weights::{RoundSummary, WeightDiagnostics};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// What the page shows. Pictures are PNG; None where there is nothing to draw.
pub struct Contents<'a> {
    pub campaign: &'a Campaign,
    /// The campaign file as validated and run.
    pub campaign_toml: &'a str,
    pub summary: &'a Summary,
    /// Files beside the page that it links to.
    pub files: &'a [&'a str],
    pub unfinished: Option<&'a Unfinished>,
    pub fit: Option<&'a [u8]>,
    pub corner: Option<&'a [u8]>,
    pub training: Option<&'a [u8]>,
}

/// Why there is no result yet.
pub struct Unfinished {
    /// HTML already.
    pub sentence: String,
    /// Whether the page is written again while it is looked at.
    pub is_live: bool,
}

/// Between two looks of a browser at a page that is written again.
const REFRESH: &str = "<meta http-equiv=\"refresh\" content=\"10\">\n";

/// The page as HTML.
pub fn render(contents: &Contents) -> String {
    let Contents {
        campaign,
        campaign_toml,
        summary,
        files,
        unfinished,
        fit,
        corner,
        training,
    } = contents;
    let mut body = format!("<h1>{}</h1>\n", escape(&campaign.name));
    push(
        &mut body,
        "p class=lead",
        &escape(&words::campaign_line(campaign)),
    );
    body.push_str(&match unfinished {
        Some(unfinished) => format!("<section class=trust>{}</section>\n", unfinished.sentence),
        None => trust(summary),
    });
    if let Some(combined) = &summary.combined {
        body.push_str(&figures_of(combined, summary));
    }
    if !files.is_empty() {
        body.push_str(&links(files));
    }
    if let Some(found) = &summary.fit {
        push(&mut body, "h2", "Fit");
        push(&mut body, "p", &escape(&words::fit(found)));
        if let Some(png) = fit {
            let caption = "Data with their errors, the draw that fits best, and the bands that hold 68 and 95 % of the \
                           posterior's draws before noise. Below: all less the best draw, in units of each error.";
            body.push_str(&picture(png, "data, model and residuals", caption));
        }
    }
    if !summary.parameters.is_empty() {
        push(&mut body, "h2", "Parameters");
        body.push_str(&parameter_tables(campaign, summary));
    }
    if let Some(png) = corner {
        body.push_str(&picture(
            png,
            "corner plot of the posterior",
            &corner_caption(campaign),
        ));
    }
    if let Some(missing_mass) = &summary.missing_mass {
        push(&mut body, "h2", "What may be missing");
        push(&mut body, "p", &escape(&words::missing_mass(missing_mass)));
    }
    push(&mut body, "h2", "Rounds");
    if let Some(reason) = &summary.stop_reason {
        let reason = escape(&words::stop_reason(reason));
        push(&mut body, "p", &format!("Stopped: {reason}."));
    }
    let rounds = words::number_of(summary.rounds.len(), "round");
    let _ = writeln!(
        body,
        "<details><summary>{rounds}</summary>\n{}</details>",
        round_table(campaign, summary)
    );
    if let Some(png) = training {
        let caption = "Losses are mean negative log densities of the parameters under the flow, lower is better; \
                       the epoch with the best validation loss is kept. Flows are fitted to different densities, so each \
                       flow's losses are drawn less its best validation loss. n_eff against simulations: of each round \
                       by its own weights, and of all rounds so far by the final ones.";
        body.push_str(&picture(
            png,
            "losses by epoch, efficiency by round, n_eff by simulations",
            caption,
        ));
    }
    if !summary.training.is_empty() {
        let flows = words::number_of(summary.training.len(), "flow");
        let _ = writeln!(
            body,
            "<details><summary>{flows}</summary>\n{}</details>",
            training_table(&summary.training)
        );
    }
    push(&mut body, "h2", "What was run");
    body.push_str(&settings_table(campaign, summary));
    let _ = writeln!(
        body,
        "<details><summary>campaign.toml</summary><pre>{}</pre></details>",
        escape(campaign_toml)
    );
    if summary.combined.is_some() {
        push(&mut body, "h2", "Going on in Python");
        push(&mut body, "pre", &escape(&python(campaign)));
    }
    let refresh = match unfinished {
        Some(unfinished) if unfinished.is_live => REFRESH,
        Some(_) | None => "",
    };
    document(&campaign.name, refresh, &body)
}

/// A whole page in the look of all of ours. `head` and `body` are HTML already.
pub fn document(title: &str, head: &str, body: &str) -> String {
    let title = escape(&format!("{title} – sidereal"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n{head}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}<footer>written by sidereal {}</footer>\n</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Links to the files beside the page, with what they hold.
fn links(files: &[&str]) -> String {
    let link = |name: &&str| {
        let what = match *name {
            "posterior.parquet" => ", weighted draws",
            "samples.parquet" => ", draws of equal weight",
            "summary.json" => ", all numbers of this page",
            "fit.parquet" => ", data and bands",
            "campaign.toml" => ", what was run",
            _ => "",
        };
        let name = escape(name);
        format!("<a href=\"{name}\">{name}</a>{what}")
    };
    let links: Vec<String> = files.iter().map(link).collect();
    format!(
        "<p class=note>Beside this page: {}.</p>\n",
        links.join("; ")
    )
}

fn corner_caption(campaign: &Campaign) -> String {
    let mut caption =
        "Weighted posterior. Diagonal: histograms with the 16, 50 and 84 % quantiles, or with the median of \
                       each mode where the parameter tells modes apart. Below it: \
                       densities of pairs with the contours that enclose 68 and 95 % of the mass."
            .to_owned();
    for parameter in campaign
        .space
        .shown()
        .filter_map(|(_, parameter)| parameter)
    {
        if parameter.periodic {
            let (low, high) = parameter.prior.support();
            let _ = write!(
                caption,
                " The axis of {} may run on beyond its bounds, so that no mode is cut in two: its period is {}.",
                escape(&parameter.name),
                numbers::short(high - low)
            );
        }
    }
    if !campaign.truth_by_name.is_empty() {
        caption.push_str(" Orange: the true values that the campaign file gives.");
    }
    caption
}

/// Says first of all how far the result can be trusted.
fn trust(summary: &Summary) -> String {
    let mut text = String::new();
    if !summary.warnings.is_empty() {
        text.push_str("<section class=\"trust bad\"><strong>Not to be trusted.</strong><ul>");
        for warning in &summary.warnings {
            push(&mut text, "li", &escape(warning));
        }
        text.push_str("</ul></section>\n");
        return text;
    }
    if let Some(poor) = summary.fit.as_ref().and_then(words::poor_fit) {
        let _ = writeln!(
            text,
            "<section class=\"trust doubt\"><strong>A poor fit.</strong> {}</section>",
            escape(&poor)
        );
        return text;
    }
    let statement = match &summary.combined {
        Some(combined) => format!(
            "<strong>No check failed.</strong> The weighted posterior is worth about {} independent draws: \
             the statistical error of a mean is {} of the parameter's standard deviation.",
            numbers::n_eff(combined.n_eff),
            numbers::percent(1.0 / combined.n_eff.max(1.0).sqrt())
        ),
        None => "<strong>A model was trained.</strong> There was no observation to weigh it with; \
                 <code>sidereal predict</code> gives every prediction its own weights and n_eff."
            .to_owned(),
    };
    let _ = writeln!(text, "<section class=\"trust good\">{statement}</section>");
    text
}

fn figures_of(combined: &WeightDiagnostics, summary: &Summary) -> String {
    let evidence = match &combined.evidence {
        Some(evidence) => words::evidence(evidence),
        None => "none".to_owned(),
    };
    let figures = [
        ("n_eff", numbers::short(combined.n_eff)),
        ("efficiency", numbers::percent(combined.efficiency)),
        ("Pareto k̂", words::pareto_k(combined.pareto_k)),
        ("log evidence", evidence),
        ("simulations", words::simulations(summary)),
        ("time", numbers::seconds(summary.timing.total_s)),
    ];
    let mut text = "<dl class=figures>".to_owned();
    for (name, value) in figures {
        let _ = write!(text, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    text.push_str("</dl>\n");
    if let Some(fresh) = &summary.fresh {
        let evidence = fresh
            .evidence
            .as_ref()
            .map_or("none".to_owned(), words::evidence);
        let sentence = format!(
            "Fresh draws of the final proposal alone, which no flow was fitted to: n_eff {} of {} ({}), k̂ {}, log \
             evidence {evidence}.",
            numbers::short(fresh.n_eff),
            numbers::count(fresh.n),
            numbers::percent(fresh.efficiency),
            words::pareto_k(fresh.pareto_k),
        );
        push(&mut text, "p class=note", &sentence);
    }
    text
}

/// Mode by mode where there are several, and then all at once, folded.
fn parameter_tables(campaign: &Campaign, summary: &Summary) -> String {
    let all = parameter_table(campaign, &summary.parameters);
    if summary.modes.len() < 2 {
        return all;
    }
    let mut text = String::new();
    for (position, mode) in summary.modes.iter().enumerate() {
        let title = words::mode(position, summary.modes.len(), mode);
        push(&mut text, "h3", &escape(&title));
        text.push_str(&parameter_table(campaign, &mode.parameters));
    }
    let _ = writeln!(
        text,
        "<details><summary>all modes at once</summary>{all}</details>"
    );
    text
}

fn parameter_table(campaign: &Campaign, parameters: &[ParameterSummary]) -> String {
    let has_truths = !campaign.truth_by_name.is_empty();
    let mut rows = Vec::new();
    for (position, found) in parameters.iter().enumerate() {
        let Estimate {
            value,
            above,
            below,
        } = numbers::estimate(found.median, found.quantile_16, found.quantile_84);
        let mut row = vec![
            format!("<th scope=row>{}</th>", escape(&found.name)),
            cell(&value),
            cell(&format!("+{above}")),
            cell(&format!("−{below}")),
            cell(&numbers::like(found.mean, &value)),
            cell(&numbers::short(found.sd)),
        ];
        let is_parameter = campaign.space.shown().nth(position);
        let prior = match is_parameter.and_then(|(_, parameter)| parameter) {
            Some(_) => words::prior(&campaign.space, position),
            None => words::NO_PRIOR.to_owned(),
        };
        if has_truths {
            let truth = campaign.truth_by_name.get(&found.name);
            row.push(cell(
                &truth.map_or("–".to_owned(), |truth| numbers::plain(*truth)),
            ));
        }
        row.push(format!("<td class=text>{}</td>", escape(&prior)));
        rows.push(row);
    }
    let mut heads = vec!["", "median", "to 84 %", "to 16 %", "mean", "sd"];
    heads.extend(has_truths.then_some("truth"));
    heads.push("prior");
    table(&heads, &rows)
}

fn round_table(campaign: &Campaign, summary: &Summary) -> String {
    let mut rows = Vec::new();
    for round in &summary.rounds {
        let timing = summary
            .timing
            .rounds
            .iter()
            .find(|timing| timing.round == round.round.0);
        let seconds = |seconds: Option<f64>| match seconds {
            Some(seconds) if seconds > 0.0 => numbers::seconds(seconds),
            Some(_) | None => "–".to_owned(),
        };
        let mut row = vec![
            format!(
                "<th scope=row>{}</th>",
                words::round_name(round, words::is_on_the_way(campaign, summary, round))
            ),
            format!("<td class=text>{}</td>", words::proposal(&round.proposal)),
            cell(&numbers::count(round.all.n)),
            cell(&numbers::count(round.n_failed)),
        ];
        if summary.combined.is_some() {
            row.extend([
                cell(&numbers::short(round.all.n_eff)),
                cell(&numbers::percent(round.all.efficiency)),
                cell(&words::pareto_k(round.all.pareto_k)),
            ]);
        }
        row.extend([
            cell(&seconds(timing.map(|timing| timing.simulating_s))),
            cell(&seconds(timing.map(|timing| timing.training_s))),
        ]);
        rows.push(row);
    }
    let heads: &[&str] = match summary.combined {
        Some(_) => &[
            "round",
            "drawn from",
            "n",
            "failed",
            "n_eff",
            "efficiency",
            "k̂",
            "simulating",
            "training",
        ],
        None => &[
            "round",
            "drawn from",
            "n",
            "failed",
            "simulating",
            "training",
        ],
    };
    let mut text = table(heads, &rows);
    for round in &summary.rounds {
        if let Some(sentence) = failed_sentence(campaign, round) {
            push(&mut text, "p class=note", &escape(&sentence));
        }
    }
    text
}

/// Where the failed rows of a round lie.
fn failed_sentence(campaign: &Campaign, round: &RoundSummary) -> Option<String> {
    let median = round.failed_median.as_ref()?;
    let names = campaign
        .space
        .parameters
        .iter()
        .map(|parameter| &parameter.name);
    let values: Vec<String> = names
        .zip(median)
        .map(|(name, value)| format!("{name} = {}", numbers::short(*value)))
        .collect();
    Some(format!(
        "Failed rows of {} lie around {} (median).",
        round.round,
        values.join(", ")
    ))
}

fn training_table(flows: &[TrainingSummary]) -> String {
    let rows: Vec<Vec<String>> = flows
        .iter()
        .map(|flow| {
            vec![
                format!("<th scope=row>{}</th>", flow.flow),
                format!(
                    "<td class=text>{}</td>",
                    escape(&words::objective(&flow.objective))
                ),
                cell(&numbers::count(flow.n_rows)),
                cell(&flow.n_epochs.to_string()),
                cell(&flow.best_epoch.to_string()),
                cell(&format!("{:.4}", flow.best_validation_loss).replace('-', "−")),
                cell(&flow.n_recoveries.to_string()),
                format!(
                    "<td class=text><code>{}</code></td>",
                    escape(flow.weights_sha256.get(..12).unwrap_or(""))
                ),
            ]
        })
        .collect();
    table(
        &[
            "",
            "fitted to",
            "rows",
            "epochs",
            "best epoch",
            "validation loss",
            "recoveries",
            "weights (sha256)",
        ],
        &rows,
    )
}

fn settings_table(campaign: &Campaign, summary: &Summary) -> String {
    let mut text = "<table class=settings>\n".to_owned();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(
            text,
            "<tr><th scope=row>{name}</th><td class=text>{}</td></tr>",
            escape(value)
        );
    };
    for (name, value) in words::settings(campaign) {
        line(name, &value);
    }
    let reproducible = match summary.not_reproducible.as_slice() {
        [] => "yes: the same file and binary give the same bytes".to_owned(),
        reasons => format!("no: {}", reasons.join("; ")),
    };
    line("reproducible", &reproducible);
    text.push_str("</table>\n");
    text
}

fn python(campaign: &Campaign) -> String {
    let first = campaign.space.shown().next();
    let name = first.map_or("parameter", |(name, _)| name);
    format!(
        "import corner\nimport numpy as np\nimport pandas as pd\n\n\
         samples = pd.read_parquet(\"samples.parquet\")  # draws of equal weight\n\
         corner.corner(samples).savefig(\"mine.pdf\")\n\n\
         posterior = pd.read_parquet(\"posterior.parquet\")  # all draws; \"weight\" sums to 1\n\
         mean = np.average(posterior[{name:?}], weights=posterior[\"weight\"])\n"
    )
}

pub fn picture(png: &[u8], alternative: &str, caption: &str) -> String {
    format!(
        "<figure><img alt=\"{alternative}\" src=\"data:image/png;base64,{}\"><figcaption>{caption}</figcaption></figure>\n",
        STANDARD.encode(png)
    )
}

pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = "<div class=wide><table>\n<thead><tr>".to_owned();
    for head in heads {
        let class = if matches!(*head, "drawn from" | "prior" | "weights (sha256)") {
            " class=text"
        } else {
            ""
        };
        let _ = write!(text, "<th scope=col{class}>{head}</th>");
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        let _ = writeln!(text, "<tr>{}</tr>", row.concat());
    }
    text.push_str("</tbody></table></div>\n");
    text
}

fn cell(value: &str) -> String {
    format!("<td>{}</td>", escape(value))
}

/// Appends an element; `tag` may carry attributes, `inner` is HTML already.
pub fn push(text: &mut String, tag: &str, inner: &str) {
    let name = tag.split(' ').next().unwrap_or(tag);
    let _ = writeln!(text, "<{tag}>{inner}</{name}>");
}

pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
