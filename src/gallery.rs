//! Synthetic campaigns drawn as pictures and pages; `SIDEREAL_GALLERY=DIR` keeps them to be looked at.

use crate::page;
use crate::plots::{PlotError, corner, fit, training};
use crate::terminal::Terminal;
use bytes::Bytes;
use sidereal_inference::account::{SUMMARY_FORMAT, SUMMARY_VERSION, Summary, Timing};
use sidereal_inference::base::{FlowId, RoundId};
use sidereal_inference::campaign::{Campaign, Observation};
use sidereal_inference::campaign_file;
use sidereal_inference::method::fit_check::{Fit, FitCheck, LargestResidual};
use sidereal_inference::method::{RoundTiming, StopReason};
use sidereal_inference::records::{
    Created, Directory, ModelBand, ParameterSummary, Posterior, Storage, TrainingSummary,
    parameter_summaries,
};
use sidereal_inference::weights::{
    Component, Evidence, Objective, Proposal, RoundKind, RoundSummary, WeightDiagnostics,
};
use sidereal_models::Catalogue;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Numbers without a pattern, the same each time.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A campaign of parameters with uniform priors.
fn campaign(parameters: &[(&str, f64, f64)]) -> Campaign {
    let mut text = "name = \"a <b> & c\"\n[simulator]\nbuiltin = \"linear-gaussian\"\n".to_owned();
    for (name, low, high) in parameters {
        text.push_str(&format!(
            "[[parameters]]\nname = \"{name}\"\nprior = {{ uniform = {{ low = {low:?}, high = {high:?} }} }}\n"
        ));
    }
    let ones: Vec<f64> = vec![1.0; parameters.len()];
    text.push_str(&format!(
        "[observation]\ngrid = {ones:?}\nvalue = {ones:?}\nsigma = {ones:?}\n"
    ));
    campaign_file::parse(&text, Path::new("gallery.toml"), &Catalogue::default())
        .expect("a campaign")
}

/// Draws of `row`, which gives parameters and weight.
fn posterior(n_rows: usize, mut row: impl FnMut(&mut Noise) -> (Vec<f64>, f64)) -> Posterior {
    let mut noise = Noise(88_172_645_463_325_252);
    let (rows, weights): (Vec<Vec<f64>>, Vec<f64>) = (0..n_rows).map(|_| row(&mut noise)).unzip();
    let sum: f64 = weights.iter().sum();
    Posterior {
        n_parameters: rows.first().map_or(0, Vec::len),
        theta: rows.concat(),
        n_derived: 0,
        derived: Vec::new(),
        log_likelihood: vec![0.0; n_rows],
        log_prior: vec![0.0; n_rows],
        log_proposal: vec![0.0; n_rows],
        round: vec![0; n_rows],
        row_id: (0..n_rows as u64).collect(),
        weight: weights.iter().map(|weight| weight / sum).collect(),
    }
}

fn diagnostics(n: u64, n_eff: f64) -> WeightDiagnostics {
    WeightDiagnostics {
        n,
        n_eff,
        efficiency: n_eff / n as f64,
        pareto_k: Some(0.31),
        max_weight: 0.004,
        evidence: Some(Evidence {
            log_evidence: 28.4871,
            error: 0.031,
        }),
    }
}

fn round(index: u32, n_eff: f64) -> RoundSummary {
    let proposal = match index {
        0 => Proposal::prior(),
        _ => Proposal::of(vec![
            (Component::Flow(FlowId(index - 1)), 0.9),
            (Component::Prior, 0.1),
        ]),
    };
    RoundSummary {
        round: RoundId(index),
        kind: if index == 4 {
            RoundKind::TopUp
        } else {
            RoundKind::Training
        },
        proposal,
        n_failed: if index == 1 { 12 } else { 0 },
        n_possible: 1000,
        failed_median: (index == 1).then(|| vec![1.0; 3]),
        all: diagnostics(2560, n_eff),
        newest_component: diagnostics(2304, n_eff * 1.06),
        efficiency_error: 0.02,
    }
}

