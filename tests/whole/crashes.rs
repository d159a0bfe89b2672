//! Services as separate processes, of which a random one is killed at a random moment: no row is lost, none is
//! doubled, and the results are those of a calm run in one process, byte for byte.
//!
//! `SIDEREAL_KILLS=200 cargo test --test whole crashes` kills 200 times; without the variable it is 20.

use crate::setup::s3;
use crate::setup::services::{Place, fingerprint, signal, wait};
use crate::setup::{fit, write};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// Longest time that a campaign may take, kills included.
const PATIENCE: Duration = Duration::from_secs(180);
const KILLS_PER_CAMPAIGN: u64 = 5;

const CAMPAIGN: &str = r#"
name = "crash"
seed = 11
parameters = [
    { name = "A", prior = { normal = { mean = 1.0, sd = 0.5 } } },
    { name = "omega", prior = { uniform = { low = 4.0, high = 8.0 } } },
    { name = "phi0", prior = { uniform = { low = 0.0, high = 6.283185307179586 } } },
]
[simulator]
builtin = "sine"
[observation]
grid = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
value = [0.5, 0.9, 1.0, 0.9, 0.6, 0.1, -0.4, -0.8]
sigma = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
[featurizer]
kind = "mlp"
hidden = 16
[flow]
kind = "maf"
blocks = 1
hidden = 16
components = 2
[training]
max_epochs = 10
[rounds]
max = 3
simulations = 400
[rounds.stop]
n_eff = 100000
top_up = 200
[workers]
batch_rows = 10
"#;

fn n_kills() -> u64 {
    let kills = std::env::var("SIDEREAL_KILLS").ok();
    kills.map_or(20, |kills| {
        kills.parse().expect("SIDEREAL_KILLS is a number")
    })
}

/// The services of one campaign, started again whenever they are gone.
struct Services<'a> {
    place: &'a Place,
    coordinator: Child,
    peers: Vec<(Role, Child)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Worker,
    Trainer,
}

impl<'a> Services<'a> {
    fn start(place: &'a Place) -> Self {
        let roles = [Role::Worker, Role::Worker, Role::Trainer];
        Self {
            place,
            coordinator: place.coordinator(),
            peers: roles
                .into_iter()
                .map(|role| (role, start(place, role)))
                .collect(),
        }
    }

    /// Kills one with SIGKILL and starts it again; false where the campaign is finished.
    fn kill_one(&mut self, rng: &mut ChaCha8Rng) -> bool {
        if self.coordinator_ended() {
            return false;
        }
        let victim = (rng.next_u32() % 4) as usize;
        if victim == 3 {
            kill(&mut self.coordinator);
            self.coordinator = self.place.coordinator();
        } else {
            let (role, child) = &mut self.peers[victim];
            kill(child);
            *child = start(self.place, *role);
        }
        true
    }

    fn coordinator_ended(&mut self) -> bool {
        let status = self.coordinator.try_wait().expect("can be asked");
        if let Some(status) = status {
            assert!(
                matches!(status.code(), Some(0 | 3)),
                "the coordinator ended with {status}:\n{}",
                self.place.last_words()
            );
        }
        status.is_some()
    }

    /// Waits until the campaign is finished and all have gone home.
    fn finish(mut self) {
        let status = wait(&mut self.coordinator, PATIENCE, self.place);
        assert!(
            matches!(status.code(), Some(0 | 3)),
            "the coordinator ended with {status}:\n{}",
            self.place.last_words()
        );
        for (role, child) in &mut self.peers {
            let status = wait(child, Duration::from_secs(30), self.place);
            assert!(
                status.success(),
                "{role:?} ended with {status}:\n{}",
                self.place.last_words()
            );
        }
    }
}

fn start(place: &Place, role: Role) -> Child {
    match role {
        Role::Worker => place.worker(),
        Role::Trainer => place.trainer(),
    }
}

fn kill(child: &mut Child) {
    // One that has ended by itself cannot be killed any more.
    let _ = child.kill();
    child.wait().expect("the process ends");
}

