//! Who does not belong here: wrong tokens, campaigns, versions and certificates, and what is no gRPC at all.

use super::hands::{WorkerHand, code, status};
use super::peers::registration;
use super::runs::{Trial, soon, stop};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sidereal_inference::base::CampaignHash;
use sidereal_inference::records::{BatchReport, ShardFile, StoredFile};
use sidereal_proto::access::{Access, Secrets};
use sidereal_proto::auth::AddToken;
use sidereal_proto::client::{Client, ClientError, ClientIdentity};
use sidereal_proto::message::{FromWorker, PeerKind, Registration};
use sidereal_proto::v1::coordinator_client::CoordinatorClient;
use sidereal_proto::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION, v1};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::codegen::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_with_a_reason_and_counted() {
    let trial = Trial::start().await;
    let stranger = Access {
        token: "wrong".to_owned(),
        ..trial.running.access.clone()
    };
    let mut client = Client::connect(&stranger, None).await.expect("connects");
    let error = client
        .register(&registration(PeerKind::Worker))
        .await
        .expect_err("refused");
    let refusal = status(error);
    assert_eq!(refusal.code(), Code::Unauthenticated);
    assert!(!refusal.message().contains(&trial.running.access.token));
    let error = client.status().await.expect_err("refused");
    assert_eq!(code(error), Code::Unauthenticated);
    let error = client.identify().await.expect_err("refused");
    assert_eq!(code(error), Code::Unauthenticated);
    let Err(error) = client.watch().await else {
        panic!("watched without the token");
    };
    assert_eq!(code(error), Code::Unauthenticated);
    assert_eq!(trial.n_refused().await, 4);

    let other_campaign = Registration {
        campaign: Some(CampaignHash("0".repeat(64))),
        ..registration(PeerKind::Worker)
    };
    let mut client = trial.client().await;
    let error = client.register(&other_campaign).await.expect_err("refused");
    let refusal = status(error);
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("linear"), "{refusal}");
    assert_eq!(trial.n_refused().await, 5);

    let other_models = Registration {
        models: Vec::new(),
        ..registration(PeerKind::Worker)
    };
    let refusal = status(client.register(&other_models).await.expect_err("refused"));
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(
        refusal.message(),
        "test has the built-in models only, the model of \"linear\" is linear-gaussian (built in, version 1)"
    );
    assert_eq!(trial.n_refused().await, 6);

    let mut raw = raw_client(&trial.running.access).await;
    for (protocol_version, kind) in [
        (PROTOCOL_VERSION - 1, 1),
        (PROTOCOL_VERSION + 1, 1),
        (0, 1),
        (PROTOCOL_VERSION, 0),
        (PROTOCOL_VERSION, 77),
    ] {
        let refusal = raw
            .register(v1::RegisterRequest {
                protocol_version,
                kind,
                name: "old".to_owned(),
                n_threads: 1,
                campaign: None,
                remaining_s: None,
                models: Vec::new(),
            })
            .await
            .expect_err("refused");
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    }
    assert_eq!(trial.n_refused().await, 11);
    assert_eq!(
        trial
            .metric("sidereal_refused_total{reason=\"Token\"}")
            .await,
        Some(4.0)
    );
    assert_eq!(
        trial
            .metric("sidereal_refused_total{reason=\"Campaign\"}")
            .await,
        Some(1.0)
    );
    assert_eq!(
        trial
            .metric("sidereal_refused_total{reason=\"Version\"}")
            .await,
        Some(5.0)
    );

    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let unlikely = Registration {
            remaining_s: Some(bad),
            ..registration(PeerKind::Worker)
        };
        let error = client.register(&unlikely).await.expect_err("refused");
        assert_eq!(code(error), Code::InvalidArgument);
    }
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_far_too_long_is_refused_for_good() {
    let trial = Trial::start().await;
    let mut client = trial.client().await;
    let long_name = Registration {
        name: "n".repeat(10_000),
        ..registration(PeerKind::Worker)
    };
    let refusal = status(client.register(&long_name).await.expect_err("refused"));
    assert!(refusal.message().contains("10000 bytes"), "{refusal}");
    // A worker takes it for a coordinator that is busy if it says anything else.
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(trial.n_refused().await, 1);
    trial.ends_calmly().await;
}

