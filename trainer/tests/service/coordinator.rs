//! A small coordinator that hands out tasks and notes down what it hears; it dies when dropped.

use sidereal_inference::campaign::Campaign;
use sidereal_inference::ids::{PeerId, RunId};
use sidereal_inference::task::TrainerTask;
use sidereal_proto::access::Access;
use sidereal_proto::auth::carries_token;
use sidereal_proto::convert::{registration_from_wire, trainer_message_from_wire};
use sidereal_proto::message::{FromTrainer, Registration, Session, ToTrainer};
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

const TOKEN: &str = "secret";

/// What the coordinator does when its tasks are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Done,
    Wait,
}

struct State {
    session: Session,
    then: Then,
    tasks: Mutex<VecDeque<TrainerTask>>,
    heard: Mutex<Vec<FromTrainer>>,
    registrations: Mutex<Vec<Registration>>,
}

#[derive(Clone)]
struct Service(Arc<State>);

/// A coordinator that runs until it is dropped: then its sockets close at once, as after SIGKILL.
pub struct FakeCoordinator {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<Runtime>,
}

impl FakeCoordinator {
    pub fn start(
        campaign: &Campaign,
        directory: &str,
        tasks: Vec<TrainerTask>,
        then: Then,
    ) -> Self {
        let state = Arc::new(State {
            session: Session {
                peer: PeerId(7),
                run: RunId("run".to_owned()),
                campaign: campaign.clone(),
                directory: directory.to_owned(),
            },
            then,
            tasks: Mutex::new(tasks.into()),
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
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
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

    /// Everything heard so far, in order, without heartbeats.
    pub fn heard(&self) -> Vec<FromTrainer> {
        lock(&self.state.heard).clone()
    }

    /// Waits until what was heard satisfies `is_enough`.
    pub async fn wait_until(&self, is_enough: impl Fn(&[FromTrainer]) -> bool) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while locked")
}

type Answers<T> = UnboundedReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl Coordinator for Service {
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

    async fn train(
        &self,
        request: Request<Streaming<v1::TrainerMessage>>,
    ) -> Result<Response<Self::TrainStream>, Status> {
        let mut incoming = request.into_inner();
        let (outgoing, messages) = mpsc::unbounded_channel();
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let (_, message) = trainer_message_from_wire(message).expect("message");
                let is_ready = message == FromTrainer::Ready;
                let is_last = message == FromTrainer::Drain;
                if message != FromTrainer::Heartbeat {
                    lock(&state.heard).push(message);
                }
                if is_last {
                    return;
                }
                if !is_ready {
                    continue;
                }
                let answer = match (lock(&state.tasks).pop_front(), state.then) {
                    (Some(task), Then::Done | Then::Wait) => ToTrainer::Task(Box::new(task)),
                    (None, Then::Done) => ToTrainer::Done,
                    (None, Then::Wait) => continue,
                };
                // The trainer may have left.
                let _ = outgoing.send(Ok(answer.into()));
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(messages)))
    }

    async fn work(
        &self,
        _request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        Err(Status::unimplemented("no workers here"))
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

    async fn upload(
        &self,
        _request: Request<Streaming<v1::UploadPiece>>,
    ) -> Result<Response<v1::StoredFile>, Status> {
        Err(Status::unimplemented("nothing comes through here"))
    }
}
