//! Opens a campaign directory and starts the coordinator on it.

use crate::campaign::apply::{Misfit, apply};
use crate::campaign::event::{Opened, Settings};
use crate::campaign::leases::LeaseRules;
use crate::campaign::state::State;
use crate::driver::{CampaignFailure, Driver, DriverConfig, Message, Messages, Outcome};
use crate::journal::{Journal, JournalError};
use crate::service::Service;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file::{self, CampaignError};
use sidereal_inference::files::{self, FileError};
use sidereal_inference::ids::RunId;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Seconds without a word from a peer after which its work is offered again.
const LEASE_S: f64 = 60.0;
/// Seconds that a batch should take.
const BATCH_S: f64 = 2.0;
/// Rows of a worker's first batch.
const FIRST_ROWS: u64 = 64;
/// Most rows of a batch.
const MAX_ROWS: u64 = 1 << 16;
/// Most bytes of a batch's draws on the wire, well under a message's.
const MAX_BATCH_BYTES: u64 = 16 << 20;
/// How long open calls may take to end once the campaign has.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a coordinator is started with.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// The campaign directory; made where it is not there.
    pub directory: PathBuf,
    pub campaign: Campaign,
    /// Port 0: any free one.
    pub listen: SocketAddr,
    /// What every call must carry; not empty.
    pub token: String,
}

/// Why a coordinator did not start. Nothing has been recorded in the directory.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("token is empty")]
    NoToken,
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    UnreadableCampaign(#[from] CampaignError),
    #[error("{}: belongs to campaign {found:?}, not to {expected:?}", directory.display())]
    OtherCampaign {
        directory: PathBuf,
        found: String,
        expected: String,
    },
    #[error("{}: the campaign there was started with other values: {}", path.display(), keys.join(", "))]
    ChangedKeys {
        /// The `campaign.toml` that the campaign was started with.
        path: PathBuf,
        /// Each as `key: old -> new`.
        keys: Vec<String>,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: journal does not fit together: {source}", directory.display())]
    Replay {
        directory: PathBuf,
        #[source]
        source: Misfit,
    },
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Open(#[from] CampaignFailure),
}

impl StartError {
    /// Whether the user has to change something: exit status 2.
    pub fn is_unusable_input(&self) -> bool {
        match self {
            Self::NoToken
            | Self::UnreadableCampaign(_)
            | Self::OtherCampaign { .. }
            | Self::ChangedKeys { .. } => true,
            Self::File(_)
            | Self::Journal(_)
            | Self::Replay { .. }
            | Self::Listen { .. }
            | Self::Open(_) => false,
        }
    }
}

/// A coordinator at work.
#[derive(Debug)]
pub struct Running {
    /// Where workers, trainers and watchers connect.
    pub address: SocketAddr,
    /// Whether the journal says that the results are there already and still stand.
    pub was_finished: bool,
    messages: Messages,
    driver: JoinHandle<Result<Outcome, CampaignFailure>>,
    server: JoinHandle<()>,
    end_server: oneshot::Sender<()>,
}

/// Stops a coordinator from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper {
    messages: Messages,
}

impl Stopper {
    /// Everything recorded stays; [`Running::wait`] returns [`CampaignFailure::Interrupted`].
    pub fn stop(&self) {
        self.messages.interrupt();
    }
}

impl Running {
    pub fn stopper(&self) -> Stopper {
        Stopper {
            messages: self.messages.clone(),
        }
    }

    /// As [`Stopper::stop`].
    pub fn stop(&self) {
        self.messages.interrupt();
    }

    /// Until the campaign is finished, fails, or is stopped; the service has ended then.
    pub async fn wait(mut self) -> Result<Outcome, CampaignFailure> {
        let result = match self.driver.await {
            Ok(result) => result,
            Err(error) => Err(CampaignFailure::Panicked {
                message: error.to_string(),
            }),
        };
        // The server may have ended by itself.
        let _ = self.end_server.send(());
        if tokio::time::timeout(FAREWELL, &mut self.server)
            .await
            .is_err()
        {
            self.server.abort();
        }
        result
    }
}

/// Takes the campaign in `directory`, or begins it, and serves it.
pub async fn start(config: CoordinatorConfig) -> Result<Running, StartError> {
    if config.token.is_empty() {
        return Err(StartError::NoToken);
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: config.listen,
        source,
    })?;
    let campaign = Arc::new(config.campaign);
    let Found { journal, state } = {
        let (directory, campaign) = (config.directory.clone(), Arc::clone(&campaign));
        off_the_loop(move || find(&directory, &campaign)).await??
    };
    let opened = Opened {
        run: journal.run().clone(),
        campaign: campaign_file::identity(&campaign),
        settings: settings(&campaign),
    };
    let (mut driver, messages, inbox) = Driver::new(DriverConfig {
        directory: config.directory.clone(),
        campaign: Arc::clone(&campaign),
        journal,
        state,
        opened,
        rules: lease_rules(&campaign),
    });
    driver.open().await?;
    let was_finished = driver.is_finished();
    {
        let directory = config.directory.clone();
        off_the_loop(move || write_campaign(&directory, &campaign)).await??;
    }
    let (end_server, ended) = oneshot::channel();
    let server = tokio::spawn(serve(
        listener,
        Service::new(&config.token, messages.clone()),
        ended,
        messages.clone(),
    ));
    Ok(Running {
        address,
        was_finished,
        messages,
        driver: tokio::spawn(driver.run(inbox)),
        server,
        end_server,
    })
}

