//! Where answers to peers and news to watchers go.

use super::messages::{Message, Messages, Outbox, StreamId};
use sidereal_inference::account::Progress;
use sidereal_inference::base::{AttemptId, PeerId};
use sidereal_inference::records::BatchLease;
use sidereal_proto::message::{ToTrainer, ToWorker};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tonic::Status;

/// Streams that are open. An outbox that is full belongs to somebody who does not read: it is closed.
#[derive(Debug)]
pub struct Outboxes {
    messages: Messages,
    worker_by_peer: BTreeMap<PeerId, WorkerStream>,
    trainer_by_peer: BTreeMap<PeerId, (StreamId, Outbox<ToTrainer>)>,
    watchers: Vec<Outbox<Progress>>,
}

/// Makes a lease; takes time that the loop does not have.
pub type MakeLease = Box<dyn FnOnce() -> BatchLease + Send>;

/// A worker's open stream.
#[derive(Debug)]
struct WorkerStream {
    id: StreamId,
    outbox: Outbox<ToWorker>,
    /// Leases are made and sent one after the other, and arrive in the order in which they are granted.
    leases: mpsc::UnboundedSender<MakeLease>,
}

impl WorkerStream {
    fn new(id: StreamId, outbox: &Outbox<ToWorker>, messages: &Messages) -> Self {
        let (leases, mut to_make) = mpsc::unbounded_channel::<MakeLease>();
        let sending = outbox.clone();
        let driver = messages.clone();
        messages.supervise(async move {
            while let Some(make) = to_make.recv().await {
                let lease = match tokio::task::spawn_blocking(make).await {
                    Ok(lease) => lease,
                    Err(error) => {
                        // It would not be made at the next try either. A driver that has ended makes none.
                        let _ = driver.send(Message::Failed(error.into())).await;
                        break;
                    }
                };
                if sending.send(Ok(ToWorker::Lease(lease))).await.is_err() {
                    break;
                }
            }
        });
        Self {
            id,
            outbox: outbox.clone(),
            leases,
        }
    }
}

impl Outboxes {
    /// `messages` is where the driver hears of leases that cannot be made.
    pub fn new(messages: Messages) -> Self {
        Self {
            messages,
            worker_by_peer: BTreeMap::new(),
            trainer_by_peer: BTreeMap::new(),
            watchers: Vec::new(),
        }
    }

    /// Whether this stream is the peer's; the first one is.
    pub fn attach_worker(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        outbox: &Outbox<ToWorker>,
    ) -> bool {
        self.worker_by_peer
            .entry(peer)
            .or_insert_with(|| WorkerStream::new(stream, outbox, &self.messages))
            .id
            == stream
    }

    pub fn attach_trainer(
        &mut self,
        peer: PeerId,
        stream: StreamId,
        outbox: &Outbox<ToTrainer>,
    ) -> bool {
        self.trainer_by_peer
            .entry(peer)
            .or_insert_with(|| (stream, outbox.clone()))
            .0
            == stream
    }

    /// Whether this stream is the peer's.
    pub fn is_attached(&self, peer: PeerId, stream: StreamId) -> bool {
        let worker = self.worker_by_peer.get(&peer).map(|stream| stream.id);
        let trainer = self.trainer_by_peer.get(&peer).map(|(stream, _)| *stream);
        worker == Some(stream) || trainer == Some(stream)
    }

    pub fn has_stream(&self, peer: PeerId) -> bool {
        self.worker_by_peer.contains_key(&peer) || self.trainer_by_peer.contains_key(&peer)
    }

    /// Sends a lease after those before it; false where the worker is gone.
    pub fn send_lease(&self, peer: PeerId, make: MakeLease) -> bool {
        let stream = self.worker_by_peer.get(&peer);
        stream.is_some_and(|stream| stream.leases.send(make).is_ok())
    }

    pub fn trainer(&self, peer: PeerId) -> Option<&Outbox<ToTrainer>> {
        self.trainer_by_peer.get(&peer).map(|(_, outbox)| outbox)
    }

    /// Tells a worker that a lease is not needed any more.
    pub fn cancel(&self, peer: PeerId, attempt: AttemptId) {
        if let Some(WorkerStream { outbox, .. }) = self.worker_by_peer.get(&peer) {
            // It would only have saved work.
            let _ = outbox.try_send(Ok(ToWorker::Cancel(attempt)));
        }
    }

    pub fn remove(&mut self, peer: PeerId) {
        self.worker_by_peer.remove(&peer);
        self.trainer_by_peer.remove(&peer);
    }

    /// Closes a peer's stream with an error.
    pub fn close(&mut self, peer: PeerId, status: &Status) {
        // Who cannot take the status loses the stream all the same.
        if let Some(WorkerStream { outbox, .. }) = self.worker_by_peer.remove(&peer) {
            let _ = outbox.try_send(Err(status.clone()));
        }
        if let Some((_, outbox)) = self.trainer_by_peer.remove(&peer) {
            let _ = outbox.try_send(Err(status.clone()));
        }
    }

    /// A watcher gets what it has missed first.
    pub fn watch(&mut self, outbox: Outbox<Progress>, missed: Vec<Progress>) {
        if missed
            .into_iter()
            .all(|progress| outbox.try_send(Ok(progress)).is_ok())
        {
            self.watchers.push(outbox);
        }
    }

    pub fn announce(&mut self, progress: &Progress) {
        self.watchers
            .retain(|outbox| outbox.try_send(Ok(progress.clone())).is_ok());
    }

    /// Tells everybody that nothing more will come.
    pub fn done(&mut self) {
        for stream in std::mem::take(&mut self.worker_by_peer).into_values() {
            let _ = stream.outbox.try_send(Ok(ToWorker::Done));
        }
        for (_, outbox) in std::mem::take(&mut self.trainer_by_peer).into_values() {
            let _ = outbox.try_send(Ok(ToTrainer::Done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_that_cannot_be_made_ends_the_campaign_with_what_the_panic_said() {
        let (sender, mut inbox) = mpsc::channel(4);
        let mut outboxes = Outboxes::new(Messages::new(sender));
        let (outbox, _answers) = mpsc::channel(4);
        assert!(outboxes.attach_worker(PeerId(0), StreamId(0), &outbox));
        let make = || panic!("no such draw");
        assert!(outboxes.send_lease(PeerId(0), Box::new(make)));
        let Some(Message::Failed(failure)) = inbox.recv().await else {
            panic!("the driver hears nothing");
        };
        let message = failure.to_string();
        assert!(message.contains("no such draw"), "{message}");
    }
}
