//! Whether an earlier coordinator of a campaign still lives.

use crate::campaign::state::Run;
use crate::error::StartError;
use sidereal_proto::access::{Access, is_loopback};
use sidereal_proto::client::{Client, ClientIdentity};
use std::time::Duration;
use tokio::time::timeout;

/// How long an earlier coordinator has to answer.
const ASKING: Duration = Duration::from_secs(10);

/// What becomes of an earlier coordinator that cannot be asked from here whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It may live: nothing is done.
    Respect,
    /// The user says that it does not.
    TakeOver,
}

/// Who asks, and about which campaign.
pub(crate) struct Asking<'a> {
    /// The campaign directory.
    pub location: &'a str,
    /// This machine's name.
    pub host: &'a str,
    /// A coordinator that refuses it lives too.
    pub token: &'a str,
    /// The name in the certificate, where the record has none.
    pub server_name: &'a str,
    /// Shown where client certificates are asked for.
    pub identity: Option<&'a ClientIdentity>,
    pub earlier: Earlier,
}

/// Asks the newest coordinator that the journal names whether it still serves this campaign.
///
/// Only one that cannot be connected to is gone. What answers with the certificate of the record but refuses us
/// (another token, no client certificate of ours) lives.
pub(crate) async fn refuse_if_served(asking: &Asking<'_>, run: &Run) -> Result<(), StartError> {
    let run = &run.opened;
    let Some(address) = &run.address else {
        return Ok(());
    };
    let location = asking.location.to_owned();
    let is_elsewhere = run.host.as_ref().filter(|host| *host != asking.host);
    if let (Some(host), true) = (is_elsewhere, is_loopback(address)) {
        return match asking.earlier {
            Earlier::TakeOver => Ok(()),
            Earlier::Respect => Err(StartError::Elsewhere {
                location,
                host: host.clone(),
                here: asking.host.to_owned(),
            }),
        };
    }
    let earlier = Access {
        address: address.clone(),
        server_name: run
            .server_name
            .clone()
            .unwrap_or_else(|| asking.server_name.to_owned()),
        certificate: run.certificate.clone(),
        token: asking.token.to_owned(),
    };
    let silent = || {
        tracing::warn!(
            address,
            "the earlier coordinator does not answer and is taken to be gone"
        );
        Ok(())
    };
    let connecting = Client::connect(&earlier, asking.identity);
    let mut client = match timeout(ASKING, connecting).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            tracing::debug!(%error, address, "the earlier coordinator is gone");
            return Ok(());
        }
        Err(_) => return silent(),
    };
    match timeout(ASKING, client.identify()).await {
        Ok(Ok(found)) if found.run != run.run => Ok(()),
        Ok(Ok(_) | Err(_)) => Err(StartError::Served {
            location,
            run: run.run.clone(),
            address: address.clone(),
        }),
        // Connected and silent: stopped, or its machine is.
        Err(_) => silent(),
    }
}
