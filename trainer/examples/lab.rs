//! scratch
use burn::tensor::Device;
use sidereal_inference::campaign::*;
use sidereal_inference::draws::Draws;
use sidereal_inference::ids::*;
use sidereal_inference::proposal::*;
use sidereal_inference::seeds::Purpose;
use sidereal_inference::*;
use sidereal_trainer::draw::{self, DrawPlan};
use sidereal_trainer::estimator::Estimator;
use sidereal_trainer::model::Model;
use sidereal_trainer::standardization::Standardization;
use sidereal_trainer::training::{self, Observer, TrainingError, TrainingState};
use sidereal_trainer::training_set::TrainingSet;
use std::collections::BTreeMap;
use std::path::Path;

struct Quiet(bool);
impl Observer for Quiet {
    fn on_epoch(&mut self, s: &TrainingState, sec: f64) -> Result<(), TrainingError> {
        if self.0 && s.epoch % 10 == 0 {
            eprintln!(
                "  epoch {} {:.3} {:.3} best {:.3} {:.2}s",
                s.epoch,
                s.training_loss.last().unwrap(),
                s.validation_loss.last().unwrap(),
                s.best_validation_loss,
                sec
            );
        }
        Ok(())
    }
}

fn env(name: &str, default: f64) -> f64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