/// A training whose first epoch has the loss of a network that knows nothing at all.
fn flow(index: u32, first_loss: f64) -> TrainingSummary {
    let mut noise = Noise(777 + u64::from(index));
    let level = -1.5 * f64::from(index);
    let mut training_loss: Vec<f64> = (0..60)
        .map(|epoch| 4.0 * (-f64::from(epoch) / 8.0).exp() + level + 0.05 * noise.normal())
        .collect();
    let validation_loss = training_loss.iter().map(|loss| loss + 0.2).collect();
    training_loss[0] = first_loss;
    TrainingSummary {
        flow: FlowId(index),
        objective: Objective::Simulations,
        n_rows: 2560,
        n_epochs: 60,
        best_epoch: 55,
        best_validation_loss: level,
        training_loss,
        validation_loss,
        n_recoveries: 0,
        weights_sha256: "0".repeat(64),
    }
}

fn summary(parameters: Vec<ParameterSummary>) -> Summary {
    let n_effs = [0.003, 41.0, 502.0, 1190.0, 1204.0];
    Summary {
        format: SUMMARY_FORMAT.to_owned(),
        version: SUMMARY_VERSION,
        campaign: "gallery".to_owned(),
        seed: 0,
        simulations: 12_800,
        reused: Vec::new(),
        rounds: (0..)
            .zip(n_effs)
            .map(|(i, n_eff)| round(i, n_eff))
            .collect(),
        combined: Some(diagnostics(12_800, 2931.0)),
        fresh: Some(diagnostics(2560, 1204.0)),
        parameters,
        modes: Vec::new(),
        best_flow: Some(FlowId(3)),
        model: Some("model".to_owned()),
        stop_reason: Some(StopReason::Rounds { max: 5 }),
        warnings: Vec::new(),
        fit: Some(fitted(0.42)),
        missing_mass: None,
        training: (0..)
            .zip([5.0, 1e13, 3.0])
            .map(|(i, loss)| flow(i, loss))
            .collect(),
        not_reproducible: Vec::new(),
        timing: Timing {
            total_s: 187.2,
            rounds: (0..5)
                .map(|round| RoundTiming {
                    round,
                    simulating_s: 0.8,
                    training_s: 41.2,
                })
                .collect(),
        },
    }
}

fn fitted(p: f64) -> Fit {
    Fit::Checked(FitCheck {
        n_data: 120,
        chi_square: 117.3,
        mean_chi_square: 120.1,
        effective_parameters: 2.8,
        degrees_of_freedom: 117.2,
        p_chi_square: p,
        largest_residual: Some(LargestResidual {
            datum: 17,
            grid: 0.25,
            residual: 2.71,
            p: 0.81,
        }),
        runs: None,
        p,
    })
}

fn keep(name: &str, bytes: &[u8]) {
    if let Some(directory) = std::env::var_os("SIDEREAL_GALLERY") {
        std::fs::write(Path::new(&directory).join(name), bytes).expect("the gallery is writable");
    }
}

/// Width and height from the header of a PNG.
fn size(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes([png[at], png[at + 1], png[at + 2], png[at + 3]]);
    (number(16), number(20))
}

fn corner_of(name: &str, campaign: &Campaign, posterior: &Posterior) -> Vec<u8> {
    let parameters = parameter_summaries(&campaign.space, posterior);
    let corner = corner::draw(posterior, &parameters, &[], campaign).expect("a corner plot");
    keep(&name.replace(".png", ".pdf"), &corner.pdf());
    let png = corner.png().expect("a picture");
    keep(name, &png);
    png
}

fn two_modes() -> (Campaign, Posterior) {
    let campaign = campaign(&[("phi0", 0.0, 6.3), ("A", -4.0, 4.0), ("omega", 6.0, 38.0)]);
    let posterior = posterior(4000, |noise| {
        let side = if noise.uniform() < 0.5 { 1.0 } else { -1.0 };
        let tilt = noise.normal();
        let phi0 = 4.4 + 1.57 * side - 0.25 * tilt + 0.06 * noise.normal();
        let amplitude = side * (0.38 + 0.02 * noise.normal());
        (
            vec![phi0, amplitude, 36.8 + 0.18 * tilt],
            noise.uniform().powi(3),
        )
    });
    (campaign, posterior)
}

