//! A small coordinator that hands out tasks.

#[path = "../../../proto/tests/fake/coordinator.rs"]
mod scripted;

use scripted::{Answers, Script, Scripted, State, lock};
use sidereal_inference::campaign::Campaign;
use sidereal_inference::records::TrainerTask;
use sidereal_proto::convert::trainer_message_from_wire;
use sidereal_proto::message::{FromTrainer, ToTrainer};
use sidereal_proto::v1;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

pub type FakeCoordinator = Scripted<Tasks>;

/// What the coordinator does when its tasks are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Done,
    Wait,
}

pub struct Tasks {
    then: Then,
    tasks: Mutex<VecDeque<TrainerTask>>,
}

impl FakeCoordinator {
    pub fn start(
        campaign: &Campaign,
        directory: &str,
        tasks: Vec<TrainerTask>,
        then: Then,
    ) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let tasks = Mutex::new(tasks.into());
        Self::serve(anywhere, campaign, directory, Tasks { then, tasks })
    }
}

#[tonic::async_trait]
impl Script for Tasks {
    /// Heartbeats are not noted down.
    type Heard = FromTrainer;

    async fn train(
        state: Arc<State<Self>>,
        mut incoming: Streaming<v1::TrainerMessage>,
    ) -> Result<Answers<v1::TaskMessage>, Status> {
        let (outgoing, messages) = mpsc::unbounded_channel();
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
                let next = lock(&state.script.tasks).pop_front();
                let answer = match (next, state.script.then) {
                    (Some(task), Then::Done | Then::Wait) => ToTrainer::Task(Box::new(task)),
                    (None, Then::Done) => ToTrainer::Done,
                    (None, Then::Wait) => continue,
                };
                // The trainer may have left.
                let _ = outgoing.send(Ok(answer.into()));
            }
        });
        Ok(Answers::new(messages))
    }
}
