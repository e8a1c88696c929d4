//! TLS of our own clients: who does its cryptography.

/// Makes *ring* the process's provider of cryptography, as it is for the database's connections. Called before a client
/// that may speak HTTPS is made; again changes nothing.
pub(crate) fn use_ring() {
    // An error says that one is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
}
