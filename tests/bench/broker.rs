//! What the broker costs: a whole fetch beside the delivery `file` and beside `get` by hand, a large blob beside a direct
//! download, and its end.

use std::path::Path;
use std::time::{Duration, Instant};

use nigari::clock::Clock;
use nigari::gateway::broker::{Broker, Plan};
use nigari::protocol::agent::RegistryCredential;
use nigari::protocol::id::IntegrationId;
use nigari::registry::upstream::Patience;
use reqwest::{Certificate, Client, Proxy};
use support::child::read_text;
use support::module::Package;
use support::registry::Registry;
use support::{Failure, Outcome, loops};

use crate::bare::Bare;
use crate::figures::{Series, print, title};
use crate::world::World;

/// Bytes of the blob.
const BLOB: usize = 200 * 1024 * 1024;
/// Pieces of it between two looks at the memory.
const PIECES: usize = 128;
const PASSWORD: &str = "a-password-for-figures";

/// A fetch, from the opening of its delivery, which each run pays, to what comes behind it.
pub(crate) fn fetches(programs: [&Path; 3], directory: &Path) -> Outcome<()> {
    let mut by_file = World::start_delivering(programs, &directory.join("file"), "file")?;
    let mut by_broker = World::start_delivering(programs, &directory.join("by-broker"), "broker")?;
    let [mut file, mut broker, mut ratio, mut bare, mut whole] = <[Series; 5]>::default();
    let [mut file_opening, mut broker_opening] = <[Series; 2]>::default();
    let [mut by_hand, mut file_to_hand, mut broker_to_hand] = <[Series; 3]>::default();
    let mut hand = Bare::prepare(&by_file, &directory.join("by-hand"))?;
    let count = loops::times(50);
    for round in 0..count + 3 {
        let before = if round % 4 < 2 { Some(hand.get()?) } else { None };
        // Whoever comes second finds the machine in another state, so that each is second as often.
        let (one, other) = if round % 2 == 0 {
            let one = by_file.run()?;
            (one, by_broker.run()?)
        } else {
            let other = by_broker.run()?;
            (by_file.run()?, other)
        };
        let alone = before.map_or_else(|| hand.get(), Ok)?;
        // The first rounds warm caches on all sides.
        if round >= 3 {
            by_hand.add(alone);
            file_to_hand.add(one.delivery / alone);
            broker_to_hand.add(other.delivery / alone);
            let [one_opening, other_opening] = [&one, &other].map(|run| run.delivery - run.fetch);
            file_opening.add(one_opening);
            broker_opening.add(other_opening);
            file.add(one.delivery);
            broker.add(other.delivery);
            ratio.add(other.delivery / one.delivery);
            bare.add(other.fetch / one.fetch);
            whole.add(other.whole / one.whole);
        }
    }
    title(&format!("{count} interleaved pairs: opening the delivery, `get`, wipe; with the broker ÷ with a file"));
    print("with the broker, ms", format_args!("{broker}"));
    print("with a file, ms", format_args!("{file}"));
    print("ratio", format_args!("{ratio}"));
    print("  of the part behind the start of `get`", format_args!("{bare}"));
    print("  of the whole runs", format_args!("{whole}"));
    print("`get` by hand, without nigari, ms", format_args!("{by_hand}"));
    print("  with the broker ÷ by hand", format_args!("{broker_to_hand}"));
    print("  with a file ÷ by hand", format_args!("{file_to_hand}"));
    print("opening the broker → `get`, ms", format_args!("{broker_opening}"));
    print("opening the files → `get`, ms", format_args!("{file_opening}"));
    Ok(())
}

/// A large blob.
pub(crate) fn blob(registry: &Path, directory: &Path) -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(throughput(registry, directory))
}

async fn throughput(registry: &Path, directory: &Path) -> Outcome<()> {
    nigari::tls::install_provider();
    let registry = Registry::start(registry, directory, "robot", PASSWORD)?.called("registry.localhost");
    let package = Package::new(&[("blob", &"x".repeat(BLOB))]);
    registry.push("team/blob", "1.0.0", &package)?;
    let digest = support::module::digest(&package.zip);
    let url = format!("https://{}/v2/team/blob/blobs/{digest}", registry.host());
    let ca = read_text(&registry.ca_file());
    let (broker, brokered) = open(&registry.host(), &ca).await?;
    let direct = client(&[&ca], None)?;
    let [mut alone, mut through, mut ratio, mut growth] = <[Series; 4]>::default();
    let [mut direct_cores, mut broker_cores] = <[Series; 2]>::default();
    for round in 0..=loops::times(10) {
        let one = download(&direct, &url, true).await?;
        let before = resident_kib();
        let other = download(&brokered, &url, false).await?;
        if round > 0 {
            alone.add(one.rate);
            through.add(other.rate);
            ratio.add(other.rate / one.rate);
            growth.add(f64::from(other.most_kib.saturating_sub(before)));
            direct_cores.add(one.cores);
            broker_cores.add(other.cores);
        }
    }
    broker.close().await;
    title("a blob of 200 MiB, client, broker and registry on this machine");
    print("direct, MB/s", format_args!("{alone}"));
    print("through the broker, MB/s", format_args!("{through}"));
    print("ratio", format_args!("{ratio}"));
    print("most memory during a download − before it, KiB", format_args!("{growth}"));
    print(&format!("cores at work of {}, direct", Cores::now().count), format_args!("{direct_cores}"));
    print(&format!("cores at work of {}, through the broker", Cores::now().count), format_args!("{broker_cores}"));
    closes(&registry.host(), &ca, &url).await
}

