//! `nigari server …`
//!
//! Rule: what systemd is told is true: READY only when the server listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::CommandError;
use super::exit::ExitStatus;
use super::{private_file, runtime};
use crate::lifecycle::{self, Shutdown};
use crate::server::{Server, ServerError};
use crate::settings::ServerSettings;
use crate::settings::server_layer::ServerLayer;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start the server; it runs until SIGTERM or SIGINT
    Start(Box<StartArguments>),
}

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// TOML file with settings; flags and environment win over it
    #[arg(long, env = "NIGARI_SERVER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    layer: ServerLayer,
}

/// Runs a verb.
pub(super) fn run(verb: Verb) -> Result<ExitStatus, CommandError> {
    let Verb::Start(arguments) = verb;
    let settings = ServerSettings::load(arguments.config.as_deref(), arguments.layer)?;
    runtime::for_service()?.run(async move {
        let shutdown = Shutdown::new();
        shutdown.on_signals().map_err(|source| CommandError::io("cannot listen for signals", source))?;
        let server = Listening::bind(settings).await?;
        lifecycle::ready(&format!("listening on {}", server.url));
        lifecycle::feed_watchdog();
        server.run(&shutdown).await?;
        Ok(ExitStatus::Ok)
    })
}

/// A server that listens, and where.
#[derive(Debug)]
pub(super) struct Listening {
    server: Server,
    /// How clients on this host reach it.
    pub(super) url: String,
}

impl Listening {
    /// Binds, and writes the file `address` into the state directory.
    pub(super) async fn bind(settings: ServerSettings) -> Result<Self, CommandError> {
        let scheme = if settings.tls_certificate.is_some() { "https" } else { "http" };
        let address_file = settings.state_directory.join("address");
        let server = Server::bind(settings).await.map_err(|error| failed(&error))?;
        let url = format!("{scheme}://{}", reachable(server.address()));
        private_file::write(&address_file, url.as_bytes())?;
        tracing::info!(url, "listening");
        Ok(Self { server, url })
    }

    /// Answers requests until the shutdown's first stage has ended in order, or its second comes.
    pub(super) async fn run(self, shutdown: &Shutdown) -> Result<(), CommandError> {
        tokio::select! {
            ended = self.server.run(shutdown.soft.clone()) => ended.map_err(|error| failed(&error)),
            () = shutdown.hard.cancelled() => Ok(()),
        }
    }
}

/// An address that can be connected to: loopback for one that means every interface.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

fn failed(error: &ServerError) -> CommandError {
    let status = match error {
        ServerError::Key(_)
        | ServerError::WrongKey(_)
        | ServerError::Plain(_)
        | ServerError::Tls(_)
        | ServerError::HalfTls
        | ServerError::DatabaseGone { .. }
        | ServerError::StateDirectory { .. }
        | ServerError::NotAlone(_) => ExitStatus::Settings,
        ServerError::Store(_) => ExitStatus::Unavailable,
        ServerError::Vault(_) | ServerError::FirstToken { .. } | ServerError::Listen { .. } => ExitStatus::Failed,
    };
    CommandError::service(error, status)
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn an_address_for_every_interface_is_reached_on_loopback() {
        let on = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(on("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(on("[::]:80"), "[::1]:80");
        assert_eq!(on("192.0.2.1:80"), "192.0.2.1:80");
    }
}
