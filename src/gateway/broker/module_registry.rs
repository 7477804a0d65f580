//! The operator's own token for a private registry of modules (`credentials "host"` of tofu's CLI configuration).
//!
//! Rule: the token goes to the host that its block names, and there only where the registry itself leads: to the
//! discovery document, to the services that this document places on the same host, and to the downloads on the same
//! host that these services name (tofu itself would ask for those without it). So nobody reads the rest of that host with
//! it by way of a module source.

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::body::Passage;
use crate::registry::Authorization;
use crate::registry::upstream::check_origin;

/// Where services are found (OpenTofu's remote service discovery).
const DISCOVERY: &str = "/.well-known/terraform.json";
/// The services of a registry.
const SERVICES: [&str; 2] = ["modules.v1", "providers.v1"];
/// Bytes of a discovery document, and of an answer that says where a module is.
const DOCUMENT_BYTES: usize = 64 * 1024;
/// Where a module is, if no document says it.
const GET: &str = "x-terraform-get";
/// Paths that are remembered.
const MOST: usize = 500;

/// A token and where it goes.
pub(super) struct ModuleRegistry {
    token: Authorization,
    host: String,
    paths: Mutex<Vec<String>>,
}

/// A document that is too large, or breaks off.
#[derive(Debug)]
pub(super) struct Unreadable;

impl ModuleRegistry {
    /// For a host, with the services (host and URL) that the operator places by hand.
    pub(super) fn new(host: &str, token: Authorization, services: &[(String, String)]) -> Self {
        let registry = Self { token, host: host.to_owned(), paths: Mutex::new(vec![DISCOVERY.to_owned()]) };
        let own = services.iter().filter(|(known, _)| known == host);
        own.filter_map(|(_, url)| Url::parse(url).ok()).for_each(|url| registry.add_service(&url));
        registry
    }

    /// The token, for a path to which tofu itself would take it.
    pub(super) fn token_for(&self, path: &str) -> Option<Authorization> {
        if is_ambiguous(path) {
            return None;
        }
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().any(|known| is_within(path, known)).then(|| self.token.clone())
    }

    /// Looks at the headers of a service's answer for a download that the token may go to.
    pub(super) fn learn_from_headers(&self, url: &Url, status: StatusCode, headers: &HeaderMap) {
        if status.is_success()
            && !self.is_document(url, status)
            && self.token_for(url.path()).is_some()
            && let Some(download) = headers.get(GET).and_then(|value| value.to_str().ok())
        {
            self.add_download(url, download);
        }
    }

    /// Looks at a document for where else the token may go, and gives its text, because it is read for that.
    pub(super) async fn learn_from_body(
        &self,
        url: &Url,
        status: StatusCode,
        headers: &HeaderMap,
        passage: &mut Passage,
    ) -> Result<Option<Bytes>, Unreadable> {
        if !self.is_document(url, status) {
            return Ok(None);
        }
        let mut text = Vec::new();
        while let Some(piece) = passage.next().await.map_err(|_| Unreadable)? {
            text.extend_from_slice(&piece);
            if text.len() > DOCUMENT_BYTES {
                return Err(Unreadable);
            }
        }
        if url.path() == DISCOVERY {
            self.add_services(url, &text);
        } else {
            self.add_location(url, &text, headers);
        }
        Ok(Some(text.into()))
    }

    /// Whether it is the discovery document, or says in its body where a module is: tofu asks for that at a fixed place
    /// below the service, and for nothing else there.
    fn is_document(&self, url: &Url, status: StatusCode) -> bool {
        if url.path() == DISCOVERY {
            return status.is_success();
        }
        let is_location = |rest: &str| {
            let words: Vec<&str> = rest.split('/').collect();
            matches!(words.as_slice(), [_namespace, _name, _system, _version, "download"])
        };
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let mut services = paths.iter().filter(|known| known.ends_with('/'));
        status == StatusCode::OK
            && !is_ambiguous(url.path())
            && services.any(|base| url.path().strip_prefix(base.as_str()).is_some_and(is_location))
    }

    fn add_services(&self, url: &Url, text: &[u8]) {
        let document: Value = serde_json::from_slice(text).unwrap_or_default();
        for service in SERVICES {
            if let Some(base) = document.get(service).and_then(Value::as_str).and_then(|base| url.join(base).ok()) {
                self.add_service(&base);
            }
        }
    }

    /// A service at the root would be the whole host. Where the last slash is missing tofu adds it.
    fn add_service(&self, base: &Url) {
        let mut base = base.clone();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        self.add(&base, base.path() != "/");
    }

    /// With `use_registry_credentials` the location is an address at the registry, otherwise it is what the header would
    /// have said.
    fn add_location(&self, url: &Url, text: &[u8], headers: &HeaderMap) {
        let document: Value = serde_json::from_slice(text).unwrap_or_default();
        let location = document.get("location").and_then(Value::as_str).filter(|location| !location.is_empty());
        match document.get("use_registry_credentials") {
            Some(Value::Bool(true)) => {
                if let Some(file) = location.and_then(|location| url.join(location).ok()) {
                    self.add_file(&file);
                }
            }
            None | Some(Value::Null) => {
                let header = headers.get(GET).and_then(|value| value.to_str().ok());
                if let Some(download) = location.or(header) {
                    self.add_download(url, download);
                }
            }
            // The registry does not want it there.
            Some(_) => {}
        }
    }

    /// What go-getter gets may be relative, and may name a directory in the archive behind `//`.
    fn add_download(&self, url: &Url, text: &str) {
        let Ok(mut download) = url.join(text) else { return };
        let archive = download.path().split_once("//").map(|(archive, _)| archive.to_owned());
        if let Some(archive) = archive {
            download.set_path(&archive);
        }
        self.add_file(&download);
    }

