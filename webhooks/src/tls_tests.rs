//! The sender against a receiver behind TLS whose certificate an authority of the tests' own has signed.

use std::sync::Arc;

use domain::{Clock, SystemClock};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use store::{WebhookFormat, WebhookTarget};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Answer, Networks, Sender, Settings, new_secret};

const AUTHORITY: &[u8] = include_bytes!("../tests/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../tests/tls/server.pem");
/// Of that certificate, which nobody but these tests trusts.
const KEY: &[u8] = include_bytes!("../tests/tls/server.key");

/// Answers each connection to an address of this machine with 204; the port.
async fn receiver(at: &str) -> u16 {
    let listener = TcpListener::bind((at, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a configuration");
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

async fn told(roots: Vec<CertificateDer<'static>>, host: &str) -> Answer {
    let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("one")]);
    let sender = Sender::trusting(roots, Settings { networks, ..Settings::default() }).expect("a sender");
    let target = WebhookTarget {
        webhook_id: 1,
        url: format!("https://{host}:{}/secret", receiver(if host == "localhost" { "127.0.0.1" } else { host }).await),
        format: WebhookFormat::Standard,
        secrets: vec![new_secret()],
    };
    sender.test(&target, "chat", SystemClock.now()).await
}

fn authority() -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_slice(AUTHORITY).expect("a certificate").into_owned()]
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_is_trusted_is_taken() {
    for host in ["127.0.0.1", "localhost"] {
        let answer = told(authority(), host).await;
        assert_eq!((answer.status, answer.error), (Some(204), None), "{host}");
    }
}

#[tokio::test]
async fn any_other_certificate_is_refused_in_words() {
    let unknown = told(Vec::new(), "127.0.0.1").await;
    assert_eq!(unknown.error.as_deref(), Some("TLS: invalid peer certificate: UnknownIssuer"));
    let of_another = told(authority(), "127.0.0.2").await.error.expect("refused");
    assert!(of_another.starts_with("TLS: invalid peer certificate: certificate not valid for name"), "{of_another}");
    assert!(!of_another.contains("secret"), "{of_another}");
}

#[tokio::test]
async fn the_systems_certificates_do_not_vouch_for_it() {
    let networks = Networks::new(vec!["127.0.0.0/8".parse().expect("a network")]);
    let sender = Sender::new(Settings { networks, ..Settings::default() }).expect("a sender");
    let target = WebhookTarget {
        webhook_id: 1,
        url: format!("https://127.0.0.1:{}/", receiver("127.0.0.1").await),
        format: WebhookFormat::Slack,
        secrets: vec![new_secret()],
    };
    let answer = sender.test(&target, "chat", SystemClock.now()).await;
    assert!(answer.error.is_some_and(|said| said.starts_with("TLS: ")));
}
