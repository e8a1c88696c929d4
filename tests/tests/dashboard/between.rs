//! What lies between a browser and the program: counts what goes through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A way to the program.
pub(crate) struct Between {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    sent: Arc<AtomicUsize>,
}

impl Between {
    /// Opens one to the program at `target`.
    pub(crate) async fn open(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((browser, _)) = listener.accept().await {
                tokio::spawn(carry(browser, target, Arc::clone(&counter)));
            }
        });
        Self { address, sent }
    }

    /// Bytes that the program has sent: heads, bodies and streams.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn carry(browser: TcpStream, target: SocketAddr, sent: Arc<AtomicUsize>) {
    let program = TcpStream::connect(target).await.expect("the program listens");
    let ((mut asks, mut hears), (mut answers, mut takes)) = (browser.into_split(), program.into_split());
    let asking = tokio::spawn(async move {
        // The end of either side is the end of both.
        let _ = tokio::io::copy(&mut asks, &mut takes).await;
        let _ = takes.shutdown().await;
    });
    let mut piece = vec![0; 64 * 1024];
    while let Ok(size) = answers.read(&mut piece).await {
        sent.fetch_add(size, Ordering::Relaxed);
        if size == 0 || hears.write_all(&piece[..size]).await.is_err() {
            break;
        }
    }
    asking.abort();
}
