//! The access file: how workers, trainers and watchers find their coordinator and trust it.
//!
//! The coordinator keeps two files, readable by their owner alone. The key file (`access.key`) holds what
//! must survive restarts: token, certificate and private key; it is created once and never changes. The
//! access file (`access.json`) holds what peers need: the address of the present coordinator, the
//! certificate to pin, and the token; each coordinator replaces it.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{CampaignHash, files};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const ACCESS_FORMAT: &str = "sidereal-access";
const KEY_FORMAT: &str = "sidereal-access-key";
const VERSION: u32 = 1;
/// The name in generated certificates: what is pinned is the certificate, wherever it is served.
pub const SERVER_NAME: &str = "sidereal-coordinator";
/// Name of the access file in a campaign directory.
pub const ACCESS_FILE: &str = "access.json";

/// What a client needs to reach a coordinator and to be let in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `https://host:port`, or `http://host:port` for plain text on loopback.
    pub address: String,
    /// The name that the certificate must carry.
    pub server_name: String,
    /// PEM; None for plain text.
    pub certificate: Option<String>,
    /// What every call carries.
    pub token: String,
}

impl std::fmt::Debug for Access {
    /// Without the token, which must not get into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access to {}", self.address)
    }
}

/// An access file as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessFile {
    format: String,
    version: u32,
    /// The present coordinator's.
    #[serde(flatten)]
    pub access: Access,
    /// None where the file was made before a campaign was known.
    pub campaign: Option<CampaignHash>,
    /// The campaign has its results: nothing is left to do.
    pub finished: bool,
}

/// Where a peer finds the access to its coordinator.
#[derive(Debug, Clone)]
pub enum AccessSource {
    /// Given to the peer itself.
    Fixed(Access),
    /// An access file, read again before each connection: a coordinator that restarts may be elsewhere.
    File(PathBuf),
}

impl AccessSource {
    /// The coordinator's address, or the file that would say it.
    pub fn place(&self) -> String {
        match self {
            Self::Fixed(access) => access.address.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// As it stands now. Blocks.
    pub fn read(&self) -> Result<AccessFile, AccessError> {
        match self {
            Self::Fixed(access) => Ok(AccessFile::new(access.clone(), None, false)),
            Self::File(path) => AccessFile::load(path),
        }
    }
}

/// What a coordinator proves itself with, and what it asks of others. It survives restarts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    format: String,
    version: u32,
    /// 256 random bits in hexadecimal digits.
    pub token: String,
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub private_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

/// An access or key file that cannot be read, written or made.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is another file.
    #[error("{}: not {expected} file: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What kind of file.
        expected: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Nor its key.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The system has no random numbers.
    #[error("cannot draw a random token: {0}")]
    Random(String),
}

impl AccessError {
    /// Whether there is no such file (yet).
    pub fn is_missing(&self) -> bool {
        match self {
            Self::File(error) => error.source.kind() == io::ErrorKind::NotFound,
            Self::Invalid { .. } | Self::Certificate(_) | Self::Random(_) => false,
        }
    }
}

impl Secrets {
    /// A new token, and a new self-signed certificate with its key.
    pub fn generate() -> Result<Self, AccessError> {
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, SERVER_NAME);
        params.distinguished_name = name;
        // The clock of a worker may be wrong by more than a short validity.
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            format: KEY_FORMAT.to_owned(),
            version: VERSION,
            token: random_token()?,
            certificate: certificate.pem(),
            private_key: key.serialize_pem(),
        })
    }

    /// Those in the key file; made and stored there where it does not exist. Of several processes that do
    /// this at once, all get the same.
    pub fn load_or_create(path: &Path) -> Result<Self, AccessError> {
        match Self::load(path) {
            Err(error) if error.is_missing() => {}
            result => return result,
        }
        let text = json(&Self::generate()?, path)?;
        create_private(path, &text)?;
        Self::load(path)
    }

    /// Those in the key file.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let header = |found: &Self| (found.format.clone(), found.version);
        load(path, "a key", KEY_FORMAT, header)
    }
}

