//! Hosts that are reached without the operator's proxy: `NO_PROXY`.
//!
//! Rule: read as Go reads it (`golang.org/x/net/http/httpproxy`), because a step that had the operator's proxy itself would
//! have read it so: `d` is the domain with all below it, `.d` and `*.d` all below it, each with `:port` if only that is
//! meant; addresses, networks, and `*` for everything.

use std::net::IpAddr;

use url::Host;

/// The port of plain HTTP.
const HTTP: &str = "80";

/// A list of them.
#[derive(Debug, Clone, Default)]
pub struct Exceptions {
    is_all: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    /// Address and length of the prefix; for every port.
    Network(IpAddr, u32),
    /// An address.
    Address(IpAddr, Port),
    /// What a name ends with, from a dot on, and whether what follows the dot is meant as well.
    Name { end: String, is_itself: bool, port: Port },
}

/// None is every port.
type Port = Option<String>;

impl From<&str> for Exceptions {
    /// Reads a list; what cannot be read excepts nothing.
    fn from(list: &str) -> Self {
        let words: Vec<_> = list.split(',').map(|word| word.trim().to_lowercase()).collect();
        let entries = words.iter().filter_map(|word| entry(word)).collect();
        Self { is_all: words.iter().any(|word| word == "*"), entries }
    }
}

impl Exceptions {
    /// Whether a host (a name, or an address without brackets) is reached without the proxy.
    pub fn has(&self, host: &str, port: u16) -> bool {
        let (host, port) = (host.to_lowercase(), port.to_string());
        let address = host.parse().ok().map(|address: IpAddr| address.to_canonical());
        let is_meant = |wanted: &Port| wanted.as_ref().is_none_or(|wanted| *wanted == port);
        self.is_all
            || self.entries.iter().any(|entry| match (entry, address) {
                (Entry::Network(network, length), Some(address)) => is_within(address, *network, *length),
                (Entry::Address(known, wanted), Some(address)) => *known == address && is_meant(wanted),
                (Entry::Name { end, is_itself, port }, None) => {
                    (host.ends_with(end) || (*is_itself && host == end[1..])) && is_meant(port)
                }
                _ => false,
            })
    }

    /// Whether every host is.
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// The same for plain HTTP on its own port alone, as far as such a list can say it: of networks it cannot.
    pub fn of_plain_http(&self) -> Vec<String> {
        let is_meant = |port: &Port| port.as_ref().is_none_or(|port| port == HTTP);
        let spell = |entry: &Entry| match entry {
            Entry::Address(IpAddr::V6(address), port) => is_meant(port).then(|| format!("[{address}]:{HTTP}")),
            Entry::Address(address, port) => is_meant(port).then(|| format!("{address}:{HTTP}")),
            Entry::Name { end, is_itself, port } => {
                let name = if *is_itself { &end[1..] } else { end };
                is_meant(port).then(|| format!("{name}:{HTTP}"))
            }
            Entry::Network(..) => None,
        };
        self.entries.iter().filter_map(spell).collect()
    }
}

fn entry(word: &str) -> Option<Entry> {
    if let Some((address, length)) = word.split_once('/')
        && let (Ok(address), Ok(length)) = (address.parse::<IpAddr>(), length.parse())
    {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return (length <= bits).then_some(Entry::Network(address, length));
    }
    let (host, port) = host_and_port(word);
    let port = port.filter(|port| !port.is_empty()).map(str::to_owned);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Entry::Address(address.to_canonical(), port));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    let name = host.strip_prefix('.').unwrap_or(host);
    if name.is_empty() || name == "*" {
        return None;
    }
    let is_itself = !host.starts_with('.');
    let name = if name.is_ascii() { name.to_owned() } else { Host::parse(name).ok()?.to_string() };
    Some(Entry::Name { end: format!(".{name}"), is_itself, port })
}

/// `host:port` and `[address]:port`; anything else has no port.
fn host_and_port(word: &str) -> (&str, Option<&str>) {
    let literal = word.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    match (literal, word.split_once(':')) {
        (Some((address, port)), _) => (address, Some(port)),
        (None, Some((host, port))) if !port.contains(':') => (host, Some(port)),
        _ => (word, None),
    }
}

