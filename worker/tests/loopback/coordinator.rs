//! A small coordinator that hands out leases.

#[path = "../../../proto/tests/fake/coordinator.rs"]
mod scripted;

pub use scripted::TOKEN;
use scripted::{Answers, Script, Scripted, State, lock};
use sidereal_inference::base::AttemptId;
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::BatchLease;
use sidereal_proto::convert::worker_message_from_wire;
use sidereal_proto::message::{FromWorker, ToWorker, UploadPiece};
use sidereal_proto::v1;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

pub type FakeCoordinator = Scripted<Leases>;

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

pub struct Leases {
    manner: Manner,
    leases: Mutex<VecDeque<BatchLease>>,
    uploads: Mutex<Vec<AttemptId>>,
    /// To the worker that came last.
    outgoing: Mutex<Option<Outgoing>>,
}

type Outgoing = mpsc::UnboundedSender<Result<v1::LeaseMessage, Status>>;

impl FakeCoordinator {
    pub fn start(
        address: SocketAddr,
        campaign: &Campaign,
        directory: &str,
        leases: Vec<BatchLease>,
        manner: Manner,
    ) -> Self {
        let leases = Leases {
            manner,
            leases: Mutex::new(leases.into()),
            uploads: Mutex::new(Vec::new()),
            outgoing: Mutex::new(None),
        };
        Self::serve(address, campaign, directory, leases)
    }

    /// Whose shards came through the coordinator.
    pub fn uploads(&self) -> Vec<AttemptId> {
        lock(&self.state.script.uploads).clone()
    }

    pub fn cancel(&self, attempt: AttemptId) {
        let outgoing = lock(&self.state.script.outgoing);
        let worker = outgoing.as_ref().expect("a worker");
        worker
            .send(Ok(ToWorker::Cancel(attempt).into()))
            .expect("the worker is there");
    }
}

#[tonic::async_trait]
impl Script for Leases {
    type Heard = FromWorker;

    async fn work(
        state: Arc<State<Self>>,
        mut incoming: Streaming<v1::WorkerMessage>,
    ) -> Result<Answers<v1::LeaseMessage>, Status> {
        let (outgoing, messages) = mpsc::unbounded_channel();
        *lock(&state.script.outgoing) = Some(outgoing.clone());
        tokio::spawn(async move {
            let send = |message: ToWorker| {
                // The worker may have left.
                let _ = outgoing.send(Ok(message.into()));
            };
            let manner = state.script.manner;
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
                let mut leases = lock(&state.script.leases);
                while credits > 0 || manner == Manner::AllAtOnce {
                    let Some(lease) = leases.pop_front() else {
                        break;
                    };
                    credits = credits.saturating_sub(1);
                    n_out += 1;
                    send(ToWorker::Lease(lease));
                }
                if leases.is_empty() && n_out == 0 && manner != Manner::Endless {
                    send(ToWorker::Done);
                }
            }
            // The stream ends with its last sender.
            lock(&state.script.outgoing).take();
        });
        Ok(Answers::new(messages))
    }

    /// Stores in the session's directory, which the worker need not know.
    async fn upload(
        state: Arc<State<Self>>,
        mut pieces: Streaming<v1::UploadPiece>,
    ) -> Result<v1::StoredFile, Status> {
        let first = pieces.message().await?.expect("a first piece");
        let mut first = UploadPiece::from(first);
        assert_eq!(first.peer, state.session.peer);
        while let Some(piece) = pieces.message().await? {
            first.contents.extend(UploadPiece::from(piece).contents);
        }
        let location = state.session.directory.clone();
        let attempt = first.attempt;
        let store = move || {
            let directory = sidereal_store::open(&location).expect("directory");
            directory.store(&first.path, first.contents).expect("store")
        };
        let stored = tokio::task::spawn_blocking(store).await.expect("no panic");
        lock(&state.script.uploads).push(attempt);
        Ok((&stored).into())
    }
}
