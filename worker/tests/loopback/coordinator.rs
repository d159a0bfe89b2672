//! A small coordinator that hands out leases and notes down what it hears; it dies when dropped.

use sidereal_inference::campaign::Campaign;
use sidereal_inference::ids::{AttemptId, PeerId, RunId};
use sidereal_inference::task::BatchLease;
use sidereal_proto::access::Access;
use sidereal_proto::auth::carries_token;
use sidereal_proto::convert::{registration_from_wire, worker_message_from_wire};
use sidereal_proto::message::{FromWorker, Registration, Session, ToWorker, UploadPiece};
use sidereal_proto::v1;
use sidereal_proto::v1::coordinator_server::{Coordinator, CoordinatorServer};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

pub const TOKEN: &str = "secret";

/// What the coordinator does with its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As many as there are credits for, then `Done` once all are answered.
    UntilDone,
    /// As many as there are credits for; never `Done`.
    Endless,
    /// All at once, whatever the credits.
    AllAtOnce,
}

struct State {
    session: Session,
    manner: Manner,
    leases: Mutex<VecDeque<BatchLease>>,
    heard: Mutex<Vec<FromWorker>>,
    registrations: Mutex<Vec<Registration>>,
    uploads: Mutex<Vec<AttemptId>>,
    /// To the worker that came last.
    outgoing: Mutex<Option<Outgoing>>,
}

type Outgoing = mpsc::UnboundedSender<Result<v1::LeaseMessage, Status>>;

#[derive(Clone)]
struct Service(Arc<State>);