fn place(root: &Path, name: &str) -> Place {
    let directory = root.join(name);
    std::fs::create_dir_all(&directory).expect("directory");
    Place {
        campaign: write(root, "campaign.toml", CAMPAIGN),
        access: directory.join("access.json"),
        directory: directory.display().to_string(),
        variables: Vec::new(),
        log: root.join(format!("{name}.log")),
    }
}

/// Every row of every round is recorded exactly once.
fn check_journal(directory: &Path) {
    let mut names: Vec<_> = std::fs::read_dir(directory.join("journal"))
        .expect("journal")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    names.sort();
    let mut rounds: Vec<Vec<u32>> = Vec::new();
    for path in names {
        let record: Value =
            serde_json::from_slice(&std::fs::read(path).expect("record")).expect("JSON");
        for event in record["events"].as_array().expect("events") {
            let fact = &event["fact"];
            if let Some(opened) = fact.get("round_opened") {
                let n_rows = opened["n_rows"].as_u64().expect("rows");
                rounds.push(vec![0; usize::try_from(n_rows).expect("few rows")]);
            }
            if let Some(shard) = fact.get("shard_committed") {
                let number = |key: &str| {
                    usize::try_from(shard[key].as_u64().expect("number")).expect("small")
                };
                let rows = number("first_row")..number("first_row") + number("n_rows");
                for row in &mut rounds[number("round")][rows] {
                    *row += 1;
                }
            }
        }
    }
    for (round, counts) in rounds.iter().enumerate() {
        assert!(
            counts.iter().all(|&count| count == 1),
            "rows of round {round} are recorded {counts:?} times"
        );
    }
}

#[test]
fn a_random_process_is_killed_at_a_random_moment() {
    let root = tempfile::tempdir().expect("temporary directory");
    let calm = root.path().join("calm");
    let started = Instant::now();
    fit(
        &write(root.path(), "calm.toml", CAMPAIGN),
        &calm,
        &["--workers", "2"],
        &[0, 3],
    );
    let calm_s = started.elapsed().as_secs_f64();
    let expected = fingerprint(&calm);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut n_left = n_kills();
    let mut n_campaigns = 0;
    while n_left > 0 {
        let place = place(root.path(), &format!("campaign-{n_campaigns}"));
        let mut services = Services::start(&place);
        for _ in 0..KILLS_PER_CAMPAIGN.min(n_left) {
            let share = f64::from(rng.next_u32()) / 2_f64.powi(32);
            std::thread::sleep(Duration::from_secs_f64(0.6 * calm_s * share));
            if !services.kill_one(&mut rng) {
                break;
            }
            n_left -= 1;
        }
        services.finish();
        let directory = Path::new(&place.directory);
        check_journal(directory);
        assert!(
            expected == fingerprint(directory),
            "campaign {n_campaigns} differs from the calm one:\n{}",
            place.last_words()
        );
        n_campaigns += 1;
        std::fs::remove_dir_all(directory).expect("remove");
    }
    println!(
        "{} kills over {n_campaigns} campaigns; a calm one takes {calm_s:.1} s",
        n_kills()
    );
}

