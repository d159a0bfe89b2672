//! A connection to the coordinator, for workers, trainers and watchers.

use crate::auth::{AddToken, TokenError};
use crate::convert::WireError;
use crate::message::{FromTrainer, FromWorker, Registration, Session, ToTrainer, ToWorker};
use crate::v1::coordinator_client::CoordinatorClient;
use crate::{MAX_MESSAGE_BYTES, convert, v1};
use sidereal_inference::ids::PeerId;
use sidereal_inference::progress::Progress;
use std::pin::Pin;
use std::time::Duration;
use tonic::codegen::InterceptedService;
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// A coordinator that could not be reached, refused, or answered nonsense.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("coordinator address {address:?} is not a URI such as http://127.0.0.1:1234")]
    Address { address: String },
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Worth a retry: the coordinator may be restarting.
    #[error("cannot connect to the coordinator at {address}: {source}")]
    Connect {
        address: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("coordinator: {}", .0.message())]
    Refused(#[from] Box<Status>),
    #[error("coordinator's answer: {0}")]
    Wire(#[from] WireError),
}

impl ClientError {
    /// Whether the same call may succeed later: the coordinator is absent, not unwilling.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Address { .. } | Self::Token(_) | Self::Wire(_) => false,
            Self::Connect { .. } => true,
            // A coordinator that restarts does not know the peers of its predecessor.
            Self::Refused(status) => matches!(
                status.code(),
                tonic::Code::Unavailable
                    | tonic::Code::Unknown
                    | tonic::Code::NotFound
                    | tonic::Code::Cancelled
                    | tonic::Code::DeadlineExceeded
            ),
        }
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
    /// Connects to `address`, such as `http://127.0.0.1:1234`.
    pub async fn connect(address: &str, token: &str) -> Result<Self, ClientError> {
        let endpoint =
            Endpoint::from_shared(address.to_owned()).map_err(|_| ClientError::Address {
                address: address.to_owned(),
            })?;
        let interceptor = AddToken::new(token)?;
        let channel = endpoint
            .connect_timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(|source| ClientError::Connect {
                address: address.to_owned(),
                source,
            })?;
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
