//! Whether a repository may be pulled, and whether there is a module in it.
//!
//! Rule: the credential has been sent by now, so nothing that comes back is repeated in a message.

use reqwest::{Method, StatusCode};

use super::Trial;
use super::finding::Finding;
use super::knock::{Entry, TokenService, entry};
use crate::registry::authorization::Authorization;
use crate::registry::challenge::{Challenge, challenges};
use crate::registry::exchange::Reply;
use crate::registry::manifest::{ask_manifest, manifest_kind};
use crate::registry::scope::{Reference, pull_scopes};

impl Trial<'_> {
    /// Asks for the manifest as OpenTofu does: bare, or with what is known to be wanted, then as challenged.
    /// `entered` says whether `/v2/` took the credential, or did not ask for it.
    pub(super) async fn pull(&self, door: &Entry, reference: &Reference, entered: bool) -> Result<Finding, Finding> {
        let mut shown = matches!(door, Entry::Basic).then(|| self.basic.clone());
        let mut reply = self.manifest(Method::HEAD, reference, shown.as_ref()).await?;
        if reply.status == StatusCode::UNAUTHORIZED && shown.is_none() {
            shown = Some(self.challenged(&reply, reference).await?);
            reply = self.manifest(Method::HEAD, reference, shown.as_ref()).await?;
        }
        match reply.status {
            StatusCode::OK => {}
            // User and secret themselves, and nobody has looked at them before.
            StatusCode::UNAUTHORIZED if matches!(door, Entry::Open) => return Err(Finding::denied(self.host, 401)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Finding::no_access(reference, reply.status));
            }
            StatusCode::NOT_FOUND => return Err(Finding::not_found(reference)),
            _ => return Err(Finding::unexpected_with_credential(self.host, &reply)),
        }
        let manifest = self.manifest(Method::GET, reference, shown.as_ref()).await?;
        if manifest.status != StatusCode::OK {
            return Err(Finding::unexpected_with_credential(self.host, &manifest));
        }
        let kind = manifest_kind(&manifest.body);
        let proven = shown.is_some() || entered && matches!(door, Entry::Bearer(_));
        Ok(Finding::pullable(reference, kind, proven).unless_old(entered))
    }

    async fn manifest(
        &self,
        method: Method,
        reference: &Reference,
        authorization: Option<&Authorization>,
    ) -> Result<Reply, Finding> {
        match ask_manifest(&self.exchange, method, self.host, reference, authorization).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(Finding::unreached(&format!("`{}`", self.host), &error, None)),
        }
    }

    /// What the manifest's challenge asks for.
    async fn challenged(&self, reply: &Reply, reference: &Reference) -> Result<Authorization, Finding> {
        let found = challenges(&reply.headers);
        let service = |challenge: &Challenge| {
            self.realm(challenge, false)
                .map(|realm| TokenService::new(realm, challenge, "the token service".to_owned()))
        };
        match entry(&found, service) {
            Some(Ok(Entry::Bearer(service))) => {
                self.token(&service, &pull_scopes(&reference.repository, service.scope.as_deref())).await
            }
            Some(Ok(_)) => Ok(self.basic.clone()),
            Some(Err(finding)) => Err(finding),
            None => Err(Finding::other_schemes(self.host, &[])),
        }
    }
}