#[test]
fn corner_plots_grow_with_the_parameters() {
    let (sine, posterior_of_sine) = two_modes();
    let (width, height) = size(&corner_of("sine.png", &sine, &posterior_of_sine));
    assert!(
        (800..1200).contains(&width) && (800..1200).contains(&height),
        "{width} x {height}"
    );

    let far = campaign(&[("t0", 5370.0, 5390.0), ("rp", 0.0, 1.0)]);
    let draws = posterior(2000, |noise| {
        (
            vec![5379.5712 + 0.0012 * noise.normal(), 1e-4 * noise.uniform()],
            1.0,
        )
    });
    corner_of("offsets.png", &far, &draws);

    let names: Vec<String> = (0..15).map(|i| format!("parameter_{i}")).collect();
    let many: Vec<(&str, f64, f64)> = names
        .iter()
        .map(|name| (name.as_str(), -1e9, 1e9))
        .collect();
    let draws = posterior(500, |noise| {
        (
            (0..15)
                .map(|i| 10f64.powi(i % 7 - 3) * noise.normal())
                .collect(),
            1.0,
        )
    });
    let (wider, _) = size(&corner_of("fifteen.png", &campaign(&many), &draws));
    assert!(wider > 2 * width, "{wider}");
}

/// Parameters of all kinds: a Julian date, one of 1e-17, and circles: one mode across the bounds, two of which one is, none.
fn all_kinds(n: usize) -> (Campaign, Posterior) {
    let uniform =
        |low: f64, high: f64| format!("{{ uniform = {{ low = {low:?}, high = {high:?} }} }}");
    let angle = uniform(0.0, 6.25);
    let kinds = [
        ("bjd", uniform(2457500.0, 2457700.0), "truth = 2457588.2851"),
        ("w", angle.clone(), "periodic = true\ntruth = 0.5"),
        ("flux_in_the_line", uniform(0.0, 1e-15), "truth = 1.4e-17"),
        ("phase", angle.clone(), "periodic = true"),
        ("slope", uniform(-9.0, 9.0), ""),
        ("any_angle", angle, "periodic = true"),
        ("velocity", uniform(-1e6, 1e6), "truth = -4e5"),
        ("e", uniform(0.0, 1.0), ""),
    ];
    let mut text = "name = \"all kinds\"\n[simulator]\nbuiltin = \"linear-gaussian\"\n".to_owned();
    for (name, prior, more) in &kinds[..n] {
        text.push_str(&format!(
            "[[parameters]]\nname = {name:?}\nprior = {prior}\n{more}\n"
        ));
    }
    let ones = vec![1.0; n];
    text.push_str(&format!(
        "[observation]\ngrid = {ones:?}\nvalue = {ones:?}\nsigma = {ones:?}\n"
    ));
    let campaign = campaign_file::parse(&text, Path::new("gallery.toml"), &Catalogue::default())
        .expect("a campaign");
    let posterior = posterior(3000, |noise| {
        let [a, b, c] = [(); 3].map(|()| noise.normal());
        let side = f64::from(u8::from(noise.uniform() < 0.4));
        let mut row = vec![
            2457588.2838 + 0.0012 * a,
            (6.25 + 0.3 * (0.6 * a + 0.8 * b)).rem_euclid(6.25),
            (1.02e-17 + 2e-18 * c).abs(),
            (6.1 + 0.15 * b + 3.0 * side).rem_euclid(6.25),
            0.3 * a - 0.2 * c,
            6.25 * noise.uniform(),
            -1.3e5 + 4e4 * b,
            0.02 * noise.normal().abs(),
        ];
        row.truncate(n);
        (row, noise.uniform())
    });
    (campaign, posterior)
}

#[test]
fn corner_plots_of_all_kinds_are_drawn() {
    for n in [2, 5, 8] {
        let (campaign, draws) = all_kinds(n);
        corner_of(&format!("kinds-{n}.png"), &campaign, &draws);
    }
}

#[test]
fn poor_posteriors_are_drawn_and_empty_ones_refused() {
    let two = campaign(&[("a", 0.0, 1.0), ("b", 0.0, 1.0)]);
    corner_of(
        "single.png",
        &two,
        &posterior(1, |_| (vec![0.5, 0.25], 1.0)),
    );
    let poor = posterior(500, |noise| {
        (
            vec![noise.uniform(), noise.uniform()],
            (30.0 * noise.normal()).exp(),
        )
    });
    corner_of("poor.png", &two, &poor);
    let parameters = parameter_summaries(&two.space, &poor);
    let nothing = Posterior {
        weight: vec![0.0; 500],
        ..poor
    };
    assert_eq!(
        corner::draw(&nothing, &parameters, &[], &two).err(),
        Some(PlotError::NoWeight)
    );
}

