//! What the verbs of the separate services share: runtime, signals, names, and how peers find a coordinator.

use crate::exit::{CommandError, Ending};
use crate::terminal::Terminal;
use clap::Args;
use sidereal_coordinator::{CoordinatorConfig, Earlier, Running};
use sidereal_inference::base::files;
use sidereal_inference::records::Directory;
use sidereal_proto::access::{
    ACCESS_FILE, Access, AccessSource, SERVER_NAME, Secrets, exposure, key_path,
};
use sidereal_proto::client::ClientIdentity;
use sidereal_store::{Kind, StorageChoice};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Open files that a service needs at least: connections, and the shards that are read or checked at a time.
pub const FEWEST_OPEN_FILES: u64 = 128;

/// How a worker or trainer finds its coordinator.
#[derive(Args)]
#[group(id = "where", required = true, multiple = false)]
pub struct PeerPlace {
    /// Campaign directory on a file system that the coordinator shares; its access file is there
    #[arg(long, value_name = "DIR")]
    campaign: Option<PathBuf>,

    /// Access file that the coordinator has written, or that was made by `sidereal access`
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,

    /// Address of the coordinator, https://host:port; with --token-file and --certificate
    #[arg(long, value_name = "ADDRESS", requires = "token_file")]
    coordinator: Option<String>,
}

/// What a worker or trainer brings along.
#[derive(Args)]
pub struct PeerArguments {
    #[command(flatten)]
    place: PeerPlace,

    /// File with the coordinator's token, for --coordinator
    #[arg(long, value_name = "FILE", requires = "coordinator")]
    token_file: Option<PathBuf>,

    /// The coordinator's certificate, or that of the authority that signed it (PEM), for --coordinator; without it
    /// plain text, on loopback only
    #[arg(long, value_name = "FILE", requires = "coordinator")]
    certificate: Option<PathBuf>,

    /// The name that the coordinator's certificate carries, for --coordinator [default: that of generated ones]
    #[arg(long, value_name = "NAME", requires = "certificate")]
    server_name: Option<String>,

    /// Certificate (PEM) to show where the coordinator asks for one (mutual TLS)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,

    /// Private key (PEM) of --client-certificate
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,

    /// Name in logs and in `sidereal status` [default: host and process id]
    #[arg(long)]
    name: Option<String>,

    /// Leave after so many seconds without work, or without a coordinator [default: stay while there is a
    /// coordinator, wait 600 s for one]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle_timeout: Option<Duration>,

    /// Seconds to finish what runs once asked to stop (SIGTERM, SIGINT, SIGUSR1); what takes longer is handed back
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "25")]
    pub grace: Duration,
}

/// How long an absent coordinator is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// What [`PeerArguments`] come to.
pub struct Peer {
    pub access: AccessSource,
    pub identity: Option<ClientIdentity>,
    pub storage: StorageChoice,
    pub name: String,
    pub patience: Duration,
    pub idle_timeout: Option<Duration>,
}

impl PeerArguments {
    pub fn resolve(&self) -> Result<Peer, CommandError> {
        let (access, storage) = match (&self.place.campaign, &self.place.access) {
            (Some(directory), _) => {
                let location = directory.display().to_string();
                if sidereal_store::kind(&location) == Kind::ObjectStore {
                    return Err(CommandError::unusable(format!(
                        "{location}: a campaign on object storage has its access file elsewhere, give it with --access"
                    )));
                }
                // One that is not there yet will be made by the coordinator, which may start later.
                let storage = if directory.exists() {
                    let storage = sidereal_store::open(&location);
                    StorageChoice::Directory(storage.map_err(CommandError::unusable)?)
                } else {
                    tracing::warn!(location, "no such directory yet; waiting for it");
                    StorageChoice::AsCoordinatorSays
                };
                (AccessSource::File(directory.join(ACCESS_FILE)), storage)
            }
            (None, Some(file)) => (
                AccessSource::File(file.clone()),
                StorageChoice::AsCoordinatorSays,
            ),
            (None, None) => (
                AccessSource::Fixed(self.fixed_access()?),
                StorageChoice::AsCoordinatorSays,
            ),
        };
        Ok(Peer {
            access,
            identity: identity(
                self.client_certificate.as_deref(),
                self.client_key.as_deref(),
            )?,
            storage,
            name: self
                .name
                .clone()
                .unwrap_or_else(|| format!("{}:{}", host_name(), std::process::id())),
            patience: self.idle_timeout.unwrap_or(PATIENCE),
            idle_timeout: self.idle_timeout,
        })
    }

    fn fixed_access(&self) -> Result<Access, CommandError> {
        let address = self.place.coordinator.clone().unwrap_or_default();
        let token = match &self.token_file {
            Some(path) => read_text(path)?.trim().to_owned(),
            None => String::new(),
        };
        let certificate = match &self.certificate {
            Some(path) => Some(read_text(path)?),
            None if address.starts_with("http://") => None,
            None => {
                return Err(CommandError::unusable(format!(
                    "--coordinator {address}: expected --certificate with it, to know the coordinator by"
                )));
            }
        };
        Ok(Access {
            address,
            server_name: self
                .server_name
                .clone()
                .unwrap_or_else(|| SERVER_NAME.to_owned()),
            certificate,
            token,
        })
    }
}

/// A client certificate and its key, where both are given.
pub fn identity(
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<Option<ClientIdentity>, CommandError> {
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Ok(None);
    };
    Ok(Some(ClientIdentity {
        certificate: read_text(certificate)?,
        private_key: read_text(key)?,
    }))
}