    /// A download is one file: a directory would be everything below it.
    fn add_file(&self, url: &Url) {
        self.add(url, !url.path().ends_with('/'));
    }

    fn add(&self, url: &Url, is_sound: bool) {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !paths.iter().any(|known| known == url.path());
        if is_sound && is_new && check_origin(url, &self.host) && paths.len() < MOST {
            paths.push(url.path().to_owned());
        }
    }
}

/// Whether somebody on the way could read it as another path: what is encoded or cut off there decides no border here.
fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    path.contains([';', '\\'])
        || path.contains("//")
        || ["%2f", "%5c", "%2e", "%25", "%3b"].iter().any(|code| lower.contains(code))
}

/// Below a directory, or the very path.
fn is_within(path: &str, known: &str) -> bool {
    if known.ends_with('/') { path.starts_with(known) } else { path == known }
}

#[cfg(test)]
mod tests {
    use super::ModuleRegistry;
    use crate::registry::Authorization;

    fn registry() -> ModuleRegistry {
        ModuleRegistry::new("gitlab.example", Authorization::bearer(&"t".into()).unwrap(), &[])
    }

    #[test]
    fn the_token_goes_to_the_services_that_discovery_names_and_no_further() {
        let registry = registry();
        let goes = |path: &str| registry.token_for(path).is_some();
        assert!(goes("/.well-known/terraform.json") && !goes("/api/v4/packages/terraform/modules/v1/a/b/c/versions"));
        let url = "https://gitlab.example/.well-known/terraform.json".parse().unwrap();
        registry.add_services(&url, br#"{"modules.v1":"/api/v4/packages/terraform/modules/v1/","login.v1":{}}"#);
        assert!(goes("/api/v4/packages/terraform/modules/v1/a/b/c/versions"));
        for path in ["/", "/api/v4/user", "/api/v4/packages/terraform/modules/v1", "/.well-known/terraform.json/x"] {
            assert!(!goes(path), "{path}");
        }
        for trick in
            ["..;/..;/user", "..%2f..%2Fuser", "..%5cuser", "%2e%2e/user", "a//user", "..%252fuser", "..\\user"]
        {
            assert!(!goes(&format!("/api/v4/packages/terraform/modules/v1/{trick}")), "{trick}");
        }
    }

    #[test]
    fn a_download_is_one_file_and_never_a_directory() {
        let registry = registry();
        let module = "https://gitlab.example/m/a/b/c/1.0.0/download".parse().unwrap();
        for value in
            ["https://gitlab.example/?archive=zip", "https://gitlab.example//sub?archive=zip", "/api/?archive=zip"]
        {
            registry.add_download(&module, value);
        }
        assert!(registry.token_for("/api/v4/user").is_none() && registry.token_for("/").is_none());
        registry.add_download(&module, "/archives/x.zip//sub");
        assert!(registry.token_for("/archives/x.zip").is_some());
    }

    #[test]
    fn a_service_without_its_last_slash_is_what_is_below_it() {
        let registry = registry();
        let url = "https://gitlab.example/.well-known/terraform.json".parse().unwrap();
        registry.add_services(&url, br#"{"modules.v1":"/api/modules/v1"}"#);
        let goes = |path: &str| registry.token_for(path).is_some();
        assert!(goes("/api/modules/v1/a/b/c/versions"));
        assert!(!goes("/api/modules/v1") && !goes("/api/modules/v10/a/b/c/versions") && !goes("/api/user"));
    }

    #[test]
    fn services_that_the_operator_places_by_hand_count_on_their_own_host_alone() {
        let services = [
            ("gitlab.example".to_owned(), "https://gitlab.example/own/".to_owned()),
            ("other.example".to_owned(), "https://gitlab.example/others/".to_owned()),
            ("gitlab.example".to_owned(), "https://other.example/away/".to_owned()),
        ];
        let registry = ModuleRegistry::new("gitlab.example", Authorization::bearer(&"t".into()).unwrap(), &services);
        let goes = |path: &str| registry.token_for(path).is_some();
        assert!(goes("/own/a/b/c/versions") && !goes("/others/a") && !goes("/away/a"));
    }

    #[test]
    fn services_and_downloads_elsewhere_get_none() {
        let registry = registry();
        let url = "https://gitlab.example/.well-known/terraform.json".parse().unwrap();
        for document in [
            r#"{"modules.v1":"https://evil.example/m/"}"#,
            r#"{"modules.v1":"http://gitlab.example/m/"}"#,
            r#"{"modules.v1":"https://gitlab.example:444/m/"}"#,
            r#"{"modules.v1":"https://u:p@gitlab.example/m/"}"#,
            r#"{"modules.v1":"/"}"#,
            r#"{"modules.v1":""}"#,
            r#"{"modules.v1":"https://gitlab.example"}"#,
            r#"{"modules.v1":["/m/"]}"#,
            "<html>",
        ] {
            registry.add_services(&url, document.as_bytes());
        }
        assert!(registry.token_for("/m/x").is_none());
        let module = "https://gitlab.example/m/a/b/c/1.0.0/download".parse().unwrap();
        for (text, path, goes) in [
            ("https://evil.example/archive/1", "/archive/1", false),
            ("/archive/2?archive=tar.gz", "/archive/2", true),
            ("./3.zip//*?archive=zip", "/m/a/b/c/1.0.0/3.zip", true),
        ] {
            registry.add_download(&module, text);
            assert_eq!(registry.token_for(path).is_some(), goes, "{text}");
        }
    }
}
