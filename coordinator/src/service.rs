//! The gRPC service: checks the token, turns wire into domain, and passes on to the driver.

use crate::campaign::leases::peers::Refusal;
use crate::driver::messages::{Message, Messages, Outbox, StreamId};
use crate::metrics::{Metrics, Reason};
use sidereal_inference::account::Progress;
use sidereal_inference::base::PeerId;
use sidereal_inference::campaign::model;
use sidereal_inference::campaign::model::ModelId;
use sidereal_inference::records::Directory;
use sidereal_proto::convert::{
    WireError, progress_to_wire, registration_from_wire, status_to_wire, trainer_message_from_wire,
    worker_message_from_wire,
};
use sidereal_proto::message::{Identification, PeerKind, UploadPiece};
use sidereal_proto::v1::coordinator_server::{Coordinator, CoordinatorServer};
use sidereal_proto::{MAX_MESSAGE_BYTES, auth, v1};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages that wait for a peer; above the leases that it can hold.
const PEER_OUTBOX: usize = 256;
/// Largest shard that is taken through the coordinator, and how many at a time: they wait in memory.
const MAX_UPLOAD_BYTES: usize = 256 << 20;
const UPLOADS_AT_A_TIME: usize = 4;
/// Characters of a peer's words that are told back.
const MAX_TOLD: usize = 500;
const PIECE_PATIENCE: Duration = Duration::from_secs(20);
/// Steps that wait for a watcher; above any campaign's history.
const WATCHER_OUTBOX: usize = 8192;

/// The service on top of a driver.
#[derive(Debug)]
pub struct Service {
    token: Arc<str>,
    identification: Arc<Identification>,
    model: ModelId,
    directory: Directory,
    messages: Messages,
    metrics: Metrics,
    uploads: Semaphore,
    n_streams: AtomicU64,
}

impl Service {
    pub fn new(
        token: &str,
        identification: Identification,
        model: ModelId,
        directory: Directory,
        messages: Messages,
        metrics: Metrics,
    ) -> CoordinatorServer<Self> {
        let service = Self {
            token: token.into(),
            identification: Arc::new(identification),
            model,
            directory,
            messages,
            metrics,
            uploads: Semaphore::new(UPLOADS_AT_A_TIME),
            n_streams: AtomicU64::new(0),
        };
        CoordinatorServer::new(service)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Where the coordinator expects a shard of this lease; None where it is not leased.
    async fn shard_path(&self, piece: &UploadPiece) -> Result<Option<String>, Status> {
        let (peer, attempt) = (piece.peer, piece.attempt);
        let ask = |reply| Message::ShardPath {
            peer,
            attempt,
            reply,
        };
        self.ask(ask).await
    }

    async fn send(&self, message: Message) -> Result<(), Status> {
        self.messages.send(message).await.map_err(|_| ended())
    }

    /// What the driver answers.
    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(ask(reply)).await?;
        answer.await.map_err(|_| ended())
    }

    /// Passes a peer's messages on to the driver, and the driver's answers to the peer.
    fn serve_peer<W, M, O, R>(
        &self,
        incoming: Streaming<W>,
        from_wire: fn(W) -> Result<(PeerId, M), WireError>,
        pass_on: PassOn<M, O>,
    ) -> Response<BoxedStream<R>>
    where
        W: Send + 'static,
        M: Send + 'static,
        O: Into<R> + Send + 'static,
        R: 'static,
    {
        let stream = StreamId(self.n_streams.fetch_add(1, Ordering::Relaxed));
        let (outbox, answers) = mpsc::channel(PEER_OUTBOX);
        let messages = self.messages.clone();
        let listening = listen(incoming, stream, messages, outbox, from_wire, pass_on);
        self.messages.supervise(listening);
        let answers = ReceiverStream::new(answers).map(|answer| answer.map(Into::into));
        Response::new(Box::pin(answers))
    }

    /// Counts and logs what is refused; `message` again, for the peer.
    fn refuse(&self, reason: Reason, what: &str, message: String) -> String {
        self.metrics.on_refused(reason);
        tracing::warn!(message, "{what} refused");
        message
    }

    fn check_token<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if auth::carries_token(request.metadata(), &self.token) {
            return Ok(());
        }
        self.metrics.on_refused(Reason::Token);
        tracing::warn!(
            peer = request.remote_addr().map(|address| address.to_string()),
            "call refused: it does not carry this coordinator's token"
        );
        Err(Status::unauthenticated(
            "the call does not carry this coordinator's token",
        ))
    }
}

