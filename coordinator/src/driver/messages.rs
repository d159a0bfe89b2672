//! What comes to the driver: from peers through the service, and from its own work off the loop.

use crate::campaign::event::{Results, TaskResult};
use crate::campaign::leases::peers::Refusal;
use crate::error::CampaignFailure;
use crate::finish::FinishError;
use crate::rounds::RoundDraws;
use crate::verify::ReportError;
use crate::weigh::{Findings, WeighError};
use sidereal_inference::account::{CampaignStatus, Progress, Summary};
use sidereal_inference::base::files::FileError;
use sidereal_inference::base::{AttemptId, PeerId, RoundId};
use sidereal_inference::records::ShardFile;
use sidereal_inference::records::table::TableError;
use sidereal_proto::message::{
    FromTrainer, FromWorker, Registration, Session, ToTrainer, ToWorker,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tonic::Status;

/// The way to a peer, or to one who watches.
pub type Outbox<T> = mpsc::Sender<Result<T, Status>>;

/// One call of `Work` or `Train`, so that a stream that ends takes no other one's peer with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId(pub u64);

/// One thing at a time.
pub enum Message {
    Register {
        registration: Registration,
        reply: oneshot::Sender<Result<Session, Refusal>>,
    },
    /// `outbox` is the other direction of the stream.
    Worker {
        peer: PeerId,
        stream: StreamId,
        message: FromWorker,
        outbox: Outbox<ToWorker>,
    },
    Trainer {
        peer: PeerId,
        stream: StreamId,
        message: FromTrainer,
        outbox: Outbox<ToTrainer>,
    },
    /// A stream has ended.
    Lost {
        peer: PeerId,
        stream: StreamId,
    },
    /// What came on a stream cannot be understood.
    Nonsense {
        peer: PeerId,
        stream: StreamId,
        reason: String,
    },
    Watch(Outbox<Progress>),
    Status(oneshot::Sender<CampaignStatus>),
    /// Where the shard of a lease goes, for a worker that sends it through the coordinator.
    ShardPath {
        peer: PeerId,
        attempt: AttemptId,
        reply: oneshot::Sender<Option<String>>,
    },
    /// End without a result.
    Interrupt,
    /// The service can go on no more.
    ServiceEnded(String),
    DrawsLoaded {
        round: RoundId,
        result: Result<Arc<RoundDraws>, TableError>,
    },
    ShardChecked {
        peer: PeerId,
        attempt: AttemptId,
        shard: ShardFile,
        seconds: f64,
        result: Result<(), TableError>,
    },
    /// The shard of a row that nobody can run is written.
    RowGivenUp {
        attempt: AttemptId,
        message: String,
        result: Result<ShardFile, TableError>,
    },
    RoundWeighed {
        round: RoundId,
        result: Result<Option<Box<Findings>>, WeighError>,
    },
    TaskChecked {
        peer: PeerId,
        attempt: AttemptId,
        result: Result<Box<TaskResult>, ReportError>,
    },
    ResultsWritten(Result<Results, FinishError>),
    OutcomeRead(Result<Box<Summary>, FinishError>),
    DirectoryLookedFor(Result<(), FileError>),
    /// Work off the loop has ended without an answer.
    Failed(CampaignFailure),
}

/// Where messages to the driver go; clones share it.
#[derive(Debug, Clone)]
pub struct Messages {
    sender: mpsc::Sender<Message>,
    /// Also seen where the driver waits for its store.
    interrupted: Arc<AtomicBool>,
    /// What the driver would say about the campaign, while it waits for its store and hears nothing.
    paused: Arc<Mutex<Option<CampaignStatus>>>,
}

/// The driver has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl Messages {
    pub fn new(sender: mpsc::Sender<Message>) -> Self {
        Self {
            sender,
            interrupted: Arc::default(),
            paused: Arc::default(),
        }
    }

    /// The status of a campaign that is paused; None while it is not.
    pub fn paused(&self) -> Option<CampaignStatus> {
        self.paused_mut().clone()
    }

    pub fn set_paused(&self, status: Option<CampaignStatus>) {
        *self.paused_mut() = status;
    }

    fn paused_mut(&self) -> MutexGuard<'_, Option<CampaignStatus>> {
        // A status is replaced whole: what a thread that panicked left is one.
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the driver has ended or is about to.
    pub fn has_ended(&self) -> bool {
        self.sender.is_closed() || self.is_interrupted()
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub async fn send(&self, message: Message) -> Result<(), Ended> {
        self.sender.send(message).await.map_err(|_| Ended)
    }

    /// Runs a part of the coordinator beside the driver. Where it panics the campaign ends with what it said;
    /// where the task is dropped or aborted the part ends too.
    pub fn supervise(&self, part: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let messages = self.clone();
        tokio::spawn(async move {
            let mut parts = JoinSet::new();
            parts.spawn(part);
            if let Some(Err(error)) = parts.join_next().await {
                // A driver that has ended needs no parts.
                let _ = messages.send(Message::Failed(error.into())).await;
            }
        })
    }

    /// From outside the runtime, or where nothing may wait.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        // Full means that the driver is busy; it must still hear of it.
        if let Err(mpsc::error::TrySendError::Full(message)) =
            self.sender.try_send(Message::Interrupt)
        {
            let sender = self.sender.clone();
            std::thread::spawn(move || {
                // A driver that has ended is interrupted enough.
                let _ = sender.blocking_send(message);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_told_and_one_that_ends_is_not() {
        let (sender, mut inbox) = mpsc::channel(4);
        let messages = Messages::new(sender);
        messages.supervise(async {}).await.expect("no panic");
        assert!(inbox.try_recv().is_err());
        messages.supervise(async { panic!("on purpose") });
        let Some(Message::Failed(failure)) = inbox.recv().await else {
            panic!("the driver hears nothing");
        };
        let message = failure.to_string();
        assert!(message.contains("on purpose"), "{message}");
    }
}