/// Data around a sine with `n` points at `grid`, and the bands of draws whose amplitude and level scatter.
fn band(grid: Vec<f64>, sigma: impl Fn(usize) -> f64) -> ModelBand {
    let mut noise = Noise(4242);
    let model = |t: f64, amplitude: f64, level: f64| amplitude * (9.0 * t).sin() + level;
    let sigma: Vec<f64> = (0..grid.len()).map(sigma).collect();
    let observation = Observation {
        value: grid
            .iter()
            .zip(&sigma)
            .map(|(&t, sigma)| model(t, 1.0, 17.9) + sigma * noise.normal())
            .collect(),
        sigma,
        grid,
    };
    let predict = |amplitude: f64, level: f64| -> Vec<f32> {
        let predicted = observation.grid.iter();
        predicted
            .map(|&t| model(t, amplitude, level) as f32)
            .collect()
    };
    let draws: Vec<Vec<f32>> = (0..200)
        .map(|_| predict(1.0 + 0.08 * noise.normal(), 17.9 + 0.04 * noise.normal()))
        .collect();
    let draws: Vec<&[f32]> = draws.iter().map(Vec::as_slice).collect();
    ModelBand::new(&observation, &predict(1.01, 17.91), &draws)
}

#[test]
fn fits_of_few_and_of_thousands_of_data_are_drawn() {
    let grid = |n: usize| (0..n).map(|i| i as f64 / n as f64).collect::<Vec<f64>>();
    let drawn = |name: &str, band: &ModelBand| {
        let png = fit::draw(band, "time").expect("a plot");
        keep(name, &png);
        size(&png)
    };
    let few = drawn("fit-few.png", &band(grid(9), |_| 0.3));
    let usual = drawn("fit.png", &band(grid(120), |i| 0.1 + 0.2 * (i % 3) as f64));
    let many = drawn("fit-many.png", &band(grid(6000), |_| 0.4));
    assert_eq!((few, usual), (many, many));
    // Two series one after the other, one datum far off, one with a huge error, another almost without.
    let mut twice = band([grid(80), grid(80)].concat(), |i| match i {
        40 => 1e6,
        41 => 1e-6,
        _ => 0.2,
    });
    twice.value[100] += 30.0;
    drawn("fit-wild.png", &twice);
    drawn("fit-single.png", &band(vec![2459000.5], |_| 0.1));
    let nothing = band(Vec::new(), |_| 0.1);
    assert_eq!(fit::draw(&nothing, "time"), Err(PlotError::NoData));
}

#[test]
fn training_is_drawn_with_and_without_an_observation() {
    let full = summary(Vec::new());
    let png = training::draw(&full, None).expect("a plot");
    keep("training.png", &png);
    let amortized = Summary {
        combined: None,
        ..full.clone()
    };
    let losses_alone = training::draw(&amortized, None).expect("a plot");
    assert!(size(&losses_alone).1 < size(&png).1);
    let nothing = Summary {
        training: Vec::new(),
        ..amortized
    };
    assert_eq!(training::draw(&nothing, None), Err(PlotError::NoHistory));
}