/// Makes what the driver is told of what a peer says.
type PassOn<M, O> = fn(PeerId, StreamId, M, Outbox<O>) -> Message;

type BoxedStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Coordinator for Service {
    type WorkStream = BoxedStream<v1::LeaseMessage>;
    type TrainStream = BoxedStream<v1::TaskMessage>;
    type WatchStream = BoxedStream<v1::ProgressMessage>;

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterReply>, Status> {
        self.check_token(&request)?;
        let from = request.remote_addr();
        let registration = registration_from_wire(request.into_inner()).map_err(|error| {
            self.metrics.on_refused(Reason::Version);
            tracing::warn!(%error, peer = from.map(|from| from.to_string()), "registration refused");
            bad_message(error)
        })?;
        if let Some(campaign) = &registration.campaign
            && *campaign != self.identification.campaign
        {
            let message = format!(
                "{} works for campaign {}, this is {:?} ({})",
                registration.name,
                campaign.0,
                self.identification.campaign_name,
                self.identification.campaign.0
            );
            let message = self.refuse(Reason::Campaign, "registration", message);
            return Err(Status::failed_precondition(message));
        }
        let can_run = match registration.kind {
            PeerKind::Worker => {
                self.model.origin.is_external() || registration.models.contains(&self.model)
            }
            PeerKind::Trainer => true,
        };
        if !can_run {
            let message = format!(
                "{} has {}, the model of {:?} is {}",
                registration.name,
                model::list(&registration.models),
                self.identification.campaign_name,
                self.model
            );
            let message = self.refuse(Reason::Model, "registration", message);
            return Err(Status::failed_precondition(message));
        }
        let ask = |reply| Message::Register {
            registration,
            reply,
        };
        let session = self.ask(ask).await?.map_err(|refusal| match refusal {
            Refusal::LongName { .. } => {
                self.metrics.on_refused(Reason::Message);
                Status::invalid_argument(refusal.to_string())
            }
            Refusal::TooManyPeers
            | Refusal::UnknownPeer { .. }
            | Refusal::WrongKind { .. }
            | Refusal::NotHolder { .. }
            | Refusal::WrongReport { .. } => Status::resource_exhausted(refusal.to_string()),
        })?;
        let reply = v1::RegisterReply::try_from(&session).map_err(internal)?;
        Ok(Response::new(reply))
    }

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        self.check_token(&request)?;
        Ok(self.serve_peer(
            request.into_inner(),
            worker_message_from_wire,
            |peer, stream, message, outbox| Message::Worker {
                peer,
                stream,
                message,
                outbox,
            },
        ))
    }

    async fn train(
        &self,
        request: Request<Streaming<v1::TrainerMessage>>,
    ) -> Result<Response<Self::TrainStream>, Status> {
        self.check_token(&request)?;
        Ok(self.serve_peer(
            request.into_inner(),
            trainer_message_from_wire,
            |peer, stream, message, outbox| Message::Trainer {
                peer,
                stream,
                message,
                outbox,
            },
        ))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.check_token(&request)?;
        let (outbox, progress) = mpsc::channel::<Result<Progress, Status>>(WATCHER_OUTBOX);
        self.send(Message::Watch(outbox)).await?;
        let progress = ReceiverStream::new(progress)
            .map(|progress| progress_to_wire(&progress?).map_err(internal));
        Ok(Response::new(Box::pin(progress)))
    }

    /// Answered without the driver, however busy it is.
    async fn identify(
        &self,
        request: Request<v1::IdentifyRequest>,
    ) -> Result<Response<v1::IdentifyReply>, Status> {
        self.check_token(&request)?;
        Ok(Response::new(self.identification.as_ref().into()))
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        self.check_token(&request)?;
        let status = match self.messages.paused() {
            Some(status) => status,
            None => self.ask(Message::Status).await?,
        };
        Ok(Response::new(status_to_wire(&status).map_err(internal)?))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadPiece>>,
    ) -> Result<Response<v1::StoredFile>, Status> {
        self.check_token(&request)?;
        let mut pieces = request.into_inner();
        let first = next_piece(&mut pieces).await?;
        let mut first = first
            .map(UploadPiece::from)
            .ok_or_else(|| Status::invalid_argument("an upload without any piece"))?;
        let expected = self.shard_path(&first).await?;
        if expected.as_deref() != Some(first.path.as_str()) {
            let message = format!(
                "{} may not write {:?} as {}",
                first.peer,
                brief(&first.path),
                first.attempt
            );
            let message = self.refuse(Reason::Nonsense, "upload", message);
            return Err(Status::permission_denied(message));
        }
        // Never closed.
        let _permit = self.uploads.acquire().await;
        let mut contents = std::mem::take(&mut first.contents);
        while let Some(piece) = next_piece(&mut pieces).await? {
            if contents.len() + piece.contents.len() > MAX_UPLOAD_BYTES {
                self.metrics.on_refused(Reason::Message);
                let message = format!("a shard of more than {MAX_UPLOAD_BYTES} bytes");
                tracing::warn!(peer = first.peer.0, message, "upload refused");
                return Err(Status::resource_exhausted(message));
            }
            contents.extend_from_slice(&piece.contents);
        }
        // The rows may be final by now, and the shard under this name part of the round.
        if self.shard_path(&first).await?.is_none() {
            return Err(Status::not_found(format!(
                "{} is not leased any more",
                first.attempt
            )));
        }
        let (directory, path) = (self.directory.clone(), first.path);
        let stored = tokio::task::spawn_blocking(move || directory.store(&path, contents)).await;
        let stored = match stored {
            Ok(stored) => stored.map_err(|error| Status::unavailable(error.to_string()))?,
            Err(error) => {
                let status = internal(&error);
                // A driver that has ended stores nothing.
                let _ = self.messages.send(Message::Failed(error.into())).await;
                return Err(status);
            }
        };
        Ok(Response::new((&stored).into()))
    }
}

