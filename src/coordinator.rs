//! `sidereal coordinator`: owns a campaign and leases its work to workers and trainers elsewhere.

use crate::campaign_directory::{self, Found};
use crate::exit::{CommandError, Ending, STATUS_INTERRUPTED};
use crate::services::{
    FEWEST_OPEN_FILES, advertised, allow_open_files, create_directory, earlier, host_name,
    identity, load_or_create_secrets, read_text, runtime, seconds, shutdown_on_signals,
    start_coordinator,
};
use crate::settings::SettingArguments;
use crate::terminal::Terminal;
use crate::{report, results, words};
use clap::Args;
use sidereal_coordinator::{
    AfterTheEnd, CampaignFailure, CampaignOutcome, CoordinatorConfig, ServeConfig,
};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::Directory;
use sidereal_models::Catalogue;
use sidereal_proto::access::{ACCESS_FILE, SERVER_NAME, Secrets};
use sidereal_store::Kind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For as many workers as a large cluster has: each is an open file, and many systems allow 1,024 unless asked for more.
const OPEN_FILES: u64 = 65_536;

#[derive(Args)]
pub struct CoordinatorArguments {
    /// Campaign file (TOML)
    #[arg(value_name = "CAMPAIGN.toml")]
    campaign: PathBuf,

    /// Campaign directory: a path, or s3://bucket/prefix with the standard AWS_* variables
    #[arg(long, value_name = "DIR|URL")]
    dir: String,

    #[command(flatten)]
    settings: SettingArguments,

    /// Where to listen for workers, trainers and `sidereal status`; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:0")]
    listen: SocketAddr,

    /// Host, or host:port, that peers reach this machine at [default: its host name]
    #[arg(long, value_name = "HOST[:PORT]")]
    advertise: Option<String>,

    /// Access file for workers and trainers; its key lies beside it [default: access.json in the campaign
    /// directory; must be given where that is on object storage]
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,

    /// Certificate chain (PEM) to serve with, in place of a generated one; it must carry the advertised host's name
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    certificate: Option<PathBuf>,

    /// Certificate (PEM) of the authority that signed --certificate, for peers to know the coordinator by
    #[arg(long, value_name = "FILE", requires = "certificate")]
    ca: Option<PathBuf>,

    /// Private key (PEM) of --certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,

    /// Serve only peers whose certificate this authority (PEM) has signed (mutual TLS)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_ca: Option<PathBuf>,

    /// Certificate (PEM) signed by that authority, to ask an earlier coordinator whether it still lives
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// Private key (PEM) of --client-certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,

    /// No TLS; only where --listen is loopback
    #[arg(long, conflicts_with_all = ["certificate", "client_ca"])]
    plaintext: bool,

    /// Plain gRPC health service, for probes
    #[arg(long, value_name = "ADDRESS:PORT")]
    health_listen: Option<SocketAddr>,

    /// Prometheus endpoint, http://ADDRESS:PORT/metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,

    /// Seconds without a word from a worker or trainer after which its work is offered again
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    lease: Duration,

    /// Once the campaign is finished stay until stopped, answering status, metrics and late peers
    #[arg(long)]
    linger: bool,

