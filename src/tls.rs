//! TLS for listeners and clients.
