//! HTTP client of the server, for agents ([`AgentClient`]) and for commands ([`Client`]).
//!
//! Rule: no request leaves in plain except to this machine itself, no redirect is followed, a token is only ever an
//! `Authorization` header, and an answer counts only when it can be told to come from a nigari server.

mod address;
mod agent;
mod answer;
mod call;
mod connection;
mod download;
mod error;
mod people;
mod token;
mod upload;

// Trying again.
pub mod retry;

pub use address::{InvalidServer, ServerAddress};
pub use agent::{AgentClient, LeasedRun, StateAnswer};
pub use connection::{Client, ClientOptions};
pub use download::{Download, LogPart};
pub use error::{ClientError, ErrorKind};
pub use people::RunFilter;
pub use token::TokenSource;
pub use upload::Upload;