/// Whatever is echoed has to fit into an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_far_too_long_is_not_echoed() {
    let trial = Trial::start().await;
    let mut client = trial.client().await;
    let long = Registration {
        name: "n".repeat(1_000_000),
        campaign: Some(CampaignHash("c".repeat(1_000_000))),
        ..registration(PeerKind::Worker)
    };
    let refusal = status(client.register(&long).await.expect_err("refused"));
    assert!(
        matches!(
            refusal.code(),
            Code::FailedPrecondition | Code::InvalidArgument
        ),
        "{refusal}"
    );
    assert!(
        refusal.message().len() < 10_000,
        "{} bytes",
        refusal.message().len()
    );
    let mut hand = WorkerHand::open(&trial.reach()).await;
    let lease = hand.lease().await;
    let error = hand
        .client
        .upload(
            hand.session.peer,
            lease.attempt,
            &"p".repeat(1_000_000),
            b"x",
        )
        .await
        .expect_err("refused");
    let refusal = status(error);
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    drop(hand);
    for is_path_long in [true, false] {
        let mut hand = WorkerHand::open(&trial.reach()).await;
        let lease = hand.lease().await;
        trial
            .directory
            .write(&lease.shard_path, "x")
            .expect("write");
        let path = if is_path_long {
            "p".repeat(1_000_000)
        } else {
            lease.shard_path
        };
        let shard = ShardFile {
            round: lease.draws.round,
            first_row: lease.draws.first_row,
            n_rows: lease.draws.n_rows() as u64,
            n_failed: 0,
            file: StoredFile {
                path,
                sha256: "s".repeat(1_000_000),
                n_bytes: 1,
            },
        };
        hand.send(FromWorker::Report(BatchReport {
            attempt: lease.attempt,
            shard,
            seconds: 0.1,
        }))
        .await;
        let refusal = hand.refusal().await;
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    }
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_or_says_nothing_ends_its_stream_with_a_reason() {
    let trial = Trial::start().await;
    let mut raw = raw_client(&trial.running.access).await;
    let large = v1::worker_message::Message::Failure(v1::BatchFailure {
        attempt: 1,
        message: "m".repeat(MAX_MESSAGE_BYTES + 1),
        cause: 1,
    });
    for bad in [None, Some(large)] {
        let session = trial
            .client()
            .await
            .register(&registration(PeerKind::Worker))
            .await
            .expect("registered");
        let message = |message| v1::WorkerMessage {
            peer_id: session.peer.0,
            message,
        };
        let heartbeat = v1::worker_message::Message::Heartbeat(v1::Heartbeat { paused: None });
        let messages = tokio_stream::iter([message(Some(heartbeat)), message(bad)])
            .chain(tokio_stream::pending());
        let mut answers = raw.work(messages).await.expect("opens").into_inner();
        let refusal = soon(answers.message())
            .await
            .expect_err("a stream that ends without a reason");
        assert!(
            matches!(refusal.code(), Code::InvalidArgument | Code::OutOfRange),
            "{refusal}"
        );
    }
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_speaks_for_two_peers_is_closed() {
    let trial = Trial::start().await;
    let mut client = trial.client().await;
    let first = client
        .register(&registration(PeerKind::Worker))
        .await
        .expect("registered");
    let second = client
        .register(&registration(PeerKind::Worker))
        .await
        .expect("registered");
    let heartbeat = |peer_id| v1::WorkerMessage {
        peer_id,
        message: Some(v1::worker_message::Message::Heartbeat(v1::Heartbeat {
            paused: None,
        })),
    };
    let messages = tokio_stream::iter([heartbeat(first.peer.0), heartbeat(second.peer.0)])
        .chain(tokio_stream::pending());
    let mut raw = raw_client(&trial.running.access).await;
    let mut answers = raw.work(messages).await.expect("opens").into_inner();
    let refusal = soon(answers.message()).await.expect_err("refused");
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    trial.ends_calmly().await;
}

/// Streams of one peer, one connection, and many connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_leave_room_for_others() {
    let trial = Trial::start().await;
    let mut client = trial.client().await;
    let session = client
        .register(&registration(PeerKind::Worker))
        .await
        .expect("registered");
    let heartbeats = || tokio_stream::iter([FromWorker::Heartbeat]).chain(tokio_stream::pending());
    let _first = client
        .work(session.peer, heartbeats())
        .await
        .expect("opens");
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..40 {
        let (sender, messages) = mpsc::channel(1);
        sender.send(FromWorker::Heartbeat).await.expect("open");
        let mut next = client
            .work(session.peer, ReceiverStream::new(messages))
            .await
            .expect("opens");
        let error = soon(next.next())
            .await
            .expect("a reason")
            .expect_err("refused");
        assert_eq!(code(error), Code::AlreadyExists);
    }
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut client = trial.client().await;
        for _ in 0..20 {
            // Those beyond what a connection may have open wait.
            let watching = tokio::time::timeout(Duration::from_millis(20), client.watch()).await;
            if let Ok(watching) = watching {
                open.push(watching.expect("watches"));
            }
        }
    }
    assert!(
        (60..=64).contains(&open.len()),
        "{} calls are open",
        open.len()
    );
    trial.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_grpc_is_turned_away() {
    let trial = Trial::start().await;
    let address = socket(&trial.running.access);
    let hello_cut = {
        // A TLS record that announces 512 bytes of a client hello and has 40.
        let mut bytes = vec![
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
        ];
        bytes.extend([7; 34]);
        bytes
    };
    let noise: Vec<u8> = (0..20_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let garbage: [&[u8]; 5] = [
        b"hello\r\n",
        b"GET / HTTP/1.1\r\nhost: here\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &hello_cut,
        &noise,
    ];
    for bytes in garbage {
        let bytes = bytes.to_vec();
        let talking = tokio::task::spawn_blocking(move || talk(address, &bytes));
        let answer = talking.await.expect("no panic");
        // At most a TLS alert.
        assert!(answer.len() < 64, "{answer:?}");
    }
    // Opened, and nothing is said until the end.
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(address).expect("connects"))
        .collect();
    trial.ends_calmly().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_pinned_and_plain_text_gets_nowhere() {
    let trial = Trial::start().await;
    let access = &trial.running.access;
    let other = Secrets::generate().expect("secrets");
    let foreign = Access {
        certificate: Some(other.certificate),
        ..access.clone()
    };
    let error = Client::connect(&foreign, None).await.expect_err("pinned");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    let misnamed = Access {
        server_name: "another-name".to_owned(),
        ..access.clone()
    };
    let error = Client::connect(&misnamed, None).await.expect_err("pinned");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    let plain = Access {
        address: access.address.replace("https:", "http:"),
        certificate: None,
        ..access.clone()
    };
    let answer = match Client::connect(&plain, None).await {
        Ok(mut client) => soon(client.identify()).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(answer.is_err());
    trial.ends_calmly().await;

    let plain = Trial::start_with(|config| config.serve.is_plaintext = true).await;
    let access = plain.running.access.clone();
    assert!(access.address.starts_with("http:") && access.certificate.is_none());
    let encrypted = Access {
        address: access.address.replace("http:", "https:"),
        certificate: Some(Secrets::generate().expect("secrets").certificate),
        ..access
    };
    assert!(soon(Client::connect(&encrypted, None)).await.is_err());
    plain.ends_calmly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mutual_tls_only_clients_of_the_authority_are_served() {
    let authority = Authority::new();
    let trial =
        Trial::start_with(|config| config.serve.client_ca = Some(authority.certificate.clone()))
            .await;
    let access = &trial.running.access;
    let identity = authority.issue();
    let foreign = Authority::new().issue();
    for stranger in [None, Some(&foreign)] {
        // With TLS 1.3 the client hears of it only when it reads.
        let answer = match Client::connect(access, stranger).await {
            Ok(mut client) => soon(client.identify()).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(answer.is_err(), "a client without the right certificate");
    }
    let mut client = Client::connect(access, Some(&identity))
        .await
        .expect("connects");
    let found = client.identify().await.expect("is served");
    assert_eq!(found.campaign_name, "linear");
    // The token is needed all the same.
    let stranger = Access {
        token: "wrong".to_owned(),
        ..access.clone()
    };
    let mut client = Client::connect(&stranger, Some(&identity))
        .await
        .expect("connects");
    let error = client.identify().await.expect_err("refused");
    assert_eq!(code(error), Code::Unauthenticated);
    stop(trial.running).await;
}

/// Signs the certificates of clients.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self) -> ClientIdentity {
        let mut params = CertificateParams::new(vec!["worker".to_owned()]).expect("parameters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        ClientIdentity {
            certificate: certificate.pem(),
            private_key: key.serialize_pem(),
        }
    }
}

/// The generated client, without what ours checks.
pub async fn raw_client(
    access: &Access,
) -> CoordinatorClient<InterceptedService<Channel, AddToken>> {
    let certificate = access.certificate.as_ref().expect("TLS");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(certificate))
        .domain_name(&access.server_name);
    let channel = Endpoint::from_shared(access.address.clone())
        .expect("an address")
        .tls_config(tls)
        .expect("TLS")
        .connect()
        .await
        .expect("connects");
    CoordinatorClient::with_interceptor(channel, AddToken::new(&access.token).expect("a token"))
}

fn socket(access: &Access) -> SocketAddr {
    let address = access.address.rsplit('/').next().expect("host and port");
    address.parse().expect("a socket address")
}

/// Says this, and hears what is answered until the other side closes or says nothing for a while.
fn talk(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    // Closed before all was sent is an answer, too.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return answer,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
        }
    }
}