/// One that does not come in time must not keep others waiting.
async fn next_piece(
    pieces: &mut Streaming<v1::UploadPiece>,
) -> Result<Option<v1::UploadPiece>, Status> {
    tokio::time::timeout(PIECE_PATIENCE, pieces.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the next piece of an upload did not come"))?
}

/// Passes a peer's messages on until its stream ends, the peer contradicts itself, or the driver has
/// closed the other direction.
async fn listen<W, M, O>(
    mut incoming: Streaming<W>,
    stream: StreamId,
    messages: Messages,
    outbox: Outbox<O>,
    from_wire: fn(W) -> Result<(PeerId, M), WireError>,
    pass_on: PassOn<M, O>,
) {
    let mut known: Option<PeerId> = None;
    let answers = outbox.downgrade();
    // The driver holds the outbox of each peer that it knows; only until then it is kept here.
    let mut outbox = Some(outbox);
    let refusal = loop {
        let wire = match incoming.next().await {
            None => break None,
            Some(Err(status)) if is_bad_message(&status) => {
                break Some(Status::invalid_argument(brief(status.message())));
            }
            Some(Err(status)) => {
                tracing::debug!(%status, "a peer's stream broke");
                break None;
            }
            Some(Ok(wire)) => wire,
        };
        let (peer, message) = match from_wire(wire) {
            Ok(message) => message,
            Err(error) => break Some(bad_message(error)),
        };
        let speaker = *known.get_or_insert(peer);
        if speaker != peer {
            let message = format!("a stream of {speaker} carries a message of {peer}");
            break Some(Status::invalid_argument(message));
        }
        let Some(answers) = answers.upgrade() else {
            // The driver has let go of this peer.
            break None;
        };
        let message = pass_on(peer, stream, message, answers);
        if messages.send(message).await.is_err() {
            break None;
        }
        outbox = None;
    };
    if let (Some(outbox), Some(status)) = (outbox, &refusal) {
        tracing::warn!(reason = status.message(), "stream refused");
        // Who does not listen needs no reason.
        let _ = outbox.send(Err(status.clone())).await;
    }
    if let Some(peer) = known {
        let message = match refusal {
            None => Message::Lost { peer, stream },
            Some(status) => Message::Nonsense {
                peer,
                stream,
                reason: status.message().to_owned(),
            },
        };
        // A driver that has ended knows no peers.
        let _ = messages.send(message).await;
    }
}

/// Whether a stream broke because of what was sent on it: too large, or no message at all. A connection that is
/// lost has a source.
fn is_bad_message(status: &Status) -> bool {
    status.code() == Code::OutOfRange
        || (status.code() == Code::Internal && std::error::Error::source(status).is_none())
}

/// What a peer says is told back and logged in short: it may be long, and a header has limits.
pub fn brief(text: &str) -> String {
    if text.chars().count() <= MAX_TOLD {
        return text.to_owned();
    }
    let head: String = text.chars().take(MAX_TOLD).collect();
    format!("{head} ... ({} bytes in all)", text.len())
}

fn internal(error: impl ToString) -> Status {
    Status::internal(error.to_string())
}

fn bad_message(error: WireError) -> Status {
    Status::invalid_argument(brief(&error.to_string()))
}

fn ended() -> Status {
    Status::unavailable("the coordinator has ended")
}
