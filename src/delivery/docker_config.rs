//! The Docker configuration file: `{"auths":{"host[:port][/path]":{"auth":"…"}}}`, or `credHelpers` by host.
//!
//! Rule: OpenTofu compares the keys with the module source byte for byte and reads only `auth`; the longest path wins
//! there, so every credential gets its own keys and none is merged. The text is a [`Secret`] from its first byte.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::DeliveryError;
use crate::protocol::agent::RegistryCredential;
use crate::protocol::registry_address::RegistryAddress;
use crate::secret::Secret;

/// Relative to the secret directory; `DOCKER_CONFIG` names its parent.
pub(super) const NAME: &str = "docker/config.json";

/// The variables that lead docker, crane, podman, skopeo and helm to the file; OpenTofu reads none of them.
pub(super) fn variables(directory: &Path) -> Vec<(String, Secret)> {
    // Secret directories have names of ours, so nothing is lost.
    let text = |path: &Path| Secret::new(path.display().to_string());
    let file = directory.join(NAME);
    vec![
        ("DOCKER_CONFIG".into(), text(file.parent().unwrap_or(directory))),
        ("REGISTRY_AUTH_FILE".into(), text(&file)),
        ("HELM_REGISTRY_CONFIG".into(), text(&file)),
    ]
}

/// The other name of Docker Hub that clients use.
const DOCKER_HUB_INDEX: &str = "index.docker.io";

/// The key under which `docker login` keeps Docker Hub.
const DOCKER_HUB_LOGIN: &str = "https://index.docker.io/v1/";

/// What comes after `docker-credential-` in the helper's name.
const HELPER: &str = "nigari";

/// The file's text for these credentials; none gives empty `auths`.
pub(super) fn text(credentials: &[RegistryCredential]) -> Result<Secret, DeliveryError> {
    // A string that grows leaves copies behind, so it is made large enough at once.
    let capacity = credentials.iter().map(entry_bytes).sum::<usize>() + 64;
    let mut text = String::with_capacity(capacity);
    text.push_str("{\"auths\":{");
    let mut is_first = true;
    for credential in credentials {
        let auth = auth(credential)?;
        for key in keys(&credential.address) {
            if !is_first {
                text.push(',');
            }
            is_first = false;
            // Keys and base64 have no character that JSON would have escaped: addresses are parsed.
            text.push('"');
            text.push_str(&key);
            text.push_str("\":{\"auth\":\"");
            text.push_str(&auth);
            text.push_str("\"}");
        }
    }
    text.push_str("}}\n");
    Ok(Secret::new(text))
}

/// The file's text when each of these hosts has a credential helper; no secret is in it. tofu asks the helper of a host
/// whatever the path is, and only if no `auths` entry matches (`credentials_configs.go`).
pub(super) fn with_helper<'a>(addresses: impl Iterator<Item = &'a RegistryAddress>) -> Secret {
    let named: BTreeMap<String, &str> =
        addresses.flat_map(|address| spellings(address, "")).map(|host| (host, HELPER)).collect();
    if named.is_empty() {
        return Secret::from("{\"auths\":{}}\n");
    }
    let text = serde_json::json!({ "auths": {}, "credHelpers": named });
    Secret::new(format!("{text}\n"))
}

/// Every spelling under which a client may look for the address.
fn keys(address: &RegistryAddress) -> Vec<String> {
    let path = address.path().map(|path| format!("/{path}")).unwrap_or_default();
    spellings(address, &path)
}

fn spellings(address: &RegistryAddress, path: &str) -> Vec<String> {
    let host = address.host();
    let mut keys = vec![format!("{host}{path}")];
    if !has_port(host) {
        keys.push(format!("{host}:443{path}"));
    }
    if address.is_docker_hub() {
        keys.push(format!("{DOCKER_HUB_INDEX}{path}"));
        if path.is_empty() {
            keys.push(DOCKER_HUB_LOGIN.to_owned());
        }
    }
    keys
}

fn has_port(host: &str) -> bool {
    // An IPv6 address has colons of its own, inside of brackets.
    host.rsplit_once(']').map_or(host, |(_, rest)| rest).contains(':')
}