struct Found {
    journal: Journal,
    state: State,
}

/// What the directory holds; refuses one that holds another campaign.
fn find(directory: &Path, campaign: &Campaign) -> Result<Found, StartError> {
    let path = directory.join("campaign.toml");
    if path.exists() {
        let old = campaign_file::load(&path)?;
        if old.name != campaign.name {
            return Err(StartError::OtherCampaign {
                directory: directory.to_owned(),
                found: old.name,
                expected: campaign.name.clone(),
            });
        }
        if campaign_file::identity(&old) != campaign_file::identity(campaign) {
            let keys = campaign_file::changed_keys(&old, campaign);
            return Err(StartError::ChangedKeys { path, keys });
        }
    }
    files::create_dir_all(directory)?;
    let opened = Journal::open(directory, fresh_run_id())?;
    if let Some(aside) = &opened.put_aside {
        tracing::warn!(path = %aside.display(), "the last journal record was damaged and put aside");
    }
    let mut state = State::default();
    for event in &opened.events {
        apply(&mut state, event).map_err(|source| StartError::Replay {
            directory: directory.to_owned(),
            source,
        })?;
    }
    if let Some(run) = &state.run
        && run.campaign != campaign_file::identity(campaign)
    {
        return Err(StartError::OtherCampaign {
            directory: directory.to_owned(),
            found: run.campaign.0.clone(),
            expected: campaign_file::identity(campaign).0,
        });
    }
    Ok(Found {
        journal: opened.journal,
        state,
    })
}

/// `campaign.toml` as it runs now; stops and budgets may have changed.
fn write_campaign(directory: &Path, campaign: &Campaign) -> Result<(), FileError> {
    let path = directory.join("campaign.toml");
    let text = campaign_file::to_toml(campaign);
    let is_same = path.exists() && files::read(&path)? == text.as_bytes();
    if is_same {
        return Ok(());
    }
    files::write_atomically(&path, text.as_bytes())
}

fn settings(campaign: &Campaign) -> Settings {
    Settings {
        has_observation: campaign.observation.is_some(),
        rounds: campaign.rounds.clone(),
        workers: campaign.workers.clone(),
        device: campaign.training.device,
    }
}

fn lease_rules(campaign: &Campaign) -> LeaseRules {
    // z and theta, two log densities, and the component with what frames them.
    let bytes_per_row = 16 * campaign.space.len() as u64 + 32;
    LeaseRules {
        lease_s: LEASE_S,
        target_s: BATCH_S,
        first_rows: FIRST_ROWS,
        max_rows: (MAX_BATCH_BYTES / bytes_per_row).clamp(1, MAX_ROWS),
        fixed_rows: campaign.workers.batch_rows,
    }
}

async fn serve(
    listener: TcpListener,
    service: sidereal_proto::v1::coordinator_server::CoordinatorServer<Service>,
    ended: oneshot::Receiver<()>,
    messages: Messages,
) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .serve_with_incoming_shutdown(service, incoming, async {
            // Dropped means the same.
            let _ = ended.await;
        })
        .await;
    if let Err(error) = served {
        // A driver that has ended needs no service.
        let _ = messages
            .send(Message::ServiceEnded(error.to_string()))
            .await;
    }
}

/// Tells this run from every other one; decides nothing.
fn fresh_run_id() -> RunId {
    let word = || RandomState::new().hash_one(std::process::id());
    RunId(format!("{:016x}{:016x}", word(), word()))
}

async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        StartError::Open(CampaignFailure::Panicked {
            message: error.to_string(),
        })
    })
}
