//! A router that remembers what it routes, so that tests can go through every route there is.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::ServerState;
use crate::protocol::api::TokenKind;

/// Who a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anybody: no token.
    Anybody,
    /// A user token.
    User,
    /// An agent's session token.
    Session,
    /// A join token or an agent's identity.
    Joining,
}

impl Audience {
    /// The kinds of tokens that are taken.
    pub const fn kinds(self) -> &'static [TokenKind] {
        match self {
            Self::Anybody => &[],
            Self::User => &[TokenKind::User],
            Self::Session => &[TokenKind::Session],
            Self::Joining => &[TokenKind::Join, TokenKind::Agent],
        }
    }
}

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with places in braces.
    pub path: String,
    /// Who it is for.
    pub audience: Audience,
}

/// Routes of one part of the API, all for the same audience.
#[derive(Debug)]
pub struct Routes {
    audience: Audience,
    list: Vec<Route>,
    router: Router<ServerState>,
}

impl Routes {
    /// No routes yet.
    pub fn new(audience: Audience) -> Self {
        Self { audience, list: Vec::new(), router: Router::new() }
    }

    /// Adds a `GET`.
    #[must_use]
    pub fn get<H: Handler<T, ServerState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add((Method::GET, MethodFilter::GET), path, handler)
    }

    /// Adds a `POST`.
    #[must_use]
    pub fn post<H: Handler<T, ServerState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add((Method::POST, MethodFilter::POST), path, handler)
    }

    /// Adds a `PUT`.
    #[must_use]
    pub fn put<H: Handler<T, ServerState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add((Method::PUT, MethodFilter::PUT), path, handler)
    }

    /// Adds a `PATCH`.
    #[must_use]
    pub fn patch<H: Handler<T, ServerState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add((Method::PATCH, MethodFilter::PATCH), path, handler)
    }

    /// Adds a `DELETE`.
    #[must_use]
    pub fn delete<H: Handler<T, ServerState>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add((Method::DELETE, MethodFilter::DELETE), path, handler)
    }

    /// Adds all of another part.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self.router = self.router.merge(other.router);
        self
    }

    /// The same below a prefix.
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: Self) -> Self {
        self.list
            .extend(inner.list.into_iter().map(|route| Route { path: format!("{prefix}{}", route.path), ..route }));
        self.router = self.router.nest(prefix, inner.router);
        self
    }

    /// What is routed.
    pub fn list(&self) -> &[Route] {
        &self.list
    }

    pub(super) fn into_router(self) -> Router<ServerState> {
        self.router
    }

    fn add<H, T>(mut self, (method, filter): (Method, MethodFilter), path: &str, handler: H) -> Self
    where
        H: Handler<T, ServerState>,
        T: 'static,
    {
        self.list.push(Route { method, path: path.to_owned(), audience: self.audience });
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}
