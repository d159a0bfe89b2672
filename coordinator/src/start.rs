//! Opens a campaign directory and starts the coordinator on it.

use crate::asking::{Asking, Earlier, refuse_if_served};
use crate::campaign::event::{Opened, Settings};
use crate::campaign::leases::rules::LeaseRules;
use crate::campaign::state::State;
use crate::driver::messages::Messages;
use crate::driver::{AfterTheEnd, CampaignOutcome, Driver, DriverConfig, blocking};
use crate::error::{CampaignFailure, StartError};
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::serve::{ServeConfig, Servers, Sockets};
use crate::service::Service;
use crate::status::replay;
use crate::verify::{ShardCheck, check_shard};
use sidereal_inference::base::RunId;
use sidereal_inference::base::files::{FileError, sha256_hex};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::campaign_file;
use sidereal_inference::records::Directory;
use sidereal_proto::access::{Access, AccessFile, Secrets};
use sidereal_proto::client::ClientIdentity;
use sidereal_proto::message::Identification;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

pub const CAMPAIGN_FILE: &str = "campaign.toml";
/// How long open calls may take to end once the campaign has.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a coordinator is started with.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// The campaign directory.
    pub directory: Directory,
    /// What is to run; it must be the directory's where that has one.
    pub campaign: Campaign,
    /// Where to listen.
    pub serve: ServeConfig,
    /// Certificate, key and token.
    pub secrets: Secrets,
    /// PEM of what peers trust; None: the certificate itself, which is then self-signed.
    pub trusted: Option<String>,
    /// `host` or `host:port` that peers reach this coordinator at.
    pub advertise: String,
    /// The name that the certificate carries.
    pub server_name: String,
    /// Where the access file is written for peers; None: they are told otherwise.
    pub access_file: Option<PathBuf>,
    /// This machine's name.
    pub host: String,
    /// Shown to an earlier coordinator that asks for client certificates.
    pub identity: Option<ClientIdentity>,
    /// What becomes of an earlier coordinator that cannot be asked.
    pub earlier: Earlier,
    /// What is done once the results are there.
    pub after_the_end: AfterTheEnd,
    /// Seconds without a word from a peer after which its work is offered again.
    pub lease_s: f64,
}

impl CoordinatorConfig {
    /// Seconds of a lease unless told otherwise.
    pub const DEFAULT_LEASE_S: f64 = 60.0;
}

/// A coordinator at work.
#[derive(Debug)]
pub struct Running {
    /// How workers, trainers and watchers connect.
    pub access: Access,
    /// Where metrics are shown, if anywhere.
    pub metrics_address: Option<SocketAddr>,
    /// Whether the journal says that the results are there already and still stand.
    pub was_finished: bool,
    messages: Messages,
    driver: JoinHandle<Result<CampaignOutcome, CampaignFailure>>,
    servers: Servers,
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
    /// To stop it from elsewhere.
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
    pub async fn wait(self) -> Result<CampaignOutcome, CampaignFailure> {
        let result = match self.driver.await {
            Ok(result) => result,
            Err(error) => Err(error.into()),
        };
        self.servers.end(FAREWELL).await;
        result
    }
}

/// Takes the campaign in the directory, or begins it, and serves it.
///
/// Order: bind, read the journal, answer, ask the coordinator that the journal names, record `opened`, tell
/// peers. Whoever reads our `opened` can ask us; whoever does not read it loses the race for its number.
pub async fn start(config: CoordinatorConfig) -> Result<Running, StartError> {
    start_with_check(config, check_shard).await
}

/// As [`start`], with another look at shards: for measurements of the dispatch alone.
pub async fn start_with_check(
    config: CoordinatorConfig,
    shard_check: ShardCheck,
) -> Result<Running, StartError> {
    if config.secrets.token.is_empty() {
        return Err(StartError::NoToken);
    }
    let sockets = Sockets::bind(&config.serve).await?;
    let metrics_address = sockets.metrics_address;
    let access = access(&config, sockets.address);
    let campaign = Arc::new(config.campaign.clone());
    let identity = campaign_file::identity(&campaign);
    let Found { journal, state } = {
        let (directory, campaign) = (config.directory.clone(), Arc::clone(&campaign));
        blocking(move || find(&directory, &campaign)).await??
    };
    let earlier = state.run.clone();
    let is_finished = state.results().is_some();
    let opened = Opened {
        run: journal.run().clone(),
        campaign: identity.clone(),
        settings: settings(&campaign),
        address: Some(access.address.clone()),
        certificate: access.certificate.clone(),
        server_name: Some(access.server_name.clone()),
        host: Some(config.host.clone()),
    };
    let metrics = Metrics::new();
    let access_file = AccessFile::new(access.clone(), Some(identity.clone()), false);
    let published = config.access_file.clone().map(|path| (path, access_file));
    let identification = Identification {
        campaign_name: campaign.name.clone(),
        campaign: identity,
        run: journal.run().clone(),
    };
    let driver = DriverConfig {
        directory: config.directory.clone(),
        campaign: Arc::clone(&campaign),
        opened,
        metrics: metrics.clone(),
        after_the_end: config.after_the_end,
        shard_check,
        secret: sha256_hex(config.secrets.private_key.as_bytes()).into(),
    };
    let rules = LeaseRules::of(&campaign, config.lease_s);
    let (mut driver, messages, inbox) =
        Driver::new(driver, journal, state, rules, published.clone());
    let service = Service::new(
        &config.secrets.token,
        identification,
        campaign.simulator.model.clone(),
        config.directory.clone(),
        messages.clone(),
        metrics.clone(),
    );
    let servers = Servers::start(
        &config.serve,
        &config.secrets,
        sockets,
        service,
        messages.clone(),
        metrics,
    )
    .await?;
    let opening = async {
        if let Some(earlier) = &earlier
            && !is_finished
        {
            let asking = Asking {
                location: config.directory.location(),
                host: &config.host,
                token: &config.secrets.token,
                server_name: &config.server_name,
                identity: config.identity.as_ref(),
                earlier: config.earlier,
            };
            refuse_if_served(&asking, earlier).await?;
        }
        driver
            .open()
            .await
            .map_err(|failure| outrun(failure, config.directory.location()))?;
        let directory = config.directory.clone();
        blocking(move || {
            write_campaign(&directory, &campaign)?;
            publish(published)
        })
        .await?
    };
    if let Err(error) = opening.await {
        servers.end(Duration::ZERO).await;
        return Err(error);
    }
    Ok(Running {
        access,
        metrics_address,
        was_finished: driver.is_finished(),
        messages,
        driver: tokio::spawn(driver.run(inbox)),
        servers,
    })
}

