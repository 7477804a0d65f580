//! `nigari token …`: tokens of people and programs (`user`), and those that agents join with (`join`).
//!
//! Rule: a token's text is shown once, alone on stdout, or written to a file that only its owner can read. That file's
//! place is made sure of before the token is made, and a token whose text nobody gets is revoked.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::error::CommandError;
use super::private_file::Place;
use super::screen::time_or;
use super::session::Session;
use crate::client::ClientError;
use crate::protocol::api::{CreatedToken, NewJoinToken, NewToken, Token};
use crate::protocol::id::TokenId;
use crate::settings::duration::Span;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a token; its text is shown this once
    Create(CreateArguments),
    /// List tokens, without their texts
    List {
        /// Which tokens
        #[arg(long, value_enum, default_value_t)]
        kind: Kind,
    },
    /// Revoke a token: it ceases to work at once
    Revoke {
        /// Its id
        id: TokenId,
        /// Which kind it is
        #[arg(long, value_enum, default_value_t)]
        kind: Kind,
    },
}

/// Kinds of tokens that people make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Kind {
    /// For a person or program that uses the API
    #[default]
    User,
    /// For agents that join a pool
    Join,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// Its name, for people
    name: String,
    /// What it is for
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// How long it works [default: 90d for users, 1h for joining]
    #[arg(long, value_name = "TIME")]
    expires_in: Option<Span>,
    /// Join tokens: pool that agents join [default: default]
    #[arg(long)]
    pool: Option<String>,
    /// Join tokens: how many agents may join [default: 1]
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// Write the text to this new file (mode 0600) instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    let Session { client, screen, .. } = session;
    match verb {
        Verb::Create(arguments) => {
            let (kind, out) = (arguments.kind, arguments.out.clone());
            let place = out.as_deref().map(Place::find).transpose()?;
            let created = create(arguments, session).await?;
            tell(&created, session);
            let handed_over = match place {
                Some(place) => place.fill(&created.text),
                None if screen.json => screen.json(&created),
                None => screen.secret(&created.text),
            };
            if let Err(error) = handed_over {
                take_back(&created.token, kind, session).await;
                return Err(error);
            }
            let Some(out) = out else { return Ok(()) };
            screen.note(format_args!("its text is in {}", out.display()));
            if screen.json { screen.json(&created.token) } else { Ok(()) }
        }
        Verb::List { kind } => {
            let tokens = match kind {
                Kind::User => client.tokens().await?,
                Kind::Join => client.join_tokens().await?,
            };
            screen.list(&tokens, &["ID", "NAME", "ROLE", "EXPIRES", "LAST USED", "STATUS"], row)
        }
        Verb::Revoke { id, kind } => {
            revoke(id, kind, session).await?;
            screen.note(format_args!("{id} is revoked"));
            Ok(())
        }
    }
}

async fn create(arguments: CreateArguments, session: &Session) -> Result<CreatedToken, CommandError> {
    let CreateArguments { name, kind, expires_in, pool, uses, .. } = arguments;
    let expires_in_seconds = expires_in.map(|span| span.0.as_secs());
    if kind == Kind::User && (pool.is_some() || uses.is_some()) {
        return Err(CommandError::usage("`--pool` and `--uses` are for join tokens", "add `--kind join`"));
    }
    Ok(match kind {
        Kind::User => {
            let new = NewToken { name, expires_in_seconds, role: "admin".to_owned() };
            session.client.create_token(&new).await?
        }
        Kind::Join => {
            let new = NewJoinToken { name, pool, expires_in_seconds, uses };
            session.client.create_join_token(&new).await?
        }
    })
}

fn tell(created: &CreatedToken, session: &Session) {
    let expiry = time_or(created.token.expires_at, "never");
    session.screen.note(format_args!("{} `{}`, expires: {expiry}", created.token.id, created.token.name));
}

async fn revoke(id: TokenId, kind: Kind, session: &Session) -> Result<(), ClientError> {
    match kind {
        Kind::User => session.client.revoke_token(id).await,
        Kind::Join => session.client.revoke_join_token(id).await,
    }
}

/// A token whose text could not be kept: nobody has it, so nobody shall be able to use it.
async fn take_back(token: &Token, kind: Kind, session: &Session) {
    let id = token.id;
    if revoke(id, kind, session).await.is_ok() {
        session.screen.note(format_args!("{id} is revoked again, because its text cannot be written"));
    } else {
        let kind = if kind == Kind::Join { ", with `--kind join`" } else { "" };
        session.screen.note(format_args!("{id} stays valid until `nigari token revoke` ends it{kind}"));
    }
}

fn row(token: &Token) -> Vec<String> {
    let status = match (token.revoked, token.uses_left) {
        (true, _) => "revoked".to_owned(),
        (false, Some(uses)) => format!("{uses} uses left"),
        (false, None) => "valid".to_owned(),
    };
    vec![
        token.id.to_string(),
        token.name.clone(),
        token.role.clone(),
        time_or(token.expires_at, "never"),
        time_or(token.last_used_at, "never"),
        status,
    ]
}
