//! Which registry integration would serve a source.
//!
//! Rule: as a run gets them: every exported one that is in use is delivered, and of these the narrowest path that
//! covers the repository wins, whatever is stored besides. By a file only those are delivered that permit it; the
//! credential helper chooses by host alone, with the very code that runs have.

use crate::delivery;
use crate::delivery::helper::{Meant, meant};
use crate::protocol::api::RegistryIntegration;
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::registry_address::{DOCKER_HUB, RegistryAddress};
use crate::tofu::modules::OciSource;

/// Who would serve a source.
#[derive(Debug)]
pub(super) enum Serving<'a> {
    /// This one.
    By(&'a RegistryIntegration),
    /// This one would, but runs do not get its credential.
    Withheld(&'a RegistryIntegration),
    /// The credential helper cannot tell which of these is meant, so that the run fails.
    Several(Vec<&'a RegistryIntegration>),
    /// None covers it. What comes near is told.
    None(Vec<Near<'a>>),
}

/// An integration that nearly covers a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Near<'a> {
    /// The same name with another port.
    Port(&'a RegistryAddress),
    /// The same registry, but another path of it.
    Path(&'a RegistryAddress),
    /// Nearly the same name: a slip of the finger.
    Name(&'a RegistryAddress),
    /// Docker Hub, by a name that is none of its registry.
    Hub(&'a RegistryAddress),
}

/// The one name that OpenTofu takes for another: it asks [`DOCKER_HUB`] instead, if it is written exactly so.
const HUB_NAME: &str = "docker.io";
/// Names under which people know Docker Hub, and to which no run has a credential.
const HUB_PAGES: [&str; 6] =
    [HUB_NAME, "hub.docker.com", "registry.hub.docker.com", "www.docker.io", "docker.com", "www.docker.com"];
/// Letters that may be wrong in a name that was meant otherwise.
const SLIPS: usize = 2;
/// Names shorter than this are too much alike.
const SHORTEST_NAME: usize = 6;

/// Finds it.
pub(super) fn of<'a>(source: &OciSource, integrations: &'a [RegistryIntegration], wish: DeliveryChoice) -> Serving<'a> {
    let asked = asked(&source.registry_host);
    // Letters are lowered for this: that OpenTofu does not do so is told with the source's own faults.
    let (host, name) = (normal(asked), asked.to_ascii_lowercase());
    if HUB_PAGES.contains(&name.strip_suffix(":443").unwrap_or(&name)) {
        let of_hub = integrations.iter().filter(|one| one.address.is_docker_hub());
        return Serving::None(of_hub.map(|one| Near::Hub(&one.address)).collect());
    }
    let covering = |one: &&RegistryIntegration| one.address.covers(&host, &source.repository);
    let narrowness = |one: &&RegistryIntegration| one.address.path().map_or(0, str::len);
    let is_permitted = |one: &RegistryIntegration| wish != DeliveryChoice::File || one.permit_file;
    let is_delivered = |one: &&RegistryIntegration| one.export_credentials && !one.disabled && is_permitted(one);
    if way(source, wish) == Some(DeliveryChoice::Helper) {
        let of_host = integrations.iter().filter(|one| one.address.host() == host && is_delivered(one));
        match meant(of_host.collect(), |one: &&RegistryIntegration| &one.address) {
            Some(Meant::One(one)) => return Serving::By(one),
            Some(Meant::Several(all)) => return Serving::Several(all),
            None => {}
        }
    }
    let all = || integrations.iter().filter(covering);
    if let Some(integration) = all().filter(is_delivered).max_by_key(narrowness) {
        return Serving::By(integration);
    }
    if let Some(integration) = all().max_by_key(narrowness) {
        return Serving::Withheld(integration);
    }
    let mut nearly: Vec<Near<'_>> = integrations.iter().filter_map(|one| near(&one.address, &host)).collect();
    // Where the name is right, nobody has misspelt it.
    if nearly.iter().any(|near| !matches!(near, Near::Name(_))) {
        nearly.retain(|near| !matches!(near, Near::Name(_)));
    }
    Serving::None(nearly)
}

/// The way that a credential for it takes with this wish; `None` where what is wished for cannot serve it.
pub(super) fn way(source: &OciSource, wish: DeliveryChoice) -> Option<DeliveryChoice> {
    delivery::of_host(asked(&source.registry_host), wish)
}

/// The host that OpenTofu asks for a source.
fn asked(host: &str) -> &str {
    if host == HUB_NAME { DOCKER_HUB } else { host }
}

/// The host as integrations have it.
fn normal(host: &str) -> String {
    host.parse::<RegistryAddress>().map_or_else(|_| host.to_owned(), |address| address.host().to_owned())
}

fn near<'a>(address: &'a RegistryAddress, host: &str) -> Option<Near<'a>> {
    if address.host() == host {
        return Some(Near::Path(address));
    }
    let (name, other) = (without_port(address.host()), without_port(host));
    if name == other {
        return Some(Near::Port(address));
    }
    let is_slip = other.len() >= SHORTEST_NAME && name.len() >= SHORTEST_NAME && slips(name, other) <= SLIPS;
    is_slip.then_some(Near::Name(address))
}

/// How many letters have to be put in, left out or changed to come from one to the other (Levenshtein).
fn slips(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (column, &theirs) in other.iter().enumerate() {
            let changed = corner + usize::from(letter != theirs);
            corner = row[column + 1];
            row[column + 1] = changed.min(corner + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Near, Serving, of};
    use crate::protocol::api::RegistryIntegration;
    use crate::protocol::delivery::DeliveryChoice;
    use crate::protocol::id::IntegrationId;
    use crate::tofu::modules::OciSource;

    /// Name, address, export, disabled.
    pub(in crate::cli::explain) fn integration(
        name: &str,
        address: &str,
        (export_credentials, disabled): (bool, bool),
    ) -> RegistryIntegration {
        RegistryIntegration {
            id: IntegrationId::generate(),
            name: name.to_owned(),
            address: address.parse().unwrap(),
            username: "u".to_owned(),
            export_credentials,
            permit_file: false,
            permit_whole_run: false,
            disabled,
            ca_pem: None,
            token_service: None,
            secret_version: 1,
            created_at: 0,
            updated_at: 0,
            secret_set_at: 0,
            last_test: None,
            notes: Vec::new(),
        }
    }

    fn served_by(source: &str, integrations: &[RegistryIntegration]) -> String {
        served_with(DeliveryChoice::Auto, source, integrations)
    }

    fn served_with(wish: DeliveryChoice, source: &str, integrations: &[RegistryIntegration]) -> String {
        match of(&OciSource::read(source), integrations, wish) {
            Serving::By(one) => one.name.clone(),
            Serving::Withheld(one) => format!("withheld {}", one.name),
            Serving::Several(all) => {
                format!("one of {}", all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Serving::None(near) => format!("none {near:?}"),
        }
    }

    #[test]
    fn the_narrowest_exported_one_serves() {
        let all = [
            integration("wide", "ghcr.io", (true, false)),
            integration("org", "ghcr.io/org", (true, false)),
            integration("off", "ghcr.io/org/net", (false, false)),
            integration("gone", "ghcr.io/org/net/deep", (true, true)),
            integration("hub", "docker.io/acme", (true, false)),
        ];
        assert_eq!(served_by("oci://ghcr.io/org/net/deep?tag=1", &all), "org");
        assert_eq!(served_by("oci://ghcr.io/organisation/net?tag=1", &all), "wide");
        assert_eq!(served_by("oci://ghcr.io:443/org/net?tag=1", &all), "org");
        assert_eq!(served_by("oci://registry-1.docker.io/acme/a?tag=1", &all), "hub");
        assert_eq!(served_by("oci://index.docker.io/acme/a?tag=1", &all), "hub");
        assert_eq!(served_by("oci://ghcr.io/org/net?tag=1", &all[2..]), "withheld off");
    }

    #[test]
    fn by_a_file_only_what_permits_it_is_served() {
        let mut all = [integration("wide", "ghcr.io", (true, false)), integration("org", "ghcr.io/org", (true, false))];
        let source = "oci://ghcr.io/org/net?tag=1";
        assert_eq!(served_with(DeliveryChoice::File, source, &all), "withheld org");
        all[0].permit_file = true;
        assert_eq!(served_with(DeliveryChoice::File, source, &all), "wide");
        assert_eq!(served_with(DeliveryChoice::Broker, source, &all), "org");
        assert_eq!(served_with(DeliveryChoice::Helper, source, &all), "wide");
    }

    #[test]
    fn the_helper_chooses_by_host_alone() {
        let all = [
            integration("wide", "w.example", (true, false)),
            integration("team", "w.example/team", (true, false)),
            integration("a", "s.example/a", (true, false)),
            integration("b", "s.example/b", (true, false)),
            integration("only", "o.example/team", (true, false)),
            integration("off", "o.example", (false, false)),
        ];
        let helped = |source: &str| served_with(DeliveryChoice::Helper, source, &all);
        assert_eq!(helped("oci://w.example/team/net?tag=1"), "wide");
        assert_eq!(helped("oci://s.example/a/net?tag=1"), "one of a, b");
        assert_eq!(helped("oci://s.example/c?tag=1"), "one of a, b");
        assert_eq!(helped("oci://o.example/other?tag=1"), "only");
        assert_eq!(helped("oci://o.example:5000/other?tag=1"), "none [Port(o.example/team), Port(o.example)]");
        // The broker has the path as well.
        assert_eq!(served_by("oci://w.example/team/net?tag=1", &all), "team");
        assert_eq!(served_by("oci://s.example/a/net?tag=1", &all), "a");
        // On loopback nobody but the helper can.
        let here = [
            integration("wide", "localhost:5000", (true, false)),
            integration("team", "localhost:5000/team", (true, false)),
        ];
        assert_eq!(served_by("oci://localhost:5000/team/net?tag=1", &here), "wide");
        assert_eq!(served_by("oci://localhost:5000/other?tag=1", &here[1..]), "team");
    }

    #[test]
    fn docker_io_is_hub_exactly_as_it_is_written() {
        let hub = [integration("hub", "docker.io/acme", (true, false))];
        assert_eq!(served_by("oci://docker.io/acme/a?tag=1", &hub), "hub");
        for host in ["DOCKER.io", "docker.io:443", "registry.hub.docker.com"] {
            let near = served_by(&format!("oci://{host}/acme/a?tag=1"), &hub);
            assert_eq!(near, "none [Hub(registry-1.docker.io/acme)]", "{host}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_and_hubs_other_names_are_known() {
        let all = [integration("g", "ghcr.io", (true, false)), integration("hub", "docker.io/acme", (true, false))];
        let near = |source: &str| match of(&OciSource::read(source), &all, DeliveryChoice::Auto) {
            Serving::None(near) => near,
            other => panic!("{source}: {other:?}"),
        };
        assert_eq!(near("oci://gchr.io/a?tag=1"), [Near::Name(&all[0].address)]);
        assert_eq!(near("oci://hub.docker.com/acme/a?tag=1"), [Near::Hub(&all[1].address)]);
        assert_eq!(near("oci://quay.io/a?tag=1"), []);
        for (one, other, expected) in [("a", "a", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(super::slips(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn what_comes_near_is_told() {
        let all =
            [integration("a", "r.example:5000/team", (true, false)), integration("b", "s.example", (true, false))];
        let (team, other) = (&all[0].address, &all[1].address);
        let near = |source: &str| match of(&OciSource::read(source), &all, DeliveryChoice::Auto) {
            Serving::None(near) => near,
            other => panic!("{source}: {other:?}"),
        };
        assert_eq!(near("oci://r.example/team/a?tag=1"), [Near::Port(team)]);
        assert_eq!(near("oci://r.example:5001/team/a?tag=1"), [Near::Port(team)]);
        assert_eq!(near("oci://r.example:5000/teams/a?tag=1"), [Near::Path(team)]);
        assert_eq!(near("oci://s.example:8443/a?tag=1"), [Near::Port(other)]);
        assert_eq!(near("oci://elsewhere.example/a?tag=1"), []);
        assert_eq!(near("oci://s.exmaple/a?tag=1"), [Near::Name(other)]);
    }
}