/// Whoever loses the race for the `opened` record was slower than another.
fn outrun(failure: CampaignFailure, location: &str) -> StartError {
    if let CampaignFailure::Journal(JournalError::Superseded { other, .. }) = failure {
        return StartError::Outrun {
            location: location.to_owned(),
            run: other,
        };
    }
    StartError::Open(failure)
}

/// How peers reach what listens at `bound`.
fn access(config: &CoordinatorConfig, bound: SocketAddr) -> Access {
    let has_port = config
        .advertise
        .rsplit_once(':')
        .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && !host.ends_with(':'));
    let host_and_port = if has_port {
        config.advertise.clone()
    } else {
        format!("{}:{}", config.advertise, bound.port())
    };
    let (scheme, certificate) = if config.serve.is_plaintext {
        ("http", None)
    } else {
        let own = &config.secrets.certificate;
        (
            "https",
            Some(config.trusted.as_ref().unwrap_or(own).clone()),
        )
    };
    Access {
        address: format!("{scheme}://{host_and_port}"),
        server_name: config.server_name.clone(),
        certificate,
        token: config.secrets.token.clone(),
    }
}

/// Tells peers where we are; a file that says so already, and cannot be written, will do.
fn publish(access: Option<(PathBuf, AccessFile)>) -> Result<(), StartError> {
    let Some((path, access)) = access else {
        return Ok(());
    };
    let Err(error) = access.store(&path) else {
        return Ok(());
    };
    let found = AccessFile::load(&path);
    if found.is_ok_and(|found| found.access == access.access) {
        tracing::debug!(%error, "the access file stays as it is");
        return Ok(());
    }
    Err(error.into())
}

struct Found {
    journal: Journal,
    state: State,
}

/// What the directory holds; refuses one that holds another campaign.
fn find(directory: &Directory, campaign: &Campaign) -> Result<Found, StartError> {
    if let Some(old) = read_campaign(directory)? {
        if old.name != campaign.name {
            return Err(StartError::OtherCampaign {
                location: directory.location().to_owned(),
                found: old.name,
                expected: campaign.name.clone(),
            });
        }
        if campaign_file::identity(&old) != campaign_file::identity(campaign) {
            let keys = campaign_file::changed_keys(&old, campaign);
            let path = directory.join(CAMPAIGN_FILE);
            return Err(StartError::ChangedKeys { path, keys });
        }
    }
    let opened = Journal::open(directory, fresh_run_id())?;
    if let Some(aside) = &opened.put_aside {
        tracing::warn!(path = %aside.display(), "the last journal record was damaged and put aside");
    }
    let state = replay(directory, &opened.events)?;
    let expected = campaign_file::identity(campaign);
    if let Some(run) = &state.run
        && run.opened.campaign != expected
    {
        return Err(StartError::OtherCampaign {
            location: directory.location().to_owned(),
            found: run.opened.campaign.0.clone(),
            expected: expected.0,
        });
    }
    Ok(Found {
        journal: opened.journal,
        state,
    })
}

/// The campaign that the directory was begun with; None where there is none yet.
fn read_campaign(directory: &Directory) -> Result<Option<Campaign>, StartError> {
    let Some(bytes) = directory.read_if_there(CAMPAIGN_FILE)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let campaign = campaign_file::parse_recorded(&text, &directory.join(CAMPAIGN_FILE))?;
    Ok(Some(campaign))
}

/// `campaign.toml` as it runs now; stops and budgets may have changed.
pub fn write_campaign(directory: &Directory, campaign: &Campaign) -> Result<(), FileError> {
    let text = campaign_file::to_toml(campaign);
    let found = directory.read_if_there(CAMPAIGN_FILE)?;
    if found.is_some_and(|found| found == text) {
        return Ok(());
    }
    directory.write(CAMPAIGN_FILE, text)
}

/// What decisions are made from.
pub fn settings(campaign: &Campaign) -> Settings {
    Settings {
        n_parameters: campaign.space.len(),
        refinement: campaign.refinement(),
        has_observation: campaign.observation.is_some(),
        rounds: campaign.rounds.clone(),
        workers: campaign.workers.clone(),
        device: campaign.training.device,
    }
}

/// Tells this run from every other one; decides nothing.
pub fn fresh_run_id() -> RunId {
    let word = || RandomState::new().hash_one(std::process::id());
    RunId(format!("{:016x}{:016x}", word(), word()))
}
