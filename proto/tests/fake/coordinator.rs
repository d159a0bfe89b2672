//! A small coordinator that notes down what it hears and dies when dropped, for the tests of workers and trainers: what
//! it hands out is a [`Script`] of theirs.

use sidereal_inference::base::{PeerId, RunId};
use sidereal_inference::campaign::Campaign;
use sidereal_proto::access::Access;
use sidereal_proto::auth::carries_token;
use sidereal_proto::convert::registration_from_wire;
use sidereal_proto::message::{Registration, Session};
use sidereal_proto::v1;
use sidereal_proto::v1::coordinator_server::{Coordinator, CoordinatorServer};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

pub const TOKEN: &str = "secret";

pub type Answers<T> = UnboundedReceiverStream<Result<T, Status>>;

/// What a coordinator does with a kind of peers.
#[tonic::async_trait]
pub trait Script: Sized + Send + Sync + 'static {
    type Heard: Clone + Debug + Send;

    async fn work(
        _state: Arc<State<Self>>,
        _incoming: Streaming<v1::WorkerMessage>,
    ) -> Result<Answers<v1::LeaseMessage>, Status> {
        Err(Status::unimplemented("no workers here"))
    }

    async fn train(
        _state: Arc<State<Self>>,
        _incoming: Streaming<v1::TrainerMessage>,
    ) -> Result<Answers<v1::TaskMessage>, Status> {
        Err(Status::unimplemented("no trainers here"))
    }

    async fn upload(
        _state: Arc<State<Self>>,
        _pieces: Streaming<v1::UploadPiece>,
    ) -> Result<v1::StoredFile, Status> {
        Err(Status::unimplemented("nothing comes through here"))
    }
}

pub struct State<S: Script> {
    pub session: Session,
    pub script: S,
    pub heard: Mutex<Vec<S::Heard>>,
    registrations: Mutex<Vec<Registration>>,
}

struct Service<S: Script>(Arc<State<S>>);

/// A coordinator that runs until it is dropped: then its sockets close at once, as after SIGKILL.
pub struct Scripted<S: Script> {
    pub address: SocketAddr,
    pub state: Arc<State<S>>,
    runtime: Option<Runtime>,
}

impl<S: Script> Scripted<S> {
    pub fn serve(address: SocketAddr, campaign: &Campaign, directory: &str, script: S) -> Self {
        let state = Arc::new(State {
            session: Session {
                peer: PeerId(7),
                run: RunId("run".to_owned()),
                campaign: campaign.clone(),
                directory: directory.to_owned(),
            },
            script,
            heard: Mutex::new(Vec::new()),
            registrations: Mutex::new(Vec::new()),
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

    /// Everything noted down so far, in order.
    pub fn heard(&self) -> Vec<S::Heard> {
        lock(&self.state.heard).clone()
    }

    /// Waits until what was heard satisfies `is_enough`.
    pub async fn wait_until(&self, is_enough: impl Fn(&[S::Heard]) -> bool) {
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

impl<S: Script> Drop for Scripted<S> {
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

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while locked")
}

#[tonic::async_trait]
impl<S: Script> Coordinator for Service<S> {
    type WorkStream = Answers<v1::LeaseMessage>;
    type TrainStream = Answers<v1::TaskMessage>;
    type WatchStream = Answers<v1::ProgressMessage>;

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

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let answers = S::work(Arc::clone(&self.0), request.into_inner()).await;
        answers.map(Response::new)
    }

    async fn train(
        &self,
        request: Request<Streaming<v1::TrainerMessage>>,
    ) -> Result<Response<Self::TrainStream>, Status> {
        let answers = S::train(Arc::clone(&self.0), request.into_inner()).await;
        answers.map(Response::new)
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadPiece>>,
    ) -> Result<Response<v1::StoredFile>, Status> {
        let stored = S::upload(Arc::clone(&self.0), request.into_inner()).await;
        stored.map(Response::new)
    }

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
}
