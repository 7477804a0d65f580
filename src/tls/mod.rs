//! TLS for listeners and clients.
//!
//! Rule: one crypto provider for the whole process, TLS 1.2 and 1.3 only, and a private authority is always trusted
//! *in addition* to the host's roots, never instead of them. Nothing in here can switch verification off.

mod certificate;
mod failure;
mod host_roots;
mod listener;
mod presented;
mod roots;

pub use certificate::CertificateSummary;
pub use failure::ConnectFailure;
pub use listener::{ListenerError, server_config};
pub use presented::presented_certificate;
pub use roots::{InvalidCa, check_ca_pem, client_config, roots_with, summaries_of};

/// Makes aws-lc-rs the provider of every TLS connection of this process. Called first in `main`; more calls do nothing.
pub fn install_provider() {
    // The error only says that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