pub fn read_text(path: &Path) -> Result<String, CommandError> {
    let bytes = files::read(path, files::MOST_TEXT_BYTES).map_err(CommandError::unusable)?;
    String::from_utf8(bytes)
        .map_err(|error| CommandError::unusable(format!("{}: {error}", path.display())))
}

/// This machine's name; "localhost" where it has none.
pub fn host_name() -> String {
    hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// How peers reach who listens there: by this machine's name where it is any of its addresses.
pub fn advertised(listen: SocketAddr) -> String {
    match listen.ip() {
        any if any.is_unspecified() => host_name(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Cores of this machine.
pub fn n_cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// As many as asked for, else one a core.
pub fn n_threads(asked: Option<u16>) -> usize {
    asked.map_or_else(n_cores, usize::from)
}

/// What `--take-over` means for an earlier coordinator.
pub fn earlier(take_over: bool) -> Earlier {
    match take_over {
        true => Earlier::TakeOver,
        false => Earlier::Respect,
    }
}

/// Starts a coordinator; what the user has to mend is told from what failed.
pub async fn start_coordinator(config: CoordinatorConfig) -> Result<Running, CommandError> {
    let started = sidereal_coordinator::start(config).await;
    started.map_err(|error| CommandError::of(&error, error.is_unusable_input()))
}

/// Runs a worker or trainer until it ends, or a signal ends it.
pub fn run_peer<E: Display, F: Future<Output = Result<(), E>>>(
    terminal: &Terminal,
    run: impl FnOnce(watch::Receiver<bool>) -> F,
    is_unusable_input: fn(&E) -> bool,
) -> Result<Ending, CommandError> {
    allow_open_files(FEWEST_OPEN_FILES, FEWEST_OPEN_FILES)?;
    let runtime = runtime(1)?;
    let result = runtime.block_on(async { run(shutdown_on_signals(terminal, 0)).await });
    result.map_err(|error| CommandError::of(&error, is_unusable_input(&error)))?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(Ending::Done)
}

/// A whole or fractional number of seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected seconds of at least 0".to_owned())
}

/// The secrets beside an access file, made where they are not there; a warning where others may read them.
pub fn load_or_create_secrets(access_file: &Path) -> Result<Secrets, CommandError> {
    let path = key_path(access_file);
    let secrets = Secrets::load_or_create(&path).map_err(CommandError::unusable)?;
    if let Some(exposure) = exposure(&path) {
        tracing::warn!("{exposure}");
    }
    Ok(secrets)
}

/// Raises this process's limit of open files to `wanted`, or as far as it goes, and refuses fewer than `needed`, with
/// which it would hang.
pub fn allow_open_files(needed: u64, wanted: u64) -> Result<(), CommandError> {
    match rlimit::increase_nofile_limit(wanted.max(needed)) {
        Ok(found) => enough_open_files(found, needed),
        Err(error) => {
            tracing::warn!(%error, "the number of open files cannot be raised");
            Ok(())
        }
    }
}

fn enough_open_files(found: u64, needed: u64) -> Result<(), CommandError> {
    if found >= needed {
        return Ok(());
    }
    Err(CommandError::unusable(format!(
        "this process may have {found} files open, expected at least {needed} (ulimit -n {needed}, or fewer workers)"
    )))
}

/// Opens a campaign directory, made where it is not there.
pub fn create_directory(location: &str) -> Result<Directory, CommandError> {
    sidereal_store::create(location).map_err(CommandError::unusable)
}

/// The runtime of a service; simulations and training have threads of their own.
pub fn runtime(n_threads: usize) -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(n_threads)
        .enable_all()
        .build()
        .map_err(|error| {
            CommandError::failed(format!("cannot start the services' threads: {error}"))
        })
}

/// Turns true on the first SIGINT, SIGTERM or SIGUSR1 (which Slurm sends before the time limit); a second
/// one ends the process at once with `status`.
pub fn shutdown_on_signals(terminal: &Terminal, status: u8) -> watch::Receiver<bool> {
    let (interrupt, interrupted) = watch::channel(false);
    tokio::spawn(interrupt_on_signals(interrupt, terminal.clone(), status));
    interrupted
}

async fn interrupt_on_signals(interrupt: watch::Sender<bool>, terminal: Terminal, status: u8) {
    if next_signal().await.is_err() {
        tracing::warn!(
            "signals cannot be caught; Ctrl-C ends at once, which loses nothing that was recorded"
        );
        // The sender must live: without it the service would look as if it were told.
        return std::future::pending().await;
    }
    terminal.note("interrupted: ending cleanly; once more ends at once");
    // Without a receiver the service has ended already.
    let _ = interrupt.send(true);
    if next_signal().await.is_ok() {
        terminal.clear();
        std::process::exit(i32::from(status));
    }
}

#[cfg(unix)]
async fn next_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut user = signal(SignalKind::user_defined1())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
        _ = user.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn next_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_numbers_of_at_least_zero() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert!(seconds("-1").is_err());
        assert!(seconds("soon").is_err());
        assert!(seconds("inf").is_err());
    }

    #[test]
    fn too_few_open_files_are_refused() {
        assert_eq!(enough_open_files(256, 256), Ok(()));
        assert_eq!(
            enough_open_files(20, 256),
            Err(CommandError::UnusableInput(
                "this process may have 20 files open, expected at least 256 (ulimit -n 256, or fewer workers)"
                    .to_owned()
            ))
        );
    }
}