fn auth(credential: &RegistryCredential) -> Result<Zeroizing<String>, DeliveryError> {
    let (user, secret) = (&credential.username, credential.secret.expose());
    if user.contains(':') {
        return Err(DeliveryError::ColonInUser { name: credential.name.clone() });
    }
    let mut pair = Zeroizing::new(String::with_capacity(user.len() + secret.len() + 1));
    pair.push_str(user);
    pair.push(':');
    pair.push_str(secret);
    let mut encoded = Zeroizing::new(String::with_capacity(pair.len().div_ceil(3) * 4));
    STANDARD.encode_string(pair.as_bytes(), &mut encoded);
    Ok(encoded)
}

fn entry_bytes(credential: &RegistryCredential) -> usize {
    let auth = (credential.username.len() + credential.secret.len() + 1).div_ceil(3) * 4;
    keys(&credential.address).iter().map(|key| key.len() + auth + 20).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::text;
    use crate::delivery::tests::credential;

    fn auths(credentials: &[crate::protocol::agent::RegistryCredential]) -> BTreeMap<String, String> {
        let value: Value = serde_json::from_str(text(credentials).unwrap().expose()).unwrap();
        let decode =
            |entry: &Value| String::from_utf8(STANDARD.decode(entry["auth"].as_str().unwrap()).unwrap()).unwrap();
        value["auths"].as_object().unwrap().iter().map(|(key, entry)| (key.clone(), decode(entry))).collect()
    }

    #[test]
    fn a_host_with_a_port_has_one_key() {
        let auths = auths(&[credential("registry.example.com:5000", "robot", "s3cret")]);
        assert_eq!(auths, BTreeMap::from([("registry.example.com:5000".into(), "robot:s3cret".into())]));
    }

    #[test]
    fn a_host_without_a_port_is_also_found_with_443() {
        let auths = auths(&[credential("ghcr.io/acme", "u", "p")]);
        assert_eq!(auths.keys().collect::<Vec<_>>(), ["ghcr.io/acme", "ghcr.io:443/acme"]);
        let v6 = super::keys(&"https://[::1]".parse().unwrap());
        assert_eq!(v6, ["[::1]", "[::1]:443"]);
    }

    #[test]
    fn docker_hub_has_its_three_keys() {
        let auths = auths(&[credential("docker.io", "u", "p")]);
        for key in ["registry-1.docker.io", "index.docker.io", "https://index.docker.io/v1/"] {
            assert_eq!(auths.get(key).map(String::as_str), Some("u:p"), "{key}");
        }
    }

    #[test]
    fn a_host_and_a_path_of_it_stand_side_by_side() {
        let auths = auths(&[credential("h:1", "wide", "a"), credential("h:1/team", "narrow", "b")]);
        assert_eq!((auths["h:1"].as_str(), auths["h:1/team"].as_str()), ("wide:a", "narrow:b"));
    }

    #[test]
    fn awkward_secrets_come_back_byte_for_byte() {
        for secret in ["a:b", "${x}", "\"q\"", "back\\slash", "pässwörd", "  spaces  ", "%41"] {
            assert_eq!(auths(&[credential("h:1", "u", secret)])["h:1"], format!("u:{secret}"));
        }
    }

    #[test]
    fn a_helper_is_named_for_each_spelling_of_each_host_and_for_no_path() {
        let addresses: Vec<crate::protocol::registry_address::RegistryAddress> =
            ["localhost:5000/a", "localhost:5000", "ghcr.io/acme", "docker.io"]
                .map(|text| text.parse().unwrap())
                .into();
        let value: Value = serde_json::from_str(super::with_helper(addresses.iter()).expose()).unwrap();
        let hosts: Vec<_> = value["credHelpers"].as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "ghcr.io",
            "ghcr.io:443",
            "https://index.docker.io/v1/",
            "index.docker.io",
            "localhost:5000",
            "registry-1.docker.io",
            "registry-1.docker.io:443",
        ];
        assert_eq!(hosts, expected);
        assert!(super::HELPER.len() + "docker-credential-".len() == crate::delivery::helper::PROGRAM.len());
        assert_eq!((&value["auths"], &value["credHelpers"]["ghcr.io"]), (&serde_json::json!({}), &"nigari".into()));
    }

    #[test]
    fn no_credential_still_is_a_file() {
        assert_eq!(text(&[]).unwrap().expose(), "{\"auths\":{}}\n");
    }

    #[test]
    fn a_colon_in_the_user_is_refused_by_the_integrations_name() {
        let message = text(&[credential("h:1", "a:b", "topsecret")]).unwrap_err().to_string();
        assert!(message.contains("test-integration") && !message.contains("topsecret"), "{message}");
    }
}