    /// Go on with a campaign that was run on another machine's loopback and did not end in peace
    #[arg(long)]
    take_over: bool,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(
    arguments: &CoordinatorArguments,
    terminal: &Terminal,
    models: &Catalogue,
) -> Result<Ending, CommandError> {
    // Before anything is written.
    if arguments.plaintext && !arguments.listen.ip().is_loopback() {
        return Err(CommandError::unusable(format!(
            "--plaintext with --listen {}: expected a loopback address such as 127.0.0.1:0",
            arguments.listen
        )));
    }
    let (campaign, source) = arguments.settings.campaign(&arguments.campaign, models)?;
    for note in words::data_notes(&campaign, source.as_ref(), models) {
        terminal.note(&note);
    }
    if campaign_directory::inspect(
        &arguments.dir,
        &campaign,
        arguments.settings.changed_model(),
    )? == Found::Begun
    {
        let begun = sidereal_store::open(&arguments.dir).map_err(CommandError::unusable)?;
        campaign_directory::finished_before(&begun, &campaign, terminal)?;
    }
    let access_file = access_file(arguments)?;
    let secrets = secrets(arguments, &access_file)?;
    let directory = create_directory(&arguments.dir)?;
    let config = config(
        arguments,
        campaign.clone(),
        &directory,
        access_file,
        secrets,
    )?;
    allow_open_files(FEWEST_OPEN_FILES, OPEN_FILES)?;
    let outcome = runtime(2)?.block_on(serve(config, terminal))?;
    let Some(outcome) = outcome else {
        terminal.note("interrupted; the same command goes on");
        return Ok(Ending::Interrupted);
    };
    report::write(&directory, &campaign, &outcome.summary, terminal, models)?;
    results::show(&outcome.summary, &directory, arguments.json, terminal)
}

/// None where it was interrupted.
async fn serve(
    config: CoordinatorConfig,
    terminal: &Terminal,
) -> Result<Option<CampaignOutcome>, CommandError> {
    let mut interrupted = shutdown_on_signals(terminal, STATUS_INTERRUPTED);
    let location = config.directory.location().to_owned();
    let access_file = config.access_file.clone();
    let running = tokio::select! {
        running = start_coordinator(config) => running?,
        // Nothing is recorded yet, or a record that cannot be written is waited for.
        Ok(_) = interrupted.wait_for(|stop| *stop) => return Ok(None),
    };
    tracing::info!(
        address = running.access.address,
        directory = location,
        access_file = access_file.map(|path| path.display().to_string()),
        metrics = running
            .metrics_address
            .map(|address| format!("http://{address}/metrics")),
        "the coordinator serves"
    );
    let stopper = running.stopper();
    tokio::spawn(async move {
        if interrupted.wait_for(|stop| *stop).await.is_ok() {
            stopper.stop();
        }
    });
    match running.wait().await {
        Ok(outcome) => Ok(Some(outcome)),
        Err(CampaignFailure::Interrupted) => Ok(None),
        Err(failure) => Err(CommandError::failed(failure)),
    }
}

fn access_file(arguments: &CoordinatorArguments) -> Result<PathBuf, CommandError> {
    match (&arguments.access, sidereal_store::kind(&arguments.dir)) {
        (Some(path), _) => Ok(path.clone()),
        (None, Kind::FileSystem) => {
            // Before the directory holds a secret it must be there.
            create_directory(&arguments.dir)?;
            Ok(Path::new(&arguments.dir).join(ACCESS_FILE))
        }
        (None, Kind::ObjectStore) => Err(CommandError::unusable(format!(
            "--dir {}: on object storage the access file must lie elsewhere, where only its readers get at it; \
             give it with --access FILE",
            arguments.dir
        ))),
    }
}

fn secrets(arguments: &CoordinatorArguments, access_file: &Path) -> Result<Secrets, CommandError> {
    let mut secrets = load_or_create_secrets(access_file)?;
    if let (Some(certificate), Some(key)) = (&arguments.certificate, &arguments.key) {
        secrets.certificate = read_text(certificate)?;
        secrets.private_key = read_text(key)?;
    }
    Ok(secrets)
}

fn config(
    arguments: &CoordinatorArguments,
    campaign: Campaign,
    directory: &Directory,
    access_file: PathBuf,
    secrets: Secrets,
) -> Result<CoordinatorConfig, CommandError> {
    let advertise = match &arguments.advertise {
        Some(advertise) => advertise.clone(),
        None => advertised(arguments.listen),
    };
    let server_name = match arguments.certificate {
        None => SERVER_NAME.to_owned(),
        Some(_) => advertise
            .rsplit_once(':')
            .map_or(advertise.as_str(), |(host, _)| host)
            .to_owned(),
    };
    let text = |path: &Option<PathBuf>| path.as_deref().map(read_text).transpose();
    Ok(CoordinatorConfig {
        directory: directory.clone(),
        campaign,
        serve: ServeConfig {
            listen: arguments.listen,
            is_plaintext: arguments.plaintext,
            client_ca: text(&arguments.client_ca)?,
            health: arguments.health_listen,
            metrics: arguments.metrics_listen,
        },
        trusted: text(&arguments.ca)?,
        secrets,
        advertise,
        server_name,
        access_file: Some(access_file),
        host: host_name(),
        identity: identity(
            arguments.client_certificate.as_deref(),
            arguments.client_key.as_deref(),
        )?,
        earlier: earlier(arguments.take_over),
        after_the_end: if arguments.linger {
            AfterTheEnd::Linger
        } else {
            AfterTheEnd::Exit
        },
        lease_s: arguments.lease.as_secs_f64(),
    })
}