/// How long a broker that has served takes to end: then the credential is gone.
async fn closes(host: &str, ca: &str, url: &str) -> Outcome<()> {
    let mut closing = Series::default();
    let count = loops::times(200);
    for _ in 0..count {
        let (broker, brokered) = open(host, ca).await?;
        brokered.head(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let begun = Instant::now();
        broker.close().await;
        closing.add(begun.elapsed().as_secs_f64() * 1000.0);
    }
    title("end of the fetch step → the broker closed, the credential gone (milliseconds)");
    print("opened, one request served, closed", format_args!("{closing}"));
    Ok(())
}

/// A broker for the registry, and a client that goes through it.
async fn open(host: &str, ca: &str) -> Outcome<(Broker, Client)> {
    let credential = RegistryCredential {
        integration: IntegrationId::generate(),
        name: "figures".to_owned(),
        address: host.parse().map_err(|error| Failure::new(format!("{error}")))?,
        username: "robot".to_owned(),
        secret: PASSWORD.into(),
        ca_pem: Some(ca.to_owned()),
        token_service: None,
        whole_run: false,
    };
    let (credentials, patience) = (vec![credential], Patience::default());
    let plan = Plan { credentials, patience, ..Plan::default() };
    let broker = Broker::open(plan, &Clock::new()).await.map_err(failed)?;
    let client = client(&[broker.authority()], Some(broker.proxy().expose()))?;
    Ok((broker, client))
}

fn client(authorities: &[&str], proxy: Option<&str>) -> Outcome<Client> {
    let trusted = authorities.iter().map(|pem| Certificate::from_pem(pem.as_bytes()));
    let trusted: Vec<_> = trusted.collect::<Result<_, _>>().map_err(failed)?;
    let builder = Client::builder().no_proxy().tls_certs_only(trusted).timeout(Duration::from_mins(2));
    let builder = match proxy {
        Some(proxy) => builder.proxy(Proxy::https(proxy).map_err(failed)?),
        // Many resolvers do not know it.
        None => builder.resolve("registry.localhost", ([127, 0, 0, 1], 0).into()),
    };
    builder.build().map_err(failed)
}

/// One download.
struct Downloaded {
    /// Megabytes per second.
    rate: f64,
    /// The most memory that this process had, of what was seen.
    most_kib: u32,
    /// Cores of the machine that were at work, whoever's work it was.
    cores: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
async fn download(client: &Client, url: &str, with_login: bool) -> Outcome<Downloaded> {
    let (begun, before) = (Instant::now(), Cores::now());
    let request = client.get(url);
    let request = if with_login { request.basic_auth("robot", Some(PASSWORD)) } else { request };
    let mut response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let (mut bytes, mut pieces, mut most_kib) = (0_usize, 0_usize, 0);
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        bytes += piece.len();
        if pieces.is_multiple_of(PIECES) {
            most_kib = most_kib.max(resident_kib());
        }
        pieces += 1;
    }
    if bytes < BLOB {
        return Err(Failure::new(format!("{bytes} bytes came")));
    }
    let rate = bytes as f64 / 1_000_000.0 / begun.elapsed().as_secs_f64();
    Ok(Downloaded { rate, most_kib, cores: Cores::now().at_work_since(&before) })
}

/// What this process holds now.
fn resident_kib() -> u32 {
    let status = read_text(Path::new("/proc/self/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// What the machine's cores have done since it began (`proc_stat(5)`).
struct Cores {
    count: u32,
    idle: f64,
    all: f64,
}

impl Cores {
    fn now() -> Self {
        let stat = read_text(Path::new("/proc/stat"));
        let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        let count = u32::try_from(stat.lines().filter(is_core).count()).unwrap_or(u32::MAX);
        // User, nice, system, idle, waiting for disks, two kinds of interrupts, taken by the host; then what is in these.
        let sums = stat.lines().next().into_iter().flat_map(str::split_whitespace).skip(1).take(8);
        let sums: Vec<f64> = sums.filter_map(|sum| sum.parse().ok()).collect();
        Self { count, idle: sums.iter().skip(3).take(2).sum(), all: sums.iter().sum() }
    }

    fn at_work_since(&self, before: &Self) -> f64 {
        f64::from(self.count) * (1.0 - (self.idle - before.idle) / (self.all - before.all))
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}