fn is_within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    // A shift by all bits there are leaves nothing to tell apart.
    let same = |one: u128, other: u128, bits: u32| one.checked_shr(bits - length) == other.checked_shr(bits - length);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => same(address.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(address), IpAddr::V6(network)) => same(address.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Exceptions;

    /// Each of these is what `golang.org/x/net` v0.60.0 answers.
    #[test]
    fn a_list_means_what_it_means_to_go() {
        for (list, within, without) in [
            ("", &[][..], &["a.example:443"][..]),
            ("*", &["a.example:443", "10.0.0.1:1"], &[]),
            ("a, * ,b", &["c.example:443"], &[]),
            ("corp.example", &["corp.example:443", "a.b.corp.example:1", "CORP.example:443"], &["xcorp.example:443"]),
            (
                ".corp.example",
                &["a.corp.example:443", "a.b.corp.example:80"],
                &["corp.example:443", "acorp.example:443"],
            ),
            ("*.corp.example", &["a.corp.example:443", "a.b.corp.example:80"], &["corp.example:443"]),
            ("corp.example:8443", &["corp.example:8443", "a.corp.example:8443"], &["corp.example:443"]),
            ("*.corp.example:8443", &["a.corp.example:8443"], &["a.corp.example:443", "corp.example:8443"]),
            (" A.example ,b.example,", &["a.example:443", "b.example:443"], &["c.example:443"]),
            ("corp.example:", &["corp.example:443"], &[]),
            (":443", &[], &["a.example:443"]),
            ("10.0.0.0/8", &["10.255.0.1:443", "10.0.0.0:1"], &["11.0.0.1:443", "a.example:443"]),
            ("10.1.2.3/32,0.0.0.0/33", &["10.1.2.3:443"], &["10.1.2.4:443"]),
            ("0.0.0.0/0", &["192.0.2.1:443"], &["[2001:db8::1]:443"]),
            ("10.1.2.3", &["10.1.2.3:443", "10.1.2.3:80"], &["10.1.2.30:443", "a.10.1.2.3:443"]),
            ("10.1.2.3:8443", &["10.1.2.3:8443"], &["10.1.2.3:443"]),
            ("2001:db8::/32", &["[2001:db8:1::1]:443"], &["[2001:db9::1]:443"]),
            ("2001:db8::1,[2001:db8::2]:8443", &["[2001:db8::1]:443", "[2001:db8::2]:8443"], &["[2001:db8::2]:443"]),
            ("::/0", &["[2001:db8::1]:443"], &["192.0.2.1:443"]),
            ("b\u{fc}cher.example", &["xn--bcher-kva.example:443"], &["bucher.example:443"]),
            ("*corp.example,c*.example", &[], &["acorp.example:443", "corp.example:443"]),
            ("https://corp.example", &[], &["corp.example:443"]),
            (".,*.,*:443", &[], &["a.example:443"]),
        ] {
            let exceptions = Exceptions::from(list);
            for (hosts, expected) in [(within, true), (without, false)] {
                for target in hosts {
                    let (host, port) = target.rsplit_once(':').unwrap();
                    let has = exceptions.has(host.trim_matches(['[', ']']), port.parse().unwrap());
                    assert_eq!(has, expected, "`{list}`: {target}");
                }
            }
        }
    }

    #[test]
    fn for_plain_http_each_is_narrowed_to_its_port() {
        let list = "corp.example,*.d.example,e.example:80,f.example:8080,10.0.0.0/8,10.1.2.3,2001:db8::1";
        let plain = Exceptions::from(list).of_plain_http();
        let expected = ["corp.example:80", ".d.example:80", "e.example:80", "10.1.2.3:80", "[2001:db8::1]:80"];
        assert_eq!(plain, expected);
        let again = Exceptions::from(plain.join(",").as_str());
        assert!(again.has("corp.example", 80) && again.has("2001:db8::1", 80) && !again.has("corp.example", 443));
        assert!(Exceptions::from("*").is_all() && Exceptions::from("*").of_plain_http().is_empty());
    }
}