/// A coordinator that runs until it is dropped: then its sockets close at once, as after SIGKILL.
pub struct FakeCoordinator {
    pub address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

impl FakeCoordinator {
    pub fn start(
        address: SocketAddr,
        campaign: &Campaign,
        directory: &str,
        leases: Vec<BatchLease>,
        manner: Manner,
    ) -> Self {
        let state = Arc::new(State {
            session: Session {
                peer: PeerId(7),
                run: RunId("run".to_owned()),
                campaign: campaign.clone(),
                directory: directory.to_owned(),
            },
            manner,
            leases: Mutex::new(leases.into()),
            heard: Mutex::new(Vec::new()),
            registrations: Mutex::new(Vec::new()),
            uploads: Mutex::new(Vec::new()),
            outgoing: Mutex::new(None),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let service = CoordinatorServer::new(Service(Arc::clone(&state)));
        let entered = runtime.enter();
        let incoming = bind(address);
        drop(entered);
        let address = incoming.local_addr().expect("address");
        runtime.spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Self {
            address,
            state,
            runtime: Some(runtime),
        }
    }

    /// With the right token, in plain text.
    pub fn access(&self) -> Access {
        Access {
            address: format!("http://{}", self.address),
            server_name: String::new(),
            certificate: None,
            token: TOKEN.to_owned(),
        }
    }

    pub fn registrations(&self) -> Vec<Registration> {
        lock(&self.state.registrations).clone()
    }

    /// Whose shards came through the coordinator.
    pub fn uploads(&self) -> Vec<AttemptId> {
        lock(&self.state.uploads).clone()
    }

    pub fn cancel(&self, attempt: AttemptId) {
        let outgoing = lock(&self.state.outgoing);
        let worker = outgoing.as_ref().expect("a worker");
        worker
            .send(Ok(ToWorker::Cancel(attempt).into()))
            .expect("the worker is there");
    }

    /// Everything heard so far, in order.
    pub fn heard(&self) -> Vec<FromWorker> {
        lock(&self.state.heard).clone()
    }

    /// Waits until what was heard satisfies `is_enough`.
    pub async fn wait_until(&self, is_enough: impl Fn(&[FromWorker]) -> bool) {
        let start = Instant::now();
        while !is_enough(&lock(&self.state.heard)) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "heard only {:?}",
                self.heard()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for FakeCoordinator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The sockets of a predecessor at the same address take a moment to close.
fn bind(address: SocketAddr) -> TcpIncoming {
    for _ in 0..500 {
        if let Ok(incoming) = TcpIncoming::bind(address) {
            return incoming;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("cannot bind {address}");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while locked")
}

#[tonic::async_trait]
impl Coordinator for Service {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterReply>, Status> {
        if !carries_token(request.metadata(), TOKEN) {
            return Err(Status::unauthenticated("the token is not this campaign's"));
        }
        let registration = registration_from_wire(request.into_inner()).expect("registration");
        lock(&self.0.registrations).push(registration);
        let reply = v1::RegisterReply::try_from(&self.0.session);
        reply
            .map(Response::new)
            .map_err(|error| Status::internal(error.to_string()))
    }

    type WorkStream = UnboundedReceiverStream<Result<v1::LeaseMessage, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let mut incoming = request.into_inner();
        let (outgoing, messages) = mpsc::unbounded_channel();
        let state = Arc::clone(&self.0);
        *lock(&state.outgoing) = Some(outgoing.clone());
        tokio::spawn(async move {
            let send = |message: ToWorker| {
                // The worker may have left.
                let _ = outgoing.send(Ok(message.into()));
            };
            let (mut credits, mut n_out) = (0, 0);
            while let Ok(Some(message)) = incoming.message().await {
                let (peer, message) = worker_message_from_wire(message).expect("message");
                assert_eq!(peer, state.session.peer);
                match &message {
                    FromWorker::Credits(more) => credits += more,
                    FromWorker::Report(_) | FromWorker::Failure { .. } => n_out -= 1,
                    FromWorker::Heartbeat | FromWorker::Drain => {}
                }
                lock(&state.heard).push(message);
                let mut leases = lock(&state.leases);
                while credits > 0 || state.manner == Manner::AllAtOnce {
                    let Some(lease) = leases.pop_front() else {
                        break;
                    };
                    credits = credits.saturating_sub(1);
                    n_out += 1;
                    send(ToWorker::Lease(lease));
                }
                if leases.is_empty() && n_out == 0 && state.manner != Manner::Endless {
                    send(ToWorker::Done);
                }
            }
            // The stream ends with its last sender.
            lock(&state.outgoing).take();
        });
        Ok(Response::new(UnboundedReceiverStream::new(messages)))
    }

    type TrainStream = UnboundedReceiverStream<Result<v1::TaskMessage, Status>>;

    async fn train(
        &self,
        _request: Request<Streaming<v1::TrainerMessage>>,
    ) -> Result<Response<Self::TrainStream>, Status> {
        Err(Status::unimplemented("no trainers here"))
    }

    type WatchStream = UnboundedReceiverStream<Result<v1::ProgressMessage, Status>>;

    async fn watch(
        &self,
        _request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("no watchers here"))
    }

    async fn identify(
        &self,
        _request: Request<v1::IdentifyRequest>,
    ) -> Result<Response<v1::IdentifyReply>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    /// Stores in the session's directory, which the worker need not know.
    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadPiece>>,
    ) -> Result<Response<v1::StoredFile>, Status> {
        let mut pieces = request.into_inner();
        let first = pieces.message().await?.expect("a first piece");
        let mut first = UploadPiece::from(first);
        assert_eq!(first.peer, self.0.session.peer);
        while let Some(piece) = pieces.message().await? {
            first.contents.extend(UploadPiece::from(piece).contents);
        }
        let location = self.0.session.directory.clone();
        let attempt = first.attempt;
        let store = move || {
            let directory = sidereal_store::open(&location).expect("directory");
            directory.store(&first.path, first.contents).expect("store")
        };
        let stored = tokio::task::spawn_blocking(store).await.expect("no panic");
        lock(&self.0.uploads).push(attempt);
        Ok(Response::new((&stored).into()))
    }
}
