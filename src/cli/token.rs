//! `nigari token …`: tokens of people and programs (`user`), and those that agents join with (`join`).
//!
//! Rule: a token's text is shown once, alone on stdout, or written to a file that only its owner can read.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::error::CommandError;
use super::private_file;
use super::screen::time_or;
use super::session::Session;
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
    /// Write the text to this file (mode 0600) instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    let Session { client, screen, .. } = session;
    match verb {
        Verb::Create(arguments) => {
            let out = arguments.out.clone();
            hand_over(&create(arguments, session).await?, out.as_deref(), session)
        }
        Verb::List { kind } => {
            let tokens = match kind {
                Kind::User => client.tokens().await?,
                Kind::Join => client.join_tokens().await?,
            };
            screen.list(&tokens, &["ID", "NAME", "ROLE", "EXPIRES", "LAST USED", "STATUS"], row)
        }
        Verb::Revoke { id, kind } => {
            match kind {
                Kind::User => client.revoke_token(id).await?,
                Kind::Join => client.revoke_join_token(id).await?,
            }
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

fn hand_over(created: &CreatedToken, out: Option<&Path>, session: &Session) -> Result<(), CommandError> {
    let screen = session.screen;
    let expiry = time_or(created.token.expires_at, "never");
    screen.note(format_args!("{} `{}`, expires: {expiry}", created.token.id, created.token.name));
    match out {
        Some(path) => {
            private_file::write_secret(path, &created.text)?;
            screen.note(format_args!("its text is in {}", path.display()));
            if screen.json { screen.json(&created.token) } else { Ok(()) }
        }
        None if screen.json => screen.json(created),
        None => screen.secret(&created.text),
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
