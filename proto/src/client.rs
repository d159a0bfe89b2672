//! A connection to the coordinator, for workers, trainers and watchers.

use crate::access::{Access, AccessSource, is_loopback};
use crate::auth::{AddToken, TokenError};
use crate::convert::WireError;
use crate::message::{
    FromTrainer, FromWorker, Identification, Registration, Session, ToTrainer, ToWorker,
    UploadPiece,
};
use crate::v1::coordinator_client::CoordinatorClient;
use crate::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_MESSAGE_BYTES, convert, v1};
use sidereal_inference::account::{CampaignStatus, Progress};
use sidereal_inference::base::{AttemptId, PeerId};
use sidereal_inference::records::StoredFile;
use std::pin::Pin;
use std::time::Duration;
use tonic::codegen::InterceptedService;
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};

/// Bytes of one piece of a shard on its way to the coordinator.
const UPLOAD_PIECE_BYTES: usize = 1 << 20;

/// A certificate that a client shows, where the coordinator asks for one (mutual TLS). PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// With what leads to its authority.
    pub certificate: String,
    /// Of the certificate.
    pub private_key: String,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity")
    }
}

/// A coordinator that could not be reached, refused, or answered nonsense.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing can be connected to.
    #[error("coordinator address {address:?} is not a URI such as http://127.0.0.1:1234")]
    Address {
        /// What was given.
        address: String,
    },
    /// The token must not go over a network in plain text.
    #[error(
        "coordinator address {address:?}: expected https://host:port; plain text is for loopback without a certificate"
    )]
    Plaintext {
        /// What was given.
        address: String,
    },
    /// No call can carry it.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Worth a retry: the coordinator may be restarting.
    #[error("cannot connect to the coordinator at {address}: {source}")]
    Connect {
        /// What was tried.
        address: String,
        /// What went wrong.
        #[source]
        source: tonic::transport::Error,
    },
    /// The call was answered with an error.
    #[error("coordinator: {}", words(.0))]
    Refused(#[from] Box<Status>),
    /// The answer does not say what it must.
    #[error("coordinator's answer: {0}")]
    Wire(#[from] WireError),
}

impl ClientError {
    /// Whether the same call may succeed later: the coordinator is absent or busy, not unwilling. A token that
    /// is refused may be that of a predecessor where it came from a file, which then is about to be replaced.
    pub fn is_transient(&self, source: &AccessSource) -> bool {
        match self {
            Self::Address { .. } | Self::Plaintext { .. } | Self::Token(_) | Self::Wire(_) => false,
            Self::Connect { .. } => true,
            Self::Refused(status) if status.code() == Code::Unauthenticated => match source {
                AccessSource::Fixed(_) => false,
                AccessSource::File(_) => true,
            },
            // A connection that breaks has many codes; a coordinator that restarts does not know the peers
            // of its predecessor.
            Self::Refused(status) => !matches!(
                status.code(),
                Code::PermissionDenied
                    | Code::FailedPrecondition
                    | Code::InvalidArgument
                    | Code::Unimplemented
            ),
        }
    }

    /// A reason to try again, for logs, or the error that trying again would only repeat.
    pub fn reason_to_retry(self, source: &AccessSource) -> Result<String, Self> {
        if self.is_transient(source) {
            Ok(self.reason())
        } else {
            Err(self)
        }
    }

    /// What went wrong, with its causes, for logs.
    pub fn reason(&self) -> String {
        let mut message = match self {
            Self::Refused(status) => return words(status).to_owned(),
            Self::Address { .. }
            | Self::Plaintext { .. }
            | Self::Token(_)
            | Self::Connect { .. }
            | Self::Wire(_) => self.to_string(),
        };
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        if CLOCK_WORDS.iter().any(|words| message.contains(words)) {
            message.push_str("; is this machine's clock right?");
        }
        message
    }
}

/// How TLS says that the time is not within a certificate's dates.
const CLOCK_WORDS: [&str; 2] = ["certificate expired", "certificate not valid yet"];

/// What the coordinator says, or what its code means where it says nothing.
fn words(status: &Status) -> &str {
    match status.message() {
        "" => status.code().description(),
        message => message,
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// A connected client; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    inner: CoordinatorClient<InterceptedService<Channel, AddToken>>,
}

impl Client {
    /// Connects to a coordinator; where the access pins a certificate, to none but that one.
    pub async fn connect(
        access: &Access,
        identity: Option<&ClientIdentity>,
    ) -> Result<Self, ClientError> {
        let address = &access.address;
        let mut endpoint =
            Endpoint::from_shared(address.clone()).map_err(|_| ClientError::Address {
                address: address.clone(),
            })?;
        let is_encrypted = address.starts_with("https://");
        if !is_encrypted && (access.certificate.is_some() || !is_loopback(address)) {
            return Err(ClientError::Plaintext {
                address: address.clone(),
            });
        }
        let interceptor = AddToken::new(&access.token)?;
        let connect = |source| ClientError::Connect {
            address: address.clone(),
            source,
        };
        if let Some(certificate) = &access.certificate {
            let mut tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(certificate))
                .domain_name(&access.server_name);
            if let Some(identity) = identity {
                tls = tls.identity(Identity::from_pem(
                    &identity.certificate,
                    &identity.private_key,
                ));
            }
            endpoint = endpoint.tls_config(tls).map_err(connect)?;
        }
        let channel = endpoint
            .connect_timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(connect)?;
        let inner = CoordinatorClient::with_interceptor(channel, interceptor)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { inner })
    }

    /// Opens a session.
    pub async fn register(&mut self, registration: &Registration) -> Result<Session, ClientError> {
        let reply = self
            .inner
            .register(v1::RegisterRequest::from(registration))
            .await?;
        Ok(Session::try_from(reply.into_inner())?)
    }

    /// A worker's session: what `messages` yields goes up, what comes back are leases.
    pub async fn work(
        &mut self,
        peer: PeerId,
        messages: impl Stream<Item = FromWorker> + Send + 'static,
    ) -> Result<Incoming<ToWorker>, ClientError> {
        let messages = messages.map(move |message| convert::worker_message(peer, message));
        let stream = self.inner.work(messages).await?.into_inner();
        Ok(Incoming::new(stream, ToWorker::try_from))
    }

    /// A trainer's session.
    pub async fn train(
        &mut self,
        peer: PeerId,
        messages: impl Stream<Item = FromTrainer> + Send + 'static,
    ) -> Result<Incoming<ToTrainer>, ClientError> {
        let messages = messages.map(move |message| convert::trainer_message(peer, message));
        let stream = self.inner.train(messages).await?.into_inner();
        Ok(Incoming::new(stream, ToTrainer::try_from))
    }

    /// Which campaign is served, by which run.
    pub async fn identify(&mut self) -> Result<Identification, ClientError> {
        let reply = self.inner.identify(v1::IdentifyRequest {}).await?;
        Ok(reply.into_inner().into())
    }

    /// Where the campaign stands.
    pub async fn status(&mut self) -> Result<CampaignStatus, ClientError> {
        let reply = self.inner.status(v1::StatusRequest {}).await?;
        Ok(convert::status_from_wire(reply.into_inner())?)
    }

    /// Sends a shard through the coordinator to where its lease says; what comes back is what was stored.
    pub async fn upload(
        &mut self,
        peer: PeerId,
        attempt: AttemptId,
        path: &str,
        contents: &[u8],
    ) -> Result<StoredFile, ClientError> {
        let mut pieces: Vec<v1::UploadPiece> = contents
            .chunks(UPLOAD_PIECE_BYTES)
            .map(|chunk| UploadPiece {
                peer,
                attempt,
                path: String::new(),
                contents: chunk.to_vec(),
            })
            .map(Into::into)
            .collect();
        if let Some(first) = pieces.first_mut() {
            first.path = path.to_owned();
        }
        let pieces = tonic::codegen::tokio_stream::iter(pieces);
        let reply = self.inner.upload(pieces).await?;
        Ok(StoredFile::try_from(reply.into_inner())?)
    }

    /// Everything that happens, from the first round on.
    pub async fn watch(&mut self) -> Result<Incoming<Progress>, ClientError> {
        let stream = self.inner.watch(v1::WatchRequest {}).await?.into_inner();
        Ok(Incoming::new(stream, convert::progress_from_wire))
    }
}

/// What the coordinator sends, converted message by message.
pub struct Incoming<T> {
    messages: Pin<Box<dyn Stream<Item = Result<T, ClientError>> + Send>>,
}

impl<T: 'static> Incoming<T> {
    fn new<W: Send + 'static>(
        stream: Streaming<W>,
        convert: fn(W) -> Result<T, WireError>,
    ) -> Self {
        let messages = stream.map(move |message| Ok(convert(message?)?));
        Self {
            messages: Box::pin(messages),
        }
    }

    /// The next message; None once the coordinator has closed the stream. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        self.messages.next().await
    }
}
