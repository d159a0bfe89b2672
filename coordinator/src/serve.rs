//! The sockets of a coordinator: the service behind TLS, health and metrics beside it.

use crate::driver::messages::{Message, Messages};
use crate::error::StartError;
use crate::metrics::{self, Metrics};
use crate::service::Service;
use sidereal_proto::access::Secrets;
use sidereal_proto::v1::coordinator_server::CoordinatorServer;
use sidereal_proto::{FILE_DESCRIPTORS, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;

/// Calls that one connection may have open: a peer needs three.
const CALLS_PER_CONNECTION: u32 = 16;
/// Longest time for a TLS handshake: who connects and says nothing does not stay.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Largest header list of a call.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Where a coordinator listens and how it is protected.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Port 0: any free one.
    pub listen: SocketAddr,
    /// No TLS; the caller has seen to it that `listen` is loopback.
    pub is_plaintext: bool,
    /// PEM: mutual TLS, only clients whose certificate this authority has signed are served.
    pub client_ca: Option<String>,
    /// gRPC health service in plain text.
    pub health: Option<SocketAddr>,
    /// Prometheus endpoint, `/metrics` in plain HTTP.
    pub metrics: Option<SocketAddr>,
}

/// Everything that listens, until it is ended.
#[derive(Debug)]
pub struct Servers {
    tasks: Vec<JoinHandle<()>>,
    enders: Vec<oneshot::Sender<()>>,
}

/// Bound sockets, before anything is served on them.
pub struct Sockets {
    main: TcpListener,
    pub address: SocketAddr,
    health: Option<TcpListener>,
    metrics: Option<TcpListener>,
    pub metrics_address: Option<SocketAddr>,
}

impl Sockets {
    pub async fn bind(config: &ServeConfig) -> Result<Self, StartError> {
        let (main, address) = bind(config.listen).await?;
        let (health, _) = bind_some(config.health).await?;
        let (metrics, metrics_address) = bind_some(config.metrics).await?;
        Ok(Self {
            main,
            address,
            health,
            metrics,
            metrics_address,
        })
    }
}

impl Servers {
    /// Serves on all sockets.
    pub async fn start(
        config: &ServeConfig,
        secrets: &Secrets,
        sockets: Sockets,
        service: CoordinatorServer<Service>,
        messages: Messages,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let mut servers = Self {
            tasks: Vec::new(),
            enders: Vec::new(),
        };
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<CoordinatorServer<Service>>().await;
        reporter
            .set_service_status("", ServingStatus::Serving)
            .await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|error| StartError::Serve {
                message: error.to_string(),
            })?;
        let mut server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(CALLS_PER_CONNECTION)
            .http2_max_header_list_size(MAX_HEADER_BYTES);
        if !config.is_plaintext {
            let mut tls = ServerTlsConfig::new()
                .timeout(HANDSHAKE)
                .identity(Identity::from_pem(
                    &secrets.certificate,
                    &secrets.private_key,
                ));
            if let Some(client_ca) = &config.client_ca {
                tls = tls.client_ca_root(Certificate::from_pem(client_ca));
            }
            server = server.tls_config(tls).map_err(|error| StartError::Serve {
                message: format!("certificate or key cannot be used: {error:?}"),
            })?;
        }
        let incoming = TcpIncoming::from(sockets.main).with_nodelay(Some(true));
        let ended = servers.ended();
        let driver = messages.clone();
        let router = server
            .add_service(service)
            .add_service(health.clone())
            .add_service(reflection);
        servers.tasks.push(messages.supervise(async move {
            let served = router.serve_with_incoming_shutdown(incoming, ended).await;
            if let Err(error) = served {
                // A driver that has ended needs no service.
                let _ = driver.send(Message::ServiceEnded(error.to_string())).await;
            }
        }));
        if let Some(listener) = sockets.health {
            let ended = servers.ended();
            servers.tasks.push(messages.supervise(async move {
                let served = Server::builder()
                    .add_service(health)
                    .serve_with_incoming_shutdown(TcpIncoming::from(listener), ended)
                    .await;
                if let Err(error) = served {
                    tracing::warn!(%error, "the health service ended");
                }
            }));
        }
        if let Some(listener) = sockets.metrics {
            let serving = metrics::serve(listener, metrics, servers.ended());
            servers.tasks.push(messages.supervise(serving));
        }
        Ok(servers)
    }

    /// Lets open calls end, for at most `farewell`.
    pub async fn end(self, farewell: Duration) {
        drop(self.enders);
        for mut task in self.tasks {
            if tokio::time::timeout(farewell, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    fn ended(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (ender, ended) = oneshot::channel();
        self.enders.push(ender);
        async {
            // Dropped means the same.
            let _ = ended.await;
        }
    }
}

async fn bind_some(
    address: Option<SocketAddr>,
) -> Result<(Option<TcpListener>, Option<SocketAddr>), StartError> {
    Ok(match address {
        Some(address) => {
            let (listener, bound) = bind(address).await?;
            (Some(listener), Some(bound))
        }
        None => (None, None),
    })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
