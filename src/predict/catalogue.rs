//! A catalogue: many targets at a time, results as they come, a table of all at the end.

use super::catalogue_directory::{CatalogueDirectory, Identity};
use super::catalogue_numbers::Counts;
use super::catalogue_page;
use crate::exit::{CommandError, Ending};
use crate::terminal::Terminal;
use crate::{numbers, results};
use sidereal_inference::base::{TargetId, files, seed_of_target};
use sidereal_inference::campaign::{Campaign, Observation, Reading, Target, is_catalogue};
use sidereal_inference::method::Effort;
use sidereal_inference::records::{CatalogueRow, TargetStatus, encode_catalogue};
use sidereal_predict::{CataloguePlan, PredictError, Predicted, Predictor, row_without};
use sidereal_trainer::model::MODEL_FILE;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Where results are, unless the user says where.
pub const OUT: &str = "predictions";
/// The row of each target.
const TABLE_FILE: &str = "catalogue.parquet";
const PAGE_FILE: &str = "catalogue.html";
/// Targets that are named in a message.
const MOST_NAMED: usize = 10;

/// Where the targets are.
#[derive(Debug, PartialEq)]
pub enum Source {
    /// In one file, a row a datum.
    Parquet(PathBuf),
    /// One a file, in order, with a name for all.
    Files { name: String, paths: Vec<PathBuf> },
}

/// What is asked of a catalogue.
pub struct Asked<'a> {
    pub source: &'a Source,
    pub reading: &'a Reading,
    pub n_eff: f64,
    pub simulations: u64,
    pub seed: u64,
    pub model_directory: &'a Path,
    /// None: named like the catalogue.
    pub out: Option<&'a Path>,
    /// The rows as a list.
    pub as_json: bool,
}

/// The catalogue that the paths are; None where they are observations one by one. `is_asked`: these are one too.
pub fn source(paths: &[PathBuf], is_asked: bool) -> Result<Option<Source>, CommandError> {
    let is_whole = |path: &&PathBuf| path.is_dir() || is_parquet(path);
    match (paths, paths.iter().find(is_whole)) {
        ([path], Some(_)) if path.is_dir() => {
            let paths = files_in(path)?;
            let name = name_of(path);
            Ok(Some(Source::Files { name, paths }))
        }
        ([path], Some(_)) => Ok(Some(Source::Parquet(path.clone()))),
        (_, Some(path)) => Err(CommandError::unusable(format!(
            "{}: found a whole catalogue among {} paths, expected it alone",
            path.display(),
            paths.len()
        ))),
        (_, None) => Ok(is_asked.then(|| Source::Files {
            name: "catalogue".to_owned(),
            paths: paths.to_vec(),
        })),
    }
}

pub fn run(
    asked: &Asked,
    predictor: &Predictor,
    campaign: &Campaign,
    terminal: &Terminal,
) -> Result<Ending, CommandError> {
    let begun = Instant::now();
    let targets = targets(asked, predictor)?;
    let out = match asked.out {
        Some(out) => out.to_owned(),
        None => Path::new(OUT).join(match asked.source {
            Source::Parquet(path) => name_of(path),
            Source::Files { name, .. } => name.clone(),
        }),
    };
    let model = files::read(
        &asked.model_directory.join(MODEL_FILE),
        files::MOST_DATA_BYTES,
    );
    let identity = Identity {
        model_sha256: files::sha256_hex(&model.map_err(CommandError::unusable)?),
        seed: asked.seed,
        n_eff: asked.n_eff,
        simulations: asked.simulations,
    };
    let directory = CatalogueDirectory::open(&out, &identity)?;
    let mut row_by_target = directory.finished(&targets)?;
    let n_before = row_by_target.len() as u64;
    for target in &targets {
        if let Err(mistake) = &target.observation {
            let seed = seed_of_target(asked.seed, &target.id);
            let row = row_without(&target.id, seed, 0, TargetStatus::Unusable, mistake.clone());
            row_by_target.insert(target.id.clone(), row);
        }
    }
    let waiting: Vec<(&TargetId, &Observation)> = targets
        .iter()
        .filter(|target| !row_by_target.contains_key(&target.id))
        .filter_map(|target| Some((&target.id, target.observation.as_ref().ok()?)))
        .collect();
    if n_before > 0 && !waiting.is_empty() {
        let n_waiting = waiting.len() as u64;
        terminal.note(&format!(
            "{}: done are {} targets, going on with {}",
            out.display(),
            numbers::count(n_before),
            numbers::count(n_waiting)
        ));
    }
    terminal.count("predicting", waiting.len() as u64);
    let new = predict(asked, predictor, campaign, &directory, &waiting, terminal)?;
    terminal.clear();
    row_by_target.extend(new);
    let rows = targets
        .iter()
        .map(|target| row_by_target.remove(&target.id));
    let rows: Vec<CatalogueRow> = rows.flatten().collect();

    let names: Vec<&str> = campaign.space.shown().map(|(name, _)| name).collect();
    let path = out.join(TABLE_FILE);
    let table = encode_catalogue(&rows, &names, &path).map_err(CommandError::failed)?;
    files::write_atomically(&path, &table).map_err(CommandError::failed)?;
    let page = catalogue_page::render(&campaign.name, &names, asked.n_eff, &rows);
    files::write_atomically(&out.join(PAGE_FILE), page.as_bytes()).map_err(CommandError::failed)?;
    if asked.as_json {
        let json = serde_json::to_string_pretty(&rows).map_err(CommandError::failed)?;
        results::print(&format!("{json}\n"));
    } else {
        let seconds = begun.elapsed().as_secs_f64();
        let mut text = Counts::of(&rows, asked.n_eff).text();
        let speed = format!(
            "{} ({} targets a second)",
            numbers::seconds(seconds),
            numbers::short(waiting.len() as f64 / seconds.max(1e-9))
        );
        results::line(&mut text, "time", &speed);
        results::line(&mut text, "table", &path.display().to_string());
        results::line(
            &mut text,
            "page",
            &out.join(PAGE_FILE).display().to_string(),
        );
        results::print(&text);
    }
    let warnings = warnings(&rows);
    if warnings.is_empty() {
        return Ok(Ending::Done);
    }
    terminal.not_trusted(&warnings);
    Ok(Ending::NotTrusted)
}

