//! OCI distribution client: small, and only what nigari needs: challenge, token, scope, manifest, connection test.
//!
//! Rule: a credential goes to the registry that it is for, and to the token service which that registry named before
//! it saw any credential, and nowhere else: no redirect is followed, no plain HTTP is spoken, and cloud metadata
//! addresses are never contacted.

mod authorization;
mod exceptions;
mod exchange;
mod pin;
mod proxy;
mod resolve;

// What a registry asks for: `WWW-Authenticate`.
pub mod challenge;
// Whether an address and its credential work.
pub mod connection_test;
// Manifests, and which of them are module packages.
pub mod manifest;
// Which token services may be shown a credential.
pub mod realm;
// What a token is asked for.
pub mod scope;
// Tokens of a token service.
pub mod token;
// One registry on behalf of somebody who has no credential: what the broker asks.
pub mod upstream;

pub use authorization::Authorization;
pub use connection_test::{NotARepository, TestTarget, check_repository, test_connection};
pub use exceptions::Exceptions;
pub use exchange::{Exchange, ExchangeError, Reply};
pub use proxy::OutwardProxy;
pub use realm::{is_local_name, is_loopback_host};
pub use resolve::{Unresolved, addresses, is_forbidden, is_forbidden_literal};
