//! A campaign on a Slurm cluster whose jobs and nodes die gives the bytes of a run on one machine.

use crate::setup::s3;
use crate::setup::{errors, fit, python_or_skip, status, summary_without_timing, text, write};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Some tens of seconds on two cores, in many small batches: long enough that jobs die in its middle.
const CAMPAIGN: &str = r#"
name = "slurm"
seed = 5
parameters = [
    { name = "phi0", prior = { uniform = { low = 0.0, high = 6.283185307179586 } } },
    { name = "A", prior = { normal = { mean = 1.0, sd = 0.5 } } },
    { name = "omega", prior = { uniform = { low = 4.0, high = 8.0 } } },
]
[simulator]
builtin = "sine"
[observation]
grid = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
value = [0.5, 0.9, 1.0, 0.9, 0.6, 0.1, -0.4, -0.8, -1.0, -0.9, -0.6, -0.1]
sigma = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
[featurizer]
kind = "mlp"
hidden = 32
[flow]
kind = "maf"
blocks = 5
hidden = 64
components = 3
[training]
device = "cpu"
max_epochs = 100
[rounds]
max = 5
simulations = 6000
[rounds.stop]
n_eff = 1000000
top_up = 6000
[workers]
batch_rows = 100
"#;

/// The same model in Python, which rounds its sines in its own way.
const IN_PYTHON: (&str, &str) = (r#"builtin = "sine""#, r#"python = "sine.py:simulate""#);
const SINE_PY: &str = "import numpy as np\n\n\ndef simulate(theta):\n    \
    return theta[1] * np.sin(theta[2] * np.arange(12) / 10 + theta[0])\n";

const PROGRAMS: [&str; 4] = ["sinfo", "sbatch", "slurmctld", "slurmd"];
const N_WORKERS: usize = 3;

/// How the coordinator's job is lost.
#[derive(Clone, Copy)]
enum Loss {
    /// `scontrol requeue`: it may end in order.
    Requeued,
    /// SIGKILL for its process; then the user requeues the failed job.
    Killed,
}

/// Where a campaign directory lies, and how the test reads it.
struct Place {
    /// As `submit --dir` takes it.
    location: String,
    access: PathBuf,
    /// Where `submit` puts the logs of this kind of campaign.
    logs: PathBuf,
    /// What the jobs need in their environment to reach it.
    environment: Vec<(&'static str, String)>,
    /// Where its files lie on this machine.
    out: PathBuf,
}

/// With a model in Python.
#[test]
fn on_a_file_system() {
    if !slurm_is_here() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    // Spaces and percent signs must get through submit, sbatch and the batch scripts.
    let out = directory.path().join("campaign 100%");
    let place = Place {
        location: text(&out).to_owned(),
        access: out.join("access.json"),
        logs: out.join("logs"),
        environment: Vec::new(),
        out,
    };
    let Some(python) = python_or_skip() else {
        return;
    };
    write(directory.path(), "sine.py", SINE_PY);
    let campaign = CAMPAIGN.replace(IN_PYTHON.0, IN_PYTHON.1);
    // A bare name is found by every command's own shell.
    let run = ["--python", text(&python)];
    let run = if python.is_absolute() { &run[..] } else { &[] };
    survives(directory.path(), &place, &campaign, run, Loss::Requeued);
}

#[test]
fn on_an_object_store() {
    if !slurm_is_here() {
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let server = s3::Server::start();
    let out = server.path("slurm");
    let place = Place {
        location: server.location("slurm"),
        access: directory.path().join("access.json"),
        logs: directory.path().join("sidereal-logs"),
        environment: server.variables().to_vec(),
        out,
    };
    survives(directory.path(), &place, CAMPAIGN, &[], Loss::Killed);
}

/// Workers alone run models, so they alone are told which interpreter runs those in Python.
#[test]
fn workers_are_told_the_interpreter() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let campaign = write(directory.path(), "campaign.toml", CAMPAIGN);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/slurm/submit");
    let output = Command::new(script)
        .arg(campaign)
        .args(["--dir", text(directory.path())])
        .args(["--sidereal", env!("CARGO_BIN_EXE_sidereal")])
        .args(["--python", "/bin/sh", "--dry-run"])
        .output()
        .expect("submit starts");
    assert_eq!(status(&output), 0, "{}", errors(&output));
    let answer = String::from_utf8_lossy(&output.stdout);
    let told: Vec<&str> = answer
        .lines()
        .filter(|line| line.contains("--python"))
        .collect();
    assert_eq!(told.len(), 1, "{answer}");
    assert!(told[0].contains("worker.sbatch"), "{answer}");
    assert!(told[0].ends_with(" --python /bin/sh"), "{answer}");
}

/// Runs the campaign on a cluster of three nodes; a worker is cancelled, a node dies, the coordinator is lost. `run` are
/// options of commands that run models.
fn survives(directory: &Path, place: &Place, campaign: &str, run: &[&str], loss: Loss) {
    let campaign = write(directory, "campaign.toml", campaign);
    // The same in one process.
    let calm = directory.join("calm");
    let expected_status = status(&fit(&campaign, &calm, run, &[0, 3]));

    let cluster = Cluster::start(&directory.join("cluster"), place);
    let jobs = cluster.submit(directory, &campaign, run);
    let JobIds {
        coordinator,
        workers,
        trainer,
    } = &jobs;
    cluster.wait_for("all jobs running", 120, || {
        cluster.n_running() == N_WORKERS + 2 && place.access.exists()
    });

    pause(4);
    cluster.assert_unfinished("before a worker is cancelled");
    cluster.call("scancel", &[&format!("{workers}_1")]);

    pause(3);
    let (node, victim) = cluster.node_to_kill(&jobs);
    cluster.assert_unfinished("before a node dies");
    cluster.control(&["kill-node", text(&cluster.directory), &node]);

    pause(3);
    cluster.assert_unfinished("before the coordinator is lost");
    match loss {
        Loss::Requeued => {
            cluster.call("scontrol", &["requeue", coordinator]);
        }
        Loss::Killed => {
            cluster.kill_coordinator(&campaign);
            cluster.wait_for("the end of the killed coordinator's job", 60, || {
                cluster.state(coordinator) == "FAILED"
            });
            cluster.call("scontrol", &["requeue", coordinator]);
        }
    }
    cluster.wait_for("the coordinator's second start", 120, || {
        cluster
            .log(&format!("coordinator-{coordinator}"))
            .contains("restart 1:")
    });
    cluster.control(&["restart-node", text(&cluster.directory), &node]);

    cluster.wait_for("the end of all jobs", 600, || {
        cluster.queue("%i").is_empty()
    });

    // Slurm ran the dead node's worker again; the cancelled one stays away.
    let restarted = |task: usize| {
        cluster
            .log(&format!("worker-{workers}_{task}"))
            .contains("restart 1:")
    };
    cluster.assert(restarted(victim), "the dead node's worker was not requeued");
    cluster.assert(!restarted(1), "the cancelled worker came back");
    for (job, expected) in [(coordinator, expected_status), (trainer, 0)] {
        let exit_code = cluster.exit_code(job);
        cluster.assert(
            exit_code == format!("{expected}:0"),
            &format!("job {job} ended with {exit_code}, not with {expected}:0"),
        );
    }

    for name in [
        "posterior.parquet",
        "model/weights.safetensors",
        "model/model.json",
    ] {
        let expected = read(&calm, name);
        cluster.assert(
            read(&place.out, name) == expected,
            &format!("{name} differs"),
        );
    }
    cluster.assert(
        summary_without_timing(&place.out) == summary_without_timing(&calm),
        "summary.json differs outside timing",
    );
}

fn read(out: &Path, name: &str) -> Vec<u8> {
    std::fs::read(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Whether a cluster can be run here; where CI is set, it must be.
fn slurm_is_here() -> bool {
    let output = Command::new("bash")
        .args([
            "-c",
            "PATH=\"$PATH:/usr/sbin\"; command -v \"$@\"; id -u",
            "-",
        ])
        .args(PROGRAMS)
        .output()
        .expect("bash starts");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let n_found = answer.lines().count() - 1;
    let missing = if n_found < PROGRAMS.len() {
        "Slurm is not installed (tests/install-slurm.sh installs it)"
    } else if answer.lines().next_back() != Some("0") {
        "a cluster on one machine must be run as root"
    } else {
        return true;
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "{missing}, and CI is set: the Slurm tests must run"
    );
    eprintln!("SKIPPED: {missing}");
    false
}

struct JobIds {
    coordinator: String,
    workers: String,
    trainer: String,
}

/// A Slurm cluster of three nodes with one campaign; stopped when dropped.
struct Cluster<'a> {
    directory: PathBuf,
    place: &'a Place,
}

impl<'a> Cluster<'a> {
    fn start(directory: &Path, place: &'a Place) -> Self {
        let cluster = Self {
            directory: directory.to_owned(),
            place,
        };
        cluster.control(&["start", text(directory)]);
        cluster
    }

    /// Runs `tests/slurm-cluster.sh`, whose daemons leave our pipes alone.
    fn control(&self, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm-cluster.sh");
        let output = Command::new(script)
            .args(arguments)
            .output()
            .expect("slurm-cluster.sh starts");
        self.assert(
            output.status.success(),
            &format!("slurm-cluster.sh {arguments:?}: {}", errors(&output)),
        );
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("SLURM_CONF", self.directory.join("slurm.conf"))
            .envs(self.place.environment.clone());
        command
    }

    /// A command of Slurm's; its standard output. Asked again for some time where the controller is busy.
    fn call(&self, program: &str, arguments: &[&str]) -> String {
        let started = Instant::now();
        loop {
            let output: Output = self
                .command(program)
                .args(arguments)
                .output()
                .expect("Slurm's commands start");
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).into_owned();
            }
            self.assert(
                started.elapsed() < Duration::from_secs(30),
                &format!("{program} {arguments:?}: {}", errors(&output)),
            );
            pause(1);
        }
    }

    fn submit(&self, directory: &Path, campaign: &Path, run: &[&str]) -> JobIds {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/slurm/submit");
        let output = self
            .command(script)
            .current_dir(directory)
            .arg(campaign)
            .args(["--dir", &self.place.location])
            .args(["--access", text(&self.place.access)])
            .args(["--workers", &N_WORKERS.to_string()])
            .args(["--cpus-per-trainer", "2"])
            .args(["--sidereal", env!("CARGO_BIN_EXE_sidereal")])
            .args(run)
            .output()
            .expect("submit starts");
        self.assert(
            output.status.success(),
            &format!("submit: {}", errors(&output)),
        );
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let id_of = |name: &str| {
            answer
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
                .unwrap_or_else(|| panic!("submit names no {name}: {answer}"))
                .to_owned()
        };
        JobIds {
            coordinator: id_of("coordinator"),
            workers: id_of("workers"),
            trainer: id_of("trainer"),
        }
    }

    /// One line for each job in the queue.
    fn queue(&self, format: &str) -> Vec<String> {
        self.call("squeue", &["--noheader", "--array", "--format", format])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn n_running(&self) -> usize {
        self.queue("%T")
            .iter()
            .filter(|state| *state == "RUNNING")
            .count()
    }

    /// SIGKILL for the process that serves the campaign file, whose path no other process shares.
    fn kill_coordinator(&self, campaign: &Path) {
        let is_coordinator = |process: &Path| {
            let command_line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            let mut arguments = command_line.split(|byte| *byte == 0).skip(1);
            arguments.next() == Some(b"coordinator")
                && arguments.next() == Some(text(campaign).as_bytes())
        };
        let process = std::fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .map(|entry| entry.path())
            .find(|process| is_coordinator(process));
        self.assert(process.is_some(), "there is no coordinator's process");
        let id = process.unwrap_or_default();
        let id = id.file_name().unwrap_or_default();
        let status = Command::new("kill").arg("-KILL").arg(id).status();
        self.assert(
            status.is_ok_and(|status| status.success()),
            "the coordinator cannot be killed",
        );
    }

    /// A node that runs a worker and not the coordinator, and the worker's place in the array.
    fn node_to_kill(&self, jobs: &JobIds) -> (String, usize) {
        let queue = self.queue("%i %T %N");
        let node_by_job = |job: &str| {
            queue
                .iter()
                .find_map(|line| line.strip_prefix(&format!("{job} RUNNING ")))
        };
        let of_coordinator = node_by_job(&jobs.coordinator);
        for task in [0, 2] {
            let node = node_by_job(&format!("{}_{task}", jobs.workers));
            if let Some(node) = node
                && Some(node) != of_coordinator
            {
                return (node.to_owned(), task);
            }
        }
        panic!(
            "all workers run beside the coordinator: {queue:?}{}",
            self.logs()
        );
    }

    /// One field of `scontrol show job`.
    fn field(&self, job: &str, name: &str) -> String {
        self.call("scontrol", &["--oneliner", "show", "job", job])
            .split_whitespace()
            .find_map(|word| word.strip_prefix(&format!("{name}=")))
            .unwrap_or_default()
            .to_owned()
    }

    fn state(&self, job: &str) -> String {
        self.field(job, "JobState")
    }

    /// As Slurm writes it: exit status, colon, signal.
    fn exit_code(&self, job: &str) -> String {
        self.field(job, "ExitCode")
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.logs.join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The access file says when the campaign is finished.
    fn assert_unfinished(&self, when: &str) {
        let access: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&self.place.access).expect("access.json"))
                .expect("access.json is JSON");
        self.assert(
            access["finished"] == false,
            &format!("the campaign was finished {when}: it is too short for this machine"),
        );
    }

    fn assert(&self, holds: bool, message: &str) {
        assert!(holds, "{message}{}", self.logs());
    }

    fn wait_for(&self, what: &str, limit_s: u64, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            self.assert(
                started.elapsed() < Duration::from_secs(limit_s),
                &format!("{what} did not come within {limit_s} s"),
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The ends of all logs, for a failed test.
    fn logs(&self) -> String {
        let mut all = String::new();
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&self.place.logs)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        paths.sort();
        paths.push(self.directory.join("log/slurmctld.log"));
        for path in paths {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let contents = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = contents.lines().collect();
            let end = &lines[lines.len().saturating_sub(40)..];
            let _ = write!(all, "\n== {}\n{}", path.display(), end.join("\n"));
        }
        let status = self
            .command("timeout")
            .args(["20", env!("CARGO_BIN_EXE_sidereal"), "status"])
            .args([&self.place.location, "--access", text(&self.place.access)])
            .output()
            .expect("timeout starts");
        let _ = write!(
            all,
            "\n== status\n{}{}",
            String::from_utf8_lossy(&status.stdout),
            errors(&status)
        );
        all
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm-cluster.sh");
        let stopped = Command::new(script)
            .arg("stop")
            .arg(&self.directory)
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!(
                "the cluster in {} was not stopped",
                self.directory.display()
            );
        }
    }
}