impl AccessFile {
    /// Of the present format.
    pub fn new(access: Access, campaign: Option<CampaignHash>, finished: bool) -> Self {
        Self {
            format: ACCESS_FORMAT.to_owned(),
            version: VERSION,
            access,
            campaign,
            finished,
        }
    }

    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let header = |found: &Self| (found.format.clone(), found.version);
        load(path, "an access", ACCESS_FORMAT, header)
    }

    /// Replaces the file, whole; readable by its owner alone.
    pub fn store(&self, path: &Path) -> Result<(), AccessError> {
        let text = json(self, path)?;
        let failed = |source| FileError::new("write", path, source);
        let file = private_beside(path, &text).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// Whether an address is on this machine alone.
pub fn is_loopback(address: &str) -> bool {
    let host_and_port = address.rsplit('/').next().unwrap_or(address);
    let host = host_and_port
        .rsplit_once(':')
        .map_or(host_and_port, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The key file that belongs to an access file: the same name, ending in `.key`.
pub fn key_path(access_file: &Path) -> PathBuf {
    access_file.with_extension("key")
}

/// What is wrong with the rights on a file of secrets: others than its owner may read or write it.
#[cfg(unix)]
pub fn exposure(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    // A file that is not there exposes nothing.
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        format!(
            "{}: has mode {mode:03o}, expected 600: others can read the token and the private key of the campaign",
            path.display()
        )
    })
}

/// Rights are not looked at here.
#[cfg(not(unix))]
pub fn exposure(_path: &Path) -> Option<String> {
    None
}

/// 256 random bits as hexadecimal digits.
fn random_token() -> Result<String, AccessError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| AccessError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn json(value: &impl Serialize, path: &Path) -> Result<String, AccessError> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| FileError::new("encode", path, error.into()).into())
}

/// A file of this format; `header` gives the format and version that it says.
fn load<T: DeserializeOwned>(
    path: &Path,
    expected: &'static str,
    format: &str,
    header: fn(&T) -> (String, u32),
) -> Result<T, AccessError> {
    let invalid = |message| AccessError::Invalid {
        path: path.to_owned(),
        expected,
        message,
    };
    let bytes = files::read(path, files::MOST_TEXT_BYTES)?;
    let file = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    match header(&file) {
        (found, VERSION) if found == format => Ok(file),
        (found, version) => Err(invalid(format!(
            "found format {found:?} version {version}, expected {format:?} version {VERSION}"
        ))),
    }
}

fn create_private(path: &Path, text: &str) -> Result<(), AccessError> {
    let failed = |source| FileError::new("create", path, source);
    let file = private_beside(path, text).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // Another process was first.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error).into()),
    }
}

/// A synced temporary file in the same directory, mode 0600.
fn private_beside(path: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    use std::io::Write;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new()
        .prefix(".access-")
        .tempfile_in(parent)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_private() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("deep/access.key");
        let all: Vec<Secrets> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Secrets::load_or_create(&path).expect("secrets")))
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().expect("no panic"))
                .collect()
        });
        assert!(all.iter().all(|secrets| *secrets == all[0]));
        assert_eq!(all[0].token.len(), 64);
        assert_eq!(format!("{:?}", all[0]), "Secrets");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path)
                .expect("metadata")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("access.key");
        assert_eq!(exposure(&path), None, "not there");
        Secrets::load_or_create(&path).expect("secrets");
        assert_eq!(exposure(&path), None);
        for (mode, expected) in [(0o640, "640"), (0o604, "604"), (0o700, "")] {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, rights).expect("rights");
            let expected = (!expected.is_empty()).then(|| {
                format!(
                    "{}: has mode {expected}, expected 600: others can read the token and the private key of the campaign",
                    path.display()
                )
            });
            assert_eq!(exposure(&path), expected);
        }
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for address in [
            "http://127.0.0.1:1",
            "http://localhost:1",
            "https://[::1]:1",
        ] {
            assert!(is_loopback(address), "{address}");
        }
        for address in [
            "http://node7:1",
            "https://10.0.0.1:1",
            "http://127.evil.org:1",
        ] {
            assert!(!is_loopback(address), "{address}");
        }
    }

    #[test]
    fn access_files_are_found_again_and_others_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join(ACCESS_FILE);
        assert!(AccessFile::load(&path).expect_err("missing").is_missing());
        let access = Access {
            address: "https://node:1234".to_owned(),
            server_name: SERVER_NAME.to_owned(),
            certificate: Some("PEM".to_owned()),
            token: "secret".to_owned(),
        };
        let file = AccessFile::new(access, None, false);
        file.store(&path).expect("store");
        assert_eq!(AccessFile::load(&path).expect("load"), file);
        assert!(!format!("{file:?}").contains("secret"), "{file:?}");
        assert_eq!(key_path(&path), directory.path().join("access.key"));

        std::fs::write(&path, "{}").expect("write");
        let message = AccessFile::load(&path).expect_err("empty").to_string();
        assert!(message.contains("not an access file"), "{message}");
    }
}
