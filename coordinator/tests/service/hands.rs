//! A worker and a trainer that a test leads by the hand, message by message.

use super::peers::{Reach, registration};
use sidereal_inference::records::{BatchLease, TrainerTask};
use sidereal_proto::client::{Client, ClientError, Incoming};
use sidereal_proto::message::{
    FromTrainer, FromWorker, PeerKind, Registration, Session, ToTrainer, ToWorker,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// A worker with an open stream.
pub struct WorkerHand {
    pub client: Client,
    pub session: Session,
    pub sender: mpsc::Sender<FromWorker>,
    pub messages: Incoming<ToWorker>,
}

impl WorkerHand {
    pub async fn open(reach: &Reach) -> Self {
        Self::open_as(reach, &registration(PeerKind::Worker)).await
    }

    pub async fn open_as(reach: &Reach, registration: &Registration) -> Self {
        let mut client = Client::connect(&reach.access, None)
            .await
            .expect("connects");
        let session = client.register(registration).await.expect("registered");
        let (sender, outgoing) = mpsc::channel(64);
        let messages = client
            .work(session.peer, ReceiverStream::new(outgoing))
            .await
            .expect("opens");
        Self {
            client,
            session,
            sender,
            messages,
        }
    }

    pub async fn send(&self, message: FromWorker) {
        self.sender.send(message).await.expect("the stream is open");
    }

    /// Asks for one lease and waits for it.
    pub async fn lease(&mut self) -> BatchLease {
        self.send(FromWorker::Credits(1)).await;
        loop {
            match within(self.messages.next())
                .await
                .expect("open")
                .expect("no refusal")
            {
                ToWorker::Lease(lease) => return lease,
                ToWorker::Cancel(_) => {}
                ToWorker::Done => panic!("the campaign is over"),
            }
        }
    }

    /// Waits for the refusal that closes the stream.
    pub async fn refusal(&mut self) -> Status {
        loop {
            match within(self.messages.next()).await.expect("a reason") {
                Ok(ToWorker::Lease(_) | ToWorker::Cancel(_)) => {}
                Ok(ToWorker::Done) => panic!("the campaign is over"),
                Err(error) => return status(error),
            }
        }
    }
}

/// A trainer with an open stream.
pub struct TrainerHand {
    pub session: Session,
    pub sender: mpsc::Sender<FromTrainer>,
    pub messages: Incoming<ToTrainer>,
}

impl TrainerHand {
    pub async fn open(reach: &Reach) -> Self {
        let mut client = Client::connect(&reach.access, None)
            .await
            .expect("connects");
        let session = client
            .register(&registration(PeerKind::Trainer))
            .await
            .expect("registered");
        let (sender, outgoing) = mpsc::channel(64);
        let messages = client
            .train(session.peer, ReceiverStream::new(outgoing))
            .await
            .expect("opens");
        Self {
            session,
            sender,
            messages,
        }
    }

    pub async fn send(&self, message: FromTrainer) {
        self.sender.send(message).await.expect("the stream is open");
    }

    /// Says that it is free and waits for a task; None where the campaign is over.
    pub async fn task(&mut self) -> Option<TrainerTask> {
        self.send(FromTrainer::Ready).await;
        match within(self.messages.next())
            .await
            .expect("open")
            .expect("no refusal")
        {
            ToTrainer::Task(task) => Some(*task),
            ToTrainer::Done => None,
        }
    }

    /// Waits for the refusal that closes the stream.
    pub async fn refusal(&mut self) -> Status {
        match within(self.messages.next()).await.expect("a reason") {
            Ok(message) => panic!("{message:?} instead of a refusal"),
            Err(error) => status(error),
        }
    }
}

impl TrainerHand {
    /// Says goodbye and waits until everything that was said has been heard.
    pub async fn leave(mut self) {
        self.send(FromTrainer::Drain).await;
        while within(self.messages.next()).await.is_some() {}
    }
}

/// What a coordinator answered instead.
pub fn status(error: ClientError) -> Status {
    match error {
        ClientError::Refused(status) => *status,
        ClientError::Address { .. }
        | ClientError::Plaintext { .. }
        | ClientError::Token(_)
        | ClientError::Connect { .. }
        | ClientError::Wire(_) => panic!("no answer: {error}"),
    }
}

pub fn code(error: ClientError) -> Code {
    status(error).code()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("an answer within 20 s")
}
