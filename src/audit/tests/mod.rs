//! Lines, bounds, disks and readers that fail, and files that are put aside.

mod tied;

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::bound::Bound;
use super::event::Stranger;
use super::origin::{Origin, Request};
use super::sink::Sink;
use super::writer::Writer;
use super::{Audit, Event, Trail, line, trail};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{ClientId, UserId};
use crate::config::section::{self, AuditOutput};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn section(path: &Path) -> section::Audit {
    section::Audit { output: AuditOutput::File(path.to_owned()), max_size: 1 << 20, max_age: Duration::ZERO, keep: 3 }
}

fn open(section: &section::Audit, clock: &Clock) -> Audit {
    Audit::open(Some(section), clock.clone()).unwrap()
}

fn folder() -> (TempDir, PathBuf, Clock) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.jsonl");
    (folder, path, Clock::fixed(NOW))
}

/// What a file says: subjects, or the event where there is none.
fn told(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    text.lines().map(line).map(|line| line["subject"].as_str().unwrap_or("-").to_owned()).collect()
}

fn read(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn log_in(audit: &Audit, name: &str) -> bool {
    audit.record(Event::LoggedIn { user: &UserId::new(name), client: None, at: None }).await.is_ok()
}

async fn log_out(audit: &Audit, name: &str) -> bool {
    audit.record(Event::LoggedOut { user: &UserId::new(name) }).await.is_ok()
}

#[test]
fn log_2_whatever_a_name_holds_it_is_one_harmless_line() {
    let hostile = "eve\n{\"event\":\"login\"}\r\x1b[2J\u{9b}1m\u{2028}\u{2029}\u{85}\u{202e}\u{200b}\u{feff}\u{e0041}\u{7f}\"\\end";
    let (user, client) = (UserId::new(hostile), ClientId::new(hostile));
    let event = Event::ConsentDenied { user: Some(&user), client: &client };
    let printed = line::of(event.record(), &Origin::Bridge, NOW, 0);
    let only = printed.strip_suffix('\n').unwrap();
    assert!(only.is_ascii() && !only.chars().any(char::is_control), "{only:?}");
    let value: Value = serde_json::from_str(only).unwrap();
    assert_eq!((value["subject"].as_str(), value["oauth_client_id"].as_str()), (Some(hostile), Some(hostile)));
    assert_eq!((value["event"].as_str(), value["outcome"].as_str()), (Some("consent"), Some("denied")));
}

#[test]
fn log_2_a_value_of_a_megabyte_is_cut() {
    let client = ClientId::new("ä".repeat(1 << 19));
    let printed = line::of(Event::ClientAdded { client: &client }.record(), &Origin::Bridge, NOW, 0);
    let value: Value = serde_json::from_str(&printed).unwrap();
    assert!(printed.len() < 2000 && value["oauth_client_id"].as_str().unwrap().ends_with("ä…"), "{printed}");
}

#[test]
fn every_line_has_the_same_first_members() {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let request = Request::new(address);
    assert_eq!(request.id(), None, "no event has asked for it");
    let event = Event::LoginRefused { user: None, client: None, at: None, reason: "wrong_credentials" };
    let printed = line::of(event.record(), &Origin::Request(request.clone()), NOW, 7);
    let id = request.id().unwrap();
    let expected = format!(
        "{{\"ts\":\"2027-01-15T08:00:00Z\",\"event\":\"login\",\"outcome\":\"refused\",\"reason\":\"wrong_credentials\",\
         \"request_id\":\"{id}\",\"address\":\"192.0.2.1\",\"subject\":null,\"oauth_client_id\":null,\"count\":7}}\n"
    );
    assert_eq!(printed, expected);
    let again = line::of(event.record(), &Origin::Request(request.clone()), NOW, 0);
    assert!(again.contains(id), "one request has one identifier");
}

#[tokio::test]
async fn log_5_an_event_that_was_recorded_is_in_the_file() {
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    for (count, name) in ["ann", "bob"].into_iter().enumerate() {
        assert!(log_in(&audit, name).await);
        assert_eq!(told(&path).len(), count + 1, "it is there before anybody is answered");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Takes a write when it is let, and says so; or refuses it.
struct Valve {
    let_through: Receiver<bool>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Write for Valve {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.let_through.recv() {
            Ok(true) => {
                self.taken.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
                Ok(bytes.len())
            }
            _ => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Behind {
    audit: Audit,
    valve: Sender<bool>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Behind {
    fn new(patience: Duration) -> Self {
        let ((valve, let_through), taken) = (channel(), Arc::<Mutex<Vec<String>>>::default());
        let sink = Sink::Stream(Box::new(Valve { let_through, taken: Arc::clone(&taken) }));
        let (bound, clock) = (Arc::new(Bound::default()), Clock::fixed(NOW));
        let writer = Writer::start_patiently(sink, Arc::clone(&bound), clock.clone(), patience).unwrap();
        Self { audit: Audit(Some(Arc::new(Trail { clock, bound, writer }))), valve, taken }
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn log_6_a_full_disk_refuses_what_hands_out_and_lets_the_rest_happen() {
    let behind = Behind::new(LONG);
    behind.valve.send(false).unwrap();
    assert!(!log_in(&behind.audit, "ann").await, "nobody is let in unseen");
    behind.valve.send(false).unwrap();
    assert!(behind.audit.check().await.is_err(), "and nothing is spent in vain");
    assert!(log_out(&behind.audit, "ann").await, "whoever wants out gets out");
    behind.valve.send(false).unwrap();
    behind.valve.send(true).unwrap();
    // The first may share the fate of the logout.
    assert!(behind.audit.check().await.is_ok() || behind.audit.check().await.is_ok());
    behind.valve.send(true).unwrap();
    assert!(log_in(&behind.audit, "bob").await);
    let taken = behind.taken().concat();
    let lines: Vec<Value> = taken.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["event"].as_str(), lines[0]["outcome"].as_str()), (Some("audit"), Some("lost")));
    assert_eq!(lines[0]["count"], 2, "the login and the logout");
    assert_eq!(lines.last().unwrap()["subject"], "bob");
}

#[tokio::test]
async fn log_6_a_reader_that_stops_reading_holds_nobody_for_ever() {
    let behind = Behind::new(Duration::from_millis(20));
    assert!(!log_in(&behind.audit, "ann").await, "nobody took it");
    for _ in 0..3000 {
        assert!(log_out(&behind.audit, "ann").await, "more than the queue takes, and none waits");
    }
    assert!(!log_in(&behind.audit, "bob").await, "the queue is full");
    for _ in 0..100 {
        behind.valve.send(true).unwrap();
    }
    tokio::time::timeout(LONG, async {
        while !log_in(&behind.audit, "carl").await {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("with the reader everything is back");
    let taken = behind.taken().concat();
    assert!(taken.contains("carl") && taken.contains("ann"), "and what waited was written");
}

#[tokio::test]
async fn log_6_dropping_a_trail_that_nobody_takes_ends() {
    let behind = Behind::new(Duration::from_millis(20));
    assert!(!log_in(&behind.audit, "ann").await);
    let (audit, (done, ended)) = (behind.audit, channel());
    std::thread::spawn(move || {
        drop(audit);
        done.send(()).unwrap();
    });
    ended.recv_timeout(LONG).expect("a program that is told to stop stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_wait_together_are_one_write() {
    let behind = Behind::new(LONG);
    let mut waiting = tokio::task::JoinSet::new();
    let first = behind.audit.clone();
    waiting.spawn(async move { log_in(&first, "first").await });
    for number in 0..100 {
        let audit = behind.audit.clone();
        waiting.spawn(async move { log_in(&audit, &number.to_string()).await });
    }
    // Let through only after each has had its turn to ask.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    for _ in 0..101 {
        behind.valve.send(true).unwrap();
    }
    while let Some(written) = waiting.join_next().await {
        assert!(written.unwrap());
    }
    let writes = behind.taken();
    assert_eq!(writes.concat().lines().count(), 101);
    assert!(writes.len() < 50, "{} writes", writes.len());
}

#[tokio::test]
async fn strangers_get_one_line_a_minute_for_each_kind_and_the_others_are_counted() {
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    let refuse = async |address: &str, reason| {
        let request = Request::new(address.parse().unwrap());
        request.scope(audit.record(Event::AccessRefused { holder: None, reason })).await.unwrap();
    };
    for _ in 0..1000 {
        refuse("192.0.2.1", "bad_token").await;
    }
    refuse("192.0.2.1", "bad_audience").await;
    for last in 0..50 {
        refuse(&format!("2001:db8::{last:x}"), "bad_token").await;
    }
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(lines(&path), 3, "{}", fs::read_to_string(&path).unwrap());
    for number in 0..1000 {
        refuse(&format!("198.51.{}.{}", number / 250, number % 250), "bad_token").await;
    }
    assert_eq!(lines(&path), 200, "however many they are");
    clock.advance(Duration::from_secs(60));
    refuse("192.0.2.1", "bad_token").await;
    drop(audit);
    let all: Vec<Value> = read(&path);
    let (withheld, told): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|line| line["outcome"] == "withheld");
    assert_eq!((told.len(), told[200]["count"].as_u64()), (201, Some(999)), "those of its own network");
    assert_eq!(withheld.len(), 1, "of one kind: {withheld:?}");
    let counts: u64 = all.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(counts + 201, 1000 + 1 + 50 + 1000 + 1, "none is untold");
}

/// Somebody with as many clients as he likes.
#[tokio::test]
async fn one_network_cannot_take_the_lines_of_all_others() {
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    let refuse = async |address: &str, client: String| {
        let client = ClientId::new(client);
        let event = Event::TokenRefused { client: Some(&client), user: None, reason: "invalid_grant" };
        Request::new(address.parse().unwrap()).scope(audit.record(event)).await.unwrap();
    };
    for number in 0..500 {
        refuse(&format!("2001:db8:0:{number:x}::1"), number.to_string()).await;
    }
    refuse("192.0.2.1", "other".to_owned()).await;
    let addresses: Vec<Value> = read(&path).into_iter().map(|line| line["address"].clone()).collect();
    assert_eq!((addresses.len(), addresses[20].as_str()), (21, Some("192.0.2.1")));
    clock.advance(Duration::from_secs(60));
    refuse("2001:db8::1", "1".to_owned()).await;
    drop(audit);
    let counts: u64 = read(&path).iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(counts, 480, "none is untold");
}

/// A command of the operator's, run as another user than the bridge, makes files beside it.
#[tokio::test]
async fn log_6_what_a_command_of_root_makes_belongs_to_whom_the_trail_does() {
    let (_folder, path, clock) = folder();
    let lock = path.with_extension("jsonl.lock");
    fs::write(&path, "").unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(65534), Some(65534)).unwrap();
    }
    let owner = |path: &Path| fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
    let before = owner(&path);
    let audit = open(&section::Audit { max_size: 1, ..section(&path) }, &clock);
    assert!(log_out(&audit, "a").await && log_out(&audit, "b").await);
    assert_eq!((told(&path), owner(&path), owner(&lock)), (vec!["b".to_owned()], before, before));
    // The operator's own rotation.
    fs::rename(&path, path.with_extension("old")).unwrap();
    assert!(log_out(&audit, "c").await);
    assert_eq!((told(&path), owner(&path)), (vec!["c".to_owned()], before));
    drop(audit);
    // Before there is any, it is for whom the folder belongs to.
    fs::remove_file(&path).unwrap();
    chown(path.parent().unwrap(), Some(before.0), Some(before.1)).unwrap();
    let audit = open(&section(&path), &clock);
    assert!(log_out(&audit, "d").await);
    assert_eq!(owner(&path), before);
    drop(audit);
    // What is there behind a link is nobody's to give away.
    let theirs = path.with_extension("theirs");
    fs::rename(&path, &theirs).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&theirs, Some(0), Some(0)).unwrap();
    }
    std::os::unix::fs::symlink(&theirs, &path).unwrap();
    let is = owner(&theirs);
    assert!(log_out(&open(&section::Audit { max_size: 1, ..section(&path) }, &clock), "e").await);
    assert_eq!(owner(&theirs), is);
}

/// Whoever may read the trail, as a shipper of logs does, may lock it.
#[tokio::test]
async fn log_6_who_may_only_read_the_trail_cannot_stop_it() {
    let (_folder, path, clock) = folder();
    let lock = path.with_extension("jsonl.lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    let audit = open(&section(&path), &clock);
    let reader = fs::File::open(&path).unwrap();
    reader.lock().unwrap();
    assert!(log_in(&audit, "ann").await);
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600, "nobody else opens that one");
    // Without it two would write at once; whoever removes it has done that for a moment alone.
    fs::remove_file(&lock).unwrap();
    let other = open(&section(&path), &clock);
    assert!(log_in(&other, "bob").await && log_in(&audit, "carl").await);
    assert_eq!(told(&path), ["ann", "bob", "carl"]);
}

/// Nine wrong secrets of one client, of which eight were withheld, and then another kind of refusal of another.
#[tokio::test]
async fn what_was_withheld_is_told_with_its_own_kind() {
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    let refuse = async |client: &str, reason| {
        let client = ClientId::new(client);
        let event = Event::TokenRefused { client: Some(&client), user: None, reason };
        Request::new("192.0.2.1".parse().unwrap()).scope(audit.record(event)).await.unwrap();
    };
    for _ in 0..9 {
        refuse("guessed", "client_authentication_failed").await;
    }
    clock.advance(Duration::from_secs(60));
    refuse("other", "invalid_grant").await;
    refuse("other", "client_authentication_failed").await;
    refuse("guessed", "client_authentication_failed").await;
    refuse("other", "invalid_grant").await;
    let counts: Vec<Value> = read(&path).into_iter().map(|line| line["count"].clone()).collect();
    assert_eq!(counts, [json!(null), json!(null), json!(null), json!(8)]);
    drop(audit);
    let last = read(&path).pop().unwrap();
    let told = ["event", "outcome", "reason", "count"].map(|member| last[member].clone());
    assert_eq!(told, [json!("token"), json!("withheld"), json!("invalid_grant"), json!(1)]);
}

#[test]
fn what_is_counted_is_bounded_and_told_in_a_line_a_minute_for_each_kind() {
    let (bound, begin) = (Bound::default(), NOW);
    let (mut admitted, mut told) = (0, 0);
    for minute in 0..10 {
        let now = begin + Duration::from_secs(60 * minute);
        for number in 0..1000 {
            let kind = ("access", if number % 2 == 0 { "bad_token" } else { "bad_audience" });
            let stranger = Stranger { kind, network: format!("{minute} {}", number / 4), who: String::new() };
            admitted += bound.admit(stranger, now).map_or(0, |count| count + 1);
        }
        let due = bound.take_withheld(now);
        assert!(due.len() <= 2 && bound.take_withheld(now).is_empty(), "{due:?}");
        told += due.iter().map(|(_, count)| count).sum::<u64>();
    }
    told += bound.take_all().iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!(admitted + told, 10_000, "none is untold");
}

/// An operator's disk may have a file that anybody reads; a shipper of logs in the group reads on.
#[tokio::test]
async fn a_file_that_is_there_already_is_closed_to_others() {
    let (_folder, path, clock) = folder();
    for (before, after) in [(0o644, 0o600 | 0o040), (0o666, 0o640), (0o640, 0o640), (0o600, 0o600)] {
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        assert!(log_in(&open(&section(&path), &clock), "ann").await);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, after, "{before:o}");
    }
}

#[tokio::test]
async fn what_was_withheld_at_the_end_is_told() {
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    for _ in 0..5 {
        audit.record(Event::AuthorizeRefused { client: None, user: None, reason: "unknown_client" }).await.unwrap();
    }
    drop(audit);
    let text = fs::read_to_string(&path).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((last["outcome"].as_str(), last["count"].as_u64()), (Some("withheld"), Some(4)));
}

#[tokio::test]
async fn a_file_that_grows_too_large_is_put_aside_and_so_many_are_kept() {
    let (folder, path, clock) = folder();
    let audit = open(&section::Audit { max_size: 600, ..section(&path) }, &clock);
    for number in 0..20 {
        assert!(log_in(&audit, &number.to_string()).await);
    }
    let aside = |number: u32| told(&path.with_extension(format!("jsonl.{number}")));
    let kept = [aside(3), aside(2), aside(1), told(&path)].concat();
    let newest: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert!(kept.len() >= 7 && newest.ends_with(&kept), "{kept:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "with the lock");
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        assert!(metadata.len() <= 600 && metadata.permissions().mode() & 0o777 == 0o600, "{entry:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_old_is_put_aside_whoever_began_it() {
    let (_folder, path, clock) = folder();
    let daily = section::Audit { max_age: Duration::from_secs(86_400), ..section(&path) };
    assert!(log_in(&open(&daily, &clock), "ann").await);
    clock.advance(Duration::from_secs(86_399));
    let audit = open(&daily, &clock);
    assert!(log_in(&audit, "bob").await);
    clock.advance(Duration::from_secs(1));
    assert!(log_in(&audit, "carl").await && log_in(&audit, "dora").await);
    assert_eq!(told(&path.with_extension("jsonl.1")), ["ann", "bob"]);
    assert_eq!(told(&path), ["carl", "dora"]);
}

#[tokio::test]
async fn a_file_that_somebody_else_put_aside_is_begun_anew() {
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    assert!(log_in(&audit, "ann").await);
    let aside = path.with_extension("old");
    fs::rename(&path, &aside).unwrap();
    assert!(log_in(&audit, "bob").await);
    assert_eq!((told(&aside), told(&path)), (vec!["ann".to_owned()], vec!["bob".to_owned()]));
    fs::remove_file(&path).unwrap();
    assert!(log_in(&audit, "carl").await);
    assert_eq!(told(&path), ["carl"]);
}

#[tokio::test]
async fn a_torn_line_swallows_no_other() {
    let (_folder, path, clock) = folder();
    fs::write(&path, "{\"ts\":\"2027-01-15T").unwrap();
    assert!(log_in(&open(&section(&path), &clock), "ann").await);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().nth(1).unwrap().contains("ann"));
}

/// Two hundred logins, by four that know nothing of each other.
async fn four_writers(section: &section::Audit, clock: &Clock) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let audit = open(section, clock);
        writers.spawn(async move {
            for number in 0..50 {
                assert!(log_in(&audit, &format!("{writer}-{number}")).await);
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_four_writers_of_one_file_none_loses_a_line() {
    let (_folder, path, clock) = folder();
    let section = section::Audit { max_size: 2000, keep: 1000, ..section(&path) };
    four_writers(&section, &clock).await;
    let mut all = told(&path);
    for number in 1.. {
        let aside = path.with_extension(format!("jsonl.{number}"));
        if !aside.exists() {
            break;
        }
        all.extend(told(&aside));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200);
}

#[tokio::test]
async fn the_last_lines_are_found_across_files_and_followed_into_the_next() {
    let (_folder, path, clock) = folder();
    let audit = open(&section::Audit { max_size: 600, keep: 100, ..section(&path) }, &clock);
    for number in 0..20 {
        assert!(log_in(&audit, &number.to_string()).await);
    }
    let (lines, mut follower) = trail::last(&path, 12, &mut |line| !line.contains("\"13\"")).unwrap();
    let subject = |line: &String| serde_json::from_str::<Value>(line).unwrap()["subject"].as_str().unwrap().to_owned();
    let expected: Vec<String> = (7..20).filter(|number| *number != 13).map(|number: i32| number.to_string()).collect();
    assert_eq!(lines.iter().map(subject).collect::<Vec<_>>(), expected);
    let mut come = Vec::new();
    for number in 20..30 {
        assert!(log_in(&audit, &number.to_string()).await);
        follower.read(&mut |line| come.push(line.to_owned())).unwrap();
    }
    let expected: Vec<String> = (20..30).map(|number: i32| number.to_string()).collect();
    assert_eq!(come.iter().map(subject).collect::<Vec<_>>(), expected);
}
