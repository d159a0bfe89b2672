//! An S3 server over HTTP on loopback (`s3s-fs`), whose objects are files in a temporary directory.

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

const BUCKET: &str = "campaigns";
const KEY_ID: &str = "tester";
const SECRET: &str = "a secret for tests";

/// The server; it ends when this is dropped.
pub struct Server {
    pub endpoint: String,
    pub bucket: String,
    root: tempfile::TempDir,
    _runtime: Runtime,
}

impl Server {
    pub fn start() -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("bucket");
        let files = s3s_fs::FileSystem::new(root.path()).expect("file system");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let runtime = Runtime::new().expect("runtime");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .expect("listens");
        let address = listener.local_addr().expect("address");
        // s3s-fs looks whether an object is there and then writes it: two conditional writes at once could both
        // succeed, which a real store's cannot.
        let writing = Arc::new(Mutex::new(()));
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Without this each small answer may wait 40 ms for an acknowledgement.
                let _ = socket.set_nodelay(true);
                let (service, writing) = (service.clone(), Arc::clone(&writing));
                let serve = service_fn(move |request: Request<Incoming>| {
                    let (service, writing) = (service.clone(), Arc::clone(&writing));
                    async move {
                        let _writing = match *request.method() {
                            Method::PUT => Some(writing.lock().await),
                            _ => None,
                        };
                        service.call(request.map(s3s::Body::from)).await
                    }
                });
                tokio::spawn(async move {
                    // A client that goes away takes its connection with it.
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), serve)
                        .await;
                });
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            bucket: BUCKET.to_owned(),
            root,
            _runtime: runtime,
        }
    }

    /// The standard variables that clients need.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    /// `s3://bucket/prefix`
    pub fn location(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }

    /// Where the objects under a prefix lie as files.
    pub fn path(&self, prefix: &str) -> PathBuf {
        Path::new(self.root.path()).join(BUCKET).join(prefix)
    }
}