#[test]
fn on_object_storage_too() {
    let root = tempfile::tempdir().expect("temporary directory");
    let calm = root.path().join("calm");
    fit(
        &write(root.path(), "calm.toml", CAMPAIGN),
        &calm,
        &["--workers", "2"],
        &[0, 3],
    );
    let server = s3::Server::start();
    let place = Place {
        directory: server.location("crash/run"),
        access: root.path().join("secrets/access.json"),
        variables: server.variables().to_vec(),
        ..place(root.path(), "s3")
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut services = Services::start(&place);
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(
            500 + u64::from(rng.next_u32() % 1500),
        ));
        if !services.kill_one(&mut rng) {
            break;
        }
    }
    services.finish();
    let directory = server.path("crash/run");
    check_journal(&directory);
    assert!(fingerprint(&calm) == fingerprint(&directory));
    assert!(
        !directory.join("access.json").exists() && !directory.join("access.key").exists(),
        "secrets are in the bucket"
    );
    // Its status and report are told from the bucket alone.
    for verb in ["status", "report"] {
        let mut command = crate::setup::sidereal(&[verb, &place.directory]);
        let output = command.envs(server.variables()).output().expect("runs");
        assert!(
            matches!(output.status.code(), Some(0 | 3)),
            "{verb}: {}",
            crate::setup::errors(&output)
        );
    }
    assert!(directory.join("report.html").exists());
    // A shard that is cut there is simulated again.
    let shards = std::fs::read_dir(directory.join("rounds/001/shards")).expect("shards");
    let shard = shards.map(|entry| entry.expect("entry").path()).min();
    let shard = shard.expect("a shard");
    let good = std::fs::read(&shard).expect("read");
    std::fs::write(&shard, &good[..good.len() / 2]).expect("cut");
    let mut command = crate::setup::sidereal(&["repair", &place.directory]);
    let output = command.envs(server.variables()).output().expect("runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        crate::setup::errors(&output)
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.ends_with("\ndamaged shards repaired: 1\n"), "{said}");
    assert_eq!(std::fs::read(&shard).expect("read"), good);
}

#[test]
fn a_trainer_that_is_paused_and_replaced_wakes_to_no_harm() {
    let root = tempfile::tempdir().expect("temporary directory");
    let calm = root.path().join("calm");
    fit(
        &write(root.path(), "calm.toml", CAMPAIGN),
        &calm,
        &["--workers", "2"],
        &[0, 3],
    );
    let place = place(root.path(), "paused");
    let mut coordinator = place.coordinator();
    let mut worker = place.worker();
    let mut paused = place.trainer();
    // Until it trains.
    let started = Instant::now();
    let model = Path::new(&place.directory).join("rounds/000/model");
    let log_says =
        |what: &str| std::fs::read_to_string(&place.log).is_ok_and(|log| log.contains(what));
    while !model.exists() && !log_says("trainer is ready") {
        assert!(started.elapsed() < PATIENCE, "{}", place.last_words());
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    signal(&paused, "STOP");
    let mut second = place.trainer();
    let status = wait(&mut coordinator, PATIENCE, &place);
    assert!(
        matches!(status.code(), Some(0 | 3)),
        "{}",
        place.last_words()
    );
    signal(&paused, "CONT");
    for child in [&mut worker, &mut second, &mut paused] {
        assert!(
            wait(child, Duration::from_secs(60), &place).success(),
            "{}",
            place.last_words()
        );
    }
    let directory = Path::new(&place.directory);
    check_journal(directory);
    assert!(fingerprint(&calm) == fingerprint(directory));
}

#[test]
fn of_two_coordinators_exactly_one_goes_on() {
    let root = tempfile::tempdir().expect("temporary directory");
    for n in 0..5 {
        let place = place(root.path(), &format!("pair-{n}"));
        let mut pair = [place.coordinator(), place.coordinator()];
        let started = Instant::now();
        let loser = loop {
            let ended: Vec<_> = pair
                .iter_mut()
                .map(|child| child.try_wait().expect("can be asked"))
                .collect();
            if let Some(loser) = ended.iter().position(Option::is_some) {
                assert!(
                    ended[1 - loser].is_none(),
                    "both ended:\n{}",
                    place.last_words()
                );
                assert_eq!(ended[loser].and_then(|status| status.code()), Some(2));
                break loser;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "both go on");
            std::thread::sleep(Duration::from_millis(5));
        };
        // A newcomer never ends a healthy one.
        let mut newcomer = place.coordinator();
        let status = wait(&mut newcomer, Duration::from_secs(30), &place);
        assert_eq!(status.code(), Some(2), "{}", place.last_words());
        let healthy = &mut pair[1 - loser];
        assert_eq!(healthy.try_wait().expect("can be asked"), None);
        signal(healthy, "TERM");
        let status = wait(healthy, Duration::from_secs(30), &place);
        assert_eq!(status.code(), Some(4), "{}", place.last_words());
    }
}