fn simulate(model: &BuiltinModel, grid: &[f64], t: &[f64]) -> Vec<f64> {
    match model {
        BuiltinModel::Sine => grid
            .iter()
            .map(|x| t[1] * (t[2] * x + t[0]).sin())
            .collect(),
        BuiltinModel::Microlensing => {
            let te = 10f64.powf(t[2]);
            grid.iter()
                .map(|x| {
                    let u2 = t[1] * t[1] + ((x - t[0]) / te).powi(2);
                    let a = (u2 + 2.0) / (u2 * (u2 + 4.0)).sqrt();
                    t[4] - 2.5 * (t[3] * a + 1.0 - t[3]).max(1e-12).log10()
                })
                .collect()
        }
        _ => panic!(),
    }
}

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mut c = campaign_file::load(Path::new(&path)).unwrap();
    c.seed = env("SEED", 0.0) as u64;
    c.training.max_epochs = env("EPOCHS", c.training.max_epochs as f64) as u32;
    c.training.patience = env("PATIENCE", c.training.patience as f64) as u32;
    c.training.batch_size = env("BATCH", c.training.batch_size as f64) as usize;
    c.training.learning_rate = env("LR", c.training.learning_rate);
    let n_rounds = env("ROUNDS", c.rounds.max as f64) as u32;
    let n_sim = env("SIMS", c.rounds.simulations as f64) as u64;
    let defensive = env("DEF", c.rounds.defensive_share);
    let alpha = env("ALPHA", 0.0);
    let latest = env("LATEST", 99.0) as usize;
    let width = env("WIDTH", 16.0) as usize;
    let hidden = env("HIDDEN", 64.0) as usize;
    let fl = env("FLOWH", 64.0) as usize;
    c.featurizer = match env("NET", 0.0) as u32 {
        0 => Featurizer::ResnetGru {
            channels: width,
            stages: env("STAGES", 3.0) as usize,
            hidden,
            features: hidden,
            normalization: Normalization::Weight,
        },
        1 => Featurizer::Mlp {
            layers: 3,
            hidden,
            features: 64,
        },
        2 => Featurizer::Resnet {
            channels: width,
            stages: env("STAGES", 3.0) as usize,
            features: hidden,
            normalization: Normalization::Weight,
        },
        _ => panic!(),
    };
    c.flow = Flow::Maf {
        blocks: env("BLOCKS", 4.0) as usize,
        hidden: fl,
        layers: 2,
        components: env("COMP", 8.0) as usize,
        max_log_scale: env("MLS", 5.0),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(env("THREADS", 2.0) as usize)
        .build()
        .unwrap();
    let device = Device::flex();
    let obs = c.observation.clone().unwrap();
    let mut rounds: Vec<weights::RoundColumns> = vec![];
    let mut all: Vec<(Draws, Vec<f32>)> = vec![];
    let mut models: Vec<Model> = vec![];
    let t0 = std::time::Instant::now();
    for r in 0..n_rounds {
        let round = RoundId(r);
        let proposal = if r == 0 {
            Proposal::prior()
        } else {
            stopping::next_proposal(
                FlowId(r - 1),
                &(0..r - 1).map(FlowId).collect::<Vec<_>>(),
                defensive,
            )
        };
        let scorers: BTreeMap<_, _> = models
            .iter()
            .map(|m| (m.flow(), m.scorer(&obs).unwrap()))
            .collect();
        let (draws, scores) = draw::draw(
            &DrawPlan {
                campaign: &c,
                seed: c.seed,
                purpose: Purpose::Draw,
                round,
                rows: 0..n_sim,
                proposal: &proposal,
            },
            &scorers,
            &pool,
        )
        .unwrap();
        let mut x = vec![];
        let mut ll = vec![];
        for i in 0..n_sim as usize {
            let s = simulate(&c.simulator.model, &c.simulator.grid, draws.theta_row(i));
            ll.push(Some(c.noise.log_likelihood(&obs, &s)));
            x.extend(s.iter().map(|v| *v as f32));
        }
        let mut log_flow = BTreeMap::new();
        for (f, s) in scores.flows.iter().zip(scores.log_density) {
            log_flow.insert(*f, s);
        }
        let col = weights::RoundColumns {
            round,
            proposal,
            log_likelihood: ll,
            log_prior: draws.log_prior.clone(),
            log_proposal: draws.log_proposal.clone(),
            component: draws.component.clone(),
            log_flow,
        };
        let d = weights::diagnostics(&weights::round_log_weights(&col));
        rounds.push(col);
        all.push((draws, x));
        let comb = weights::combine(&rounds, Combine::Mixture).unwrap();
        let cd = comb.diagnostics();
        eprintln!(
            "seed {} round {r}: n_eff {:.1} eff {:.4} k {:.2?} | combined n_eff {:.1} k {:.2?} logZ {:?} | {:.0}s",
            c.seed,
            d.n_eff,
            d.efficiency,
            d.pareto_k,
            cd.n_eff,
            cd.pareto_k,
            cd.evidence.map(|e| (e.log_evidence, e.error)),
            t0.elapsed().as_secs_f64()
        );
        if r + 1 == n_rounds {
            break;
        }
        let flow = FlowId(r);
        let mut set = TrainingSet::new(&c, flow);
        let lp = weights::mixture_log_proposal(&rounds).unwrap();
        let nd = c.simulator.grid.len();
        for (k, (draws, x)) in all.iter().enumerate() {
            if all.len() - k > latest {
                continue;
            }
            for i in 0..draws.n_rows() {
                let w = (alpha * (draws.log_prior[i] - lp[k][i])).exp();
                set.push(draws.z_row(i), &x[i * nd..(i + 1) * nd], w);
            }
        }
        set.normalize_weights();
        let st = Standardization::new(&set);
        let e = Estimator::init(&c, flow, st.n_channels(), &device.clone().autodiff());
        let f = training::fit(&set, &st, e, None, &pool, &mut Quiet(env("V", 0.0) > 0.0)).unwrap();
        eprintln!(
            "  trained {} rows, {} epochs best {} loss {:.3} | {:.0}s",
            set.n_rows(),
            f.summary.n_epochs,
            f.summary.best_epoch,
            f.summary.best_validation_loss,
            t0.elapsed().as_secs_f64()
        );
        let m = Model::new(c.clone(), st, f.summary, f.estimator, device.clone());
        // score earlier rounds
        let sc = m.scorer(&obs).unwrap();
        for (col, (draws, _)) in rounds.iter_mut().zip(&all) {
            col.log_flow
                .insert(flow, draw::score(&c, &sc, draws, &pool).unwrap());
        }
        models.push(m);
    }
}