#[test]
fn pages_say_first_whether_to_trust() {
    let (sine, draws) = two_modes();
    let corner = corner_of("sine.png", &sine, &draws);
    let days = (0..120).map(f64::from).collect();
    let picture = fit::draw(&band(days, |_| 0.3), "time").expect("a plot");
    let trusted = summary(parameter_summaries(&sine.space, &draws));
    let page = |summary: &Summary| {
        page::render(&page::Contents {
            campaign: &sine,
            campaign_toml: "name = \"<script>\"",
            summary,
            files: &["samples.parquet", "corner.pdf", "model/"],
            unfinished: None,
            fit: Some(&picture),
            corner: Some(&corner),
            training: None,
        })
    };
    let good = page(&trusted);
    keep("report.html", good.as_bytes());
    let links = "<a href=\"samples.parquet\">samples.parquet</a>, draws of equal weight; \
                 <a href=\"corner.pdf\">corner.pdf</a>; <a href=\"model/\">model/</a>";
    assert!(good.contains(links), "{good}");
    assert!(good.contains("prefers-color-scheme: dark"));
    assert!(!good.contains("<th scope=col>truth</th>"));
    assert!(good.contains("No check failed.") && !good.contains("Not to be trusted"));
    assert!(good.contains("<h1>a &lt;b&gt; &amp; c</h1>") && !good.contains("<script>"));
    assert_eq!(good.matches("src=\"data:image/png;base64,").count(), 2);
    let place = |text: &str| good.find(text).expect("part of the page");
    assert!(place("alt=\"data, model and residuals\"") < place("alt=\"corner plot"));
    assert!(good.contains("<p>p 0.420: chi-square 117.3 for 120 data"));
    let known = Campaign {
        truth_by_name: BTreeMap::from([("A".to_owned(), 0.38)]),
        ..sine.clone()
    };
    let with_truth = page::render(&page::Contents {
        campaign: &known,
        campaign_toml: "",
        summary: &trusted,
        files: &[],
        unfinished: None,
        fit: None,
        corner: Some(&corner),
        training: None,
    });
    assert!(with_truth.contains("<th scope=col>sd</th><th scope=col>truth</th>"));
    assert_eq!(
        with_truth.matches("<td>0.38</td><td class=text>").count(),
        1
    );
    assert_eq!(with_truth.matches("<td>–</td><td class=text>").count(), 2);
    assert!(with_truth.contains("Orange: the true values") && !good.contains("Orange"));
    assert!(!with_truth.contains("Beside this page"));
    let doubtful = page(&Summary {
        fit: Some(fitted(2e-5)),
        ..trusted.clone()
    });
    assert!(doubtful.contains("<strong>A poor fit.</strong> fit: DOUBTFUL, p 2.00e−5"));
    assert!(!doubtful.contains("No check failed") && !doubtful.contains("Not to be trusted"));
    let warnings = vec!["n_eff is 3 < 100".to_owned()];
    let bad = page(&Summary {
        warnings,
        ..trusted
    });
    keep("report-bad.html", bad.as_bytes());
    let distrust = bad.find("Not to be trusted").expect("a loud warning");
    assert!(distrust < bad.find("<table>").expect("a table"));
    assert!(bad.contains("n_eff is 3 &lt; 100") && !bad.contains("No check failed"));
}

#[test]
fn pages_of_a_campaign_that_goes_on_say_so_first() {
    let (sine, _) = two_modes();
    let so_far = Summary {
        stop_reason: None,
        combined: None,
        training: vec![TrainingSummary {
            objective: Objective::WeightedDraws { exponent: 0.3 },
            ..flow(0, 5.0)
        }],
        ..summary(Vec::new())
    };
    let page = |is_live| {
        page::render(&page::Contents {
            campaign: &sine,
            campaign_toml: "",
            summary: &so_far,
            files: &[],
            unfinished: Some(&page::Unfinished {
                sentence: "<strong>Still running.</strong> n_eff 3 of 5".to_owned(),
                is_live,
            }),
            fit: None,
            corner: None,
            training: None,
        })
    };
    let live = page(true);
    let heading = live.find("<h1>").expect("a heading");
    let said = live.find("Still running.").expect("where it stands");
    assert!(heading < said && said < live.find("<h2>").expect("a section"));
    assert!(!live.contains("No check failed") && !live.contains("Stopped:"));
    assert!(!live.contains("A model was trained"));
    assert!(live.contains("likelihood^0.300"));
    let refresh = "<meta http-equiv=\"refresh\" content=\"10\">";
    assert!(live.contains(refresh) && !page(false).contains(refresh));
}

/// A directory that takes no files, for this reason.
#[derive(Debug)]
struct TakesNothing(io::ErrorKind);

impl Storage for TakesNothing {
    fn read(&self, _path: &str) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write(&self, _path: &str, _contents: Bytes) -> io::Result<()> {
        Err(self.0.into())
    }

    fn create(&self, _path: &str, _contents: Bytes) -> io::Result<Created> {
        Err(self.0.into())
    }

    fn list(&self, _folder: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn remove(&self, _path: &str) -> io::Result<()> {
        Err(self.0.into())
    }

    fn location(&self) -> &str {
        "nowhere"
    }
}

#[test]
fn pictures_are_left_out_where_nothing_may_be_written() {
    let (campaign, _) = two_modes();
    let write = |kind: io::ErrorKind| {
        let directory = Directory::new(TakesNothing(kind));
        let terminal = Terminal::new(true);
        crate::report::write(
            &directory,
            &campaign,
            &summary(Vec::new()),
            &terminal,
            &Catalogue::default(),
        )
    };
    assert_eq!(write(io::ErrorKind::ReadOnlyFilesystem), Ok(Vec::new()));
    assert_eq!(write(io::ErrorKind::PermissionDenied), Ok(Vec::new()));
    // A full disk can be mended.
    let full = write(io::ErrorKind::StorageFull)
        .expect_err("not written")
        .to_string();
    assert!(
        full.starts_with("cannot write nowhere/training.png: "),
        "{full}"
    );
}