/// Asks about those that wait; what is found of each is written as it comes.
fn predict(
    asked: &Asked,
    predictor: &Predictor,
    campaign: &Campaign,
    directory: &CatalogueDirectory,
    waiting: &[(&TargetId, &Observation)],
    terminal: &Terminal,
) -> Result<BTreeMap<TargetId, CatalogueRow>, CommandError> {
    let plan = CataloguePlan {
        effort: Effort::UpTo {
            n_eff: asked.n_eff,
            simulations: asked.simulations,
        },
        seed: asked.seed,
        model_name: asked.model_directory,
    };
    let observation_by_id: BTreeMap<&TargetId, &Observation> = waiting.iter().copied().collect();
    let rows = Mutex::new(BTreeMap::new());
    let done = |id: &TargetId, predicted: Result<Predicted, PredictError>| {
        let Some(observation) = observation_by_id.get(id) else {
            return Ok(());
        };
        let n_data = observation.len() as u64;
        let row = match predicted {
            Ok(predicted) => directory.write(id, observation, &predicted, &campaign.space)?,
            Err(error) if error.is_of_observation() => {
                let status = match error.is_unusable_input() {
                    true => TargetStatus::Unusable,
                    false => TargetStatus::Failed,
                };
                let seed = seed_of_target(asked.seed, id);
                row_without(id, seed, n_data, status, error.to_string())
            }
            Err(error) => {
                let message = format!("target {id}: {error}");
                return Err(CommandError::of(message, error.is_unusable_input()));
            }
        };
        terminal.advance();
        // Each insertion is whole, whatever a thread that panicked did.
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert(id.clone(), row);
        Ok(())
    };
    predictor.predict_all(plan, waiting, done)?;
    Ok(rows.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// All targets in order. Refuses names that two of them have, and catalogues in which no target can be used.
fn targets(asked: &Asked, predictor: &Predictor) -> Result<Vec<Target>, CommandError> {
    let mut targets = match asked.source {
        Source::Parquet(path) => predictor
            .targets(path, asked.reading)
            .map_err(CommandError::unusable)?,
        Source::Files { paths, .. } => {
            check_names(paths)?;
            let target = |path: &PathBuf| Target {
                id: TargetId::Name(name_of(path)),
                observation: predictor.observation(path, asked.reading),
            };
            paths.iter().map(target).collect()
        }
    };
    for target in &mut targets {
        if let Some(mistake) = CatalogueDirectory::mistake(&target.id) {
            target.observation = Err(mistake);
        }
    }
    let usable = targets.iter().find(|target| target.observation.is_ok());
    if usable.is_some() {
        return Ok(targets);
    }
    let mistakes = targets.iter().filter_map(|target| {
        let mistake = target.observation.as_ref().err()?;
        Some(format!("target {}: {mistake}", target.id))
    });
    let mistakes = first(mistakes.collect(), "targets cannot be used either");
    Err(CommandError::UnusableInput(mistakes.join("\n")))
}

fn check_names(paths: &[PathBuf]) -> Result<(), CommandError> {
    let mut path_by_name: BTreeMap<String, &Path> = BTreeMap::new();
    for path in paths {
        if let Some(other) = path_by_name.insert(name_of(path), path) {
            return Err(CommandError::unusable(format!(
                "{} and {} would both be the target {}, expected files of different names",
                other.display(),
                path.display(),
                name_of(path)
            )));
        }
    }
    Ok(())
}

/// Of a file without its ending, or of a folder.
fn name_of(path: &Path) -> String {
    let name = match path.is_dir() {
        true => path.file_name(),
        false => path.file_stem(),
    };
    // Such as `.` and `..`.
    let whole = name.is_none().then(|| path.canonicalize().ok()).flatten();
    let name = name.or_else(|| whole.as_deref()?.file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn is_parquet(path: &Path) -> bool {
    let mut beginning = Vec::new();
    // What cannot be read is told where it is read as an observation.
    let is_read = files::check_regular(path).is_ok()
        && std::fs::File::open(path)
            .and_then(|file| file.take(8).read_to_end(&mut beginning))
            .is_ok();
    is_read && is_catalogue(&beginning)
}

/// All files of a folder that are not hidden, by name.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let failed = |source| files::FileError::new("list", folder, source);
    let entries =
        std::fs::read_dir(folder).map_err(|error| CommandError::unusable(failed(error)))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| CommandError::unusable(failed(error)))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(CommandError::unusable(format!(
            "{}: found no files, expected observations",
            folder.display()
        )));
    }
    Ok(paths)
}

/// Of the first targets that did not end well, one a line.
fn warnings(rows: &[CatalogueRow]) -> Vec<String> {
    let bad = rows.iter().filter(|row| row.status != TargetStatus::Done);
    let told = bad.map(|row| format!("target {}: {}", row.target, row.reasons.join("; ")));
    first(
        told.collect(),
        "targets: see status and reasons in the table",
    )
}

/// The first few, and how many more there are.
fn first(mut all: Vec<String>, of_more: &str) -> Vec<String> {
    let n_more = all.len().saturating_sub(MOST_NAMED);
    all.truncate(MOST_NAMED);
    if n_more > 0 {
        all.push(format!("and {n_more} more {of_more}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_is_told_by_what_it_is() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).expect("folder");
        let parquet = directory.path().join("all.dat");
        std::fs::write(&parquet, "PAR1...").expect("write");
        let (b, a) = (folder.join("b.csv"), folder.join("a.csv"));
        assert!(
            source(std::slice::from_ref(&folder), false).is_err(),
            "an empty folder"
        );
        for path in [&b, &a, &folder.join(".hidden")] {
            std::fs::write(path, "x").expect("write");
        }
        let found = |paths: &[&PathBuf], is_asked| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
            source(&paths, is_asked)
        };
        let files = |name: &str, paths: &[&PathBuf]| {
            Some(Source::Files {
                name: name.to_owned(),
                paths: paths.iter().map(|path| (*path).clone()).collect(),
            })
        };
        assert_eq!(found(&[&folder], false), Ok(files("folder", &[&a, &b])));
        assert_eq!(
            found(&[&parquet], false),
            Ok(Some(Source::Parquet(parquet.clone())))
        );
        assert_eq!(found(&[&a], false), Ok(None));
        assert_eq!(found(&[&b, &a], true), Ok(files("catalogue", &[&b, &a])));
        let error = found(&[&a, &parquet], true).expect_err("two kinds");
        let message = "all.dat: found a whole catalogue among 2 paths, expected it alone";
        assert!(error.to_string().ends_with(message), "{error}");
        let twice = [a.clone(), directory.path().join("a.fits")];
        let error = check_names(&twice).expect_err("one name twice");
        let message = "would both be the target a, expected files of different names";
        assert!(error.to_string().ends_with(message), "{error}");
    }

    #[test]
    fn only_the_first_that_ended_badly_are_told() {
        let row = |status| row_without(&TargetId::Number(7), 0, 9, status, "a reason".to_owned());
        let rows = [
            TargetStatus::Done,
            TargetStatus::Unusable,
            TargetStatus::Failed,
        ]
        .map(row);
        assert_eq!(warnings(&rows), ["target 7: a reason"; 2]);
        let many: Vec<String> = (0..12).map(|i| i.to_string()).collect();
        let told = first(many, "targets");
        assert_eq!(told.len(), 11);
        assert_eq!(told[10], "and 2 more targets");
    }
}
