//! A coordinator in a process of its own, with TLS and a journal on disk as by default.

use crate::Fallible;
use crate::models::{MODEL, Trivial, catalogue};
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use sidereal_coordinator::{
    AfterTheEnd, CoordinatorConfig, Earlier, ServeConfig, start, start_with_check,
};
use sidereal_inference::account::Progress;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Directory;
use sidereal_models::Simulator;
use sidereal_proto::access::{ACCESS_FILE, Access, AccessFile, SERVER_NAME, Secrets};
use sidereal_proto::client::{Client, ClientError, Incoming};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// First argument of the process that serves.
pub const ROLE: &str = "--coordinator";

const STARTING: Duration = Duration::from_secs(20);
const FAREWELL: Duration = Duration::from_secs(20);

/// A campaign of one round without an observation, three parameters wide.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    pub n_rows: u64,
    /// Length of a row's data.
    pub n_data: usize,
    /// Rows of a lease; None: by measured time.
    pub batch_rows: Option<u64>,
    pub opens_shards: bool,
}

impl Setup {
    pub fn campaign(&self) -> Fallible<Campaign> {
        let grid: Vec<String> = (0..self.n_data).map(|i| format!("{i}.0")).collect();
        let workers = match self.batch_rows {
            Some(rows) => format!("[workers]\nbatch_rows = {rows}\n"),
            None => String::new(),
        };
        let parameter = |name| {
            format!("{{ name = \"{name}\", prior = {{ uniform = {{ low = 0.0, high = 1.0 }} }} }}")
        };
        let text = format!(
            "name = \"dispatch\"\nseed = 1\nparameters = [{}]\n\
             [simulator]\nguest = \"{MODEL}\"\ngrid = [{}]\n\
             [noise]\ngaussian = {{ sigma = 1.0 }}\n\
             [rounds]\nmax = 1\nsimulations = {}\n{workers}",
            ["a", "b", "c"].map(parameter).join(", "),
            grid.join(", "),
            self.n_rows,
        );
        // Of a declared model only the name is asked for here.
        let any: Arc<dyn Simulator> = Arc::new(Trivial {
            n_data: self.n_data,
        });
        Ok(campaign_file::parse(
            &text,
            Path::new("campaign.toml"),
            &catalogue(&any),
        )?)
    }
}

/// The process that serves; it ends when its standard input does.
pub fn serve(arguments: &[String]) -> Fallible {
    let [location, setup] = arguments else {
        return Err(format!("{ROLE} DIRECTORY SETUP").into());
    };
    let setup: Setup = serde_json::from_str(setup)?;
    let config = CoordinatorConfig {
        directory: sidereal_store::create(location)?,
        campaign: setup.campaign()?,
        serve: ServeConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            is_plaintext: false,
            client_ca: None,
            health: None,
            metrics: None,
        },
        secrets: Secrets::generate()?,
        advertise: Ipv4Addr::LOCALHOST.to_string(),
        server_name: SERVER_NAME.to_owned(),
        access_file: Some(Path::new(location).join(ACCESS_FILE)),
        host: "benchmark".to_owned(),
        identity: None,
        trusted: None,
        earlier: Earlier::Respect,
        after_the_end: AfterTheEnd::Exit,
        lease_s: CoordinatorConfig::DEFAULT_LEASE_S,
    };
    Runtime::new()?.block_on(async {
        let running = if setup.opens_shards {
            start(config).await?
        } else {
            // Whatever lies there: of shards that nobody writes.
            start_with_check(config, |_, _| Ok(())).await?
        };
        let stopper = running.stopper();
        std::thread::spawn(move || {
            // Nothing is ever written there: this waits for its end.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stopper.stop();
        });
        // A round that is not finished ends with an interruption, which is meant.
        let _ = running.wait().await;
        Ok(())
    })
}

/// A coordinator as the benchmark sees it. Its directory goes with it.
pub struct Coordinator {
    child: Child,
    pub access: Access,
    pub directory: Directory,
    place: TempDir,
}

impl Coordinator {
    pub async fn start(setup: &Setup) -> Fallible<Self> {
        let place = tempfile::tempdir()?;
        let location = place.path().to_str().ok_or("a path that is not UTF-8")?;
        let child = Command::new(std::env::current_exe()?)
            .args([ROLE, location, &serde_json::to_string(setup)?])
            .stdin(Stdio::piped())
            .spawn()?;
        let mut coordinator = Self {
            child,
            access: Access {
                address: String::new(),
                server_name: String::new(),
                certificate: None,
                token: String::new(),
            },
            directory: sidereal_store::create(location)?,
            place,
        };
        coordinator.access = coordinator.published().await?;
        Ok(coordinator)
    }

    async fn published(&mut self) -> Fallible<Access> {
        let path = self.place.path().join(ACCESS_FILE);
        let started = Instant::now();
        loop {
            match AccessFile::load(&path) {
                Ok(file) => return Ok(file.access),
                Err(error) if started.elapsed() > STARTING => return Err(error.into()),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the coordinator ended with {status}").into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn usage(&self) -> Fallible<Usage> {
        Usage::of(self.child.id())
    }

    pub async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(&self.access, None).await
    }

    pub async fn rows(&self) -> Fallible<CommittedRows> {
        let steps = self.connect().await?.watch().await?;
        Ok(CommittedRows { steps })
    }

    /// Ends the process; its directory stays until this is dropped.
    pub async fn stop(&mut self) -> Fallible {
        drop(self.child.stdin.take());
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            if started.elapsed() > FAREWELL {
                return Err("the coordinator does not end".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Ends the process whatever it is doing; its directory stays until this is dropped.
    pub fn kill(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the coordinator tells of its round.
pub struct CommittedRows {
    steps: Incoming<Progress>,
}

impl CommittedRows {
    /// Rows that are final, once that has changed.
    pub async fn next(&mut self) -> Fallible<u64> {
        while let Some(step) = self.steps.next().await {
            match step? {
                Progress::RowsCommitted { n_committed, .. } => return Ok(n_committed),
                Progress::Failed { message } => return Err(message.into()),
                Progress::RoundOpened { .. }
                | Progress::RoundWeighed { .. }
                | Progress::Training(_)
                | Progress::Drawing { .. }
                | Progress::Trained { .. }
                | Progress::Stopped { .. }
                | Progress::Paused { .. }
                | Progress::Resumed
                | Progress::Finished => {}
            }
        }
        Err("the coordinator has ended".into())
    }

    /// Once at least so many rows are final: how many are.
    pub async fn reach(&mut self, n_rows: u64) -> Fallible<u64> {
        loop {
            let n_committed = self.next().await?;
            if n_committed >= n_rows {
                return Ok(n_committed);
            }
        }
    }
}
