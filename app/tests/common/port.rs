//! Ports that a test knows beforehand.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

/// The first of two ports in a row that nobody listens on. What is started later, or again, has to get its port, so they lie
/// below those that the system gives to connections and to whoever asks for any.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 5_000).unwrap_or(0) * 2;
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(2, Ordering::Relaxed)) % 10_000;
        if [port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

/// An address where nobody listens, and that nobody else is given as long as the socket is kept.
pub(crate) fn closed() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}
