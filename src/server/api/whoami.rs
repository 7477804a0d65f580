//! Who is asking, as the server sees it.

use super::authentication::UserActor;
use super::extract::Json;
use super::routes::{Audience, Routes};
use crate::protocol::api::{TokenKind, Whoami};

/// `GET whoami`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User).get("/whoami", whoami)
}

async fn whoami(user: UserActor) -> Json<Whoami> {
    Json(Whoami {
        name: user.name,
        kind: TokenKind::User,
        token: user.token,
        role: user.role.word().to_owned(),
        expires_at: user.expires_at,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
