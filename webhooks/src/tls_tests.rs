//! The sender against a receiver behind TLS whose certificate an authority of the tests' own has signed.

use std::sync::Arc;

use domain::{Clock, SystemClock};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use store::{WebhookFormat, WebhookTarget};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Answer, Networks, Sender, Settings, new_secret};

/// An authority of one test's own, and what it vouches for.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// How a receiver shows itself that is known by `localhost` and `127.0.0.1`.
    fn receiver(&self) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))
            .expect("a configuration")
    }
}

/// Answers each connection to an address of this machine with 204; the port.
async fn receiver(at: &str, tls: ServerConfig) -> u16 {
    let listener = TcpListener::bind((at, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever does not trust the certificate breaks off.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.expect("a request");
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("an answer");
                stream.shutdown().await.expect("an end");
            });
        }
    });
    port
}

/// What comes of a message to a receiver of the authority, sent by somebody who trusts these.
async fn told(authority: &Authority, trusted: &[&Authority], host: &str) -> Answer {
    let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network")]);
    let roots = trusted.iter().map(|authority| authority.certificate.clone()).collect();
    let sender = Sender::trusting(roots, Settings { networks, ..Settings::default() }).expect("a sender");
    sender.test(&target(authority, host).await, "chat", SystemClock.now()).await
}

async fn target(authority: &Authority, host: &str) -> WebhookTarget {
    let at = if host == "localhost" { "127.0.0.1" } else { host };
    WebhookTarget {
        webhook_id: 1,
        url: format!("https://{host}:{}/secret", receiver(at, authority.receiver()).await),
        format: WebhookFormat::Standard,
        secrets: vec![new_secret()],
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_trusted_is_taken() {
    let authority = Authority::new();
    for host in ["127.0.0.1", "localhost"] {
        let answer = told(&authority, &[&authority], host).await;
        assert_eq!((answer.status, answer.error), (Some(204), None), "{host}");
    }
}

#[tokio::test]
async fn any_other_certificate_is_refused_in_words() {
    let (authority, another) = (Authority::new(), Authority::new());
    for trusted in [&[][..], &[&another]] {
        let unknown = told(&authority, trusted, "127.0.0.1").await.error.expect("refused");
        assert!(unknown.starts_with("TLS: invalid peer certificate: "), "{unknown}");
    }
    let of_another = told(&authority, &[&authority], "127.0.0.2").await.error.expect("refused");
    assert!(of_another.starts_with("TLS: invalid peer certificate: certificate not valid for name"), "{of_another}");
    assert!(!of_another.contains("secret"), "{of_another}");
}

#[tokio::test]
async fn the_systems_certificates_do_not_vouch_for_it() {
    let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network")]);
    let sender = Sender::new(Settings { networks, ..Settings::default() }).expect("a sender");
    let answer = sender.test(&target(&Authority::new(), "127.0.0.1").await, "chat", SystemClock.now()).await;
    assert!(answer.error.is_some_and(|said| said.starts_with("TLS: ")));
}
