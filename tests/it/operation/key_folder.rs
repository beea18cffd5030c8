//! The folder of the keys: whose it is, who may write to it, who holds its lock, and what is taken out of it.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fs::{CWD, FlockOperation, Mode, flock, mkfifoat};
use tempfile::TempDir;

use crate::operation::{LONG, PEOPLE, bare_folder, hashed, log_in, refusal, register};
use crate::support::mcp::Session;
use crate::support::program::run;
use crate::support::{Program, client::Tokens};

/// Somebody else.
const NOBODY: u32 = 65534;

fn folder(mode: u32) -> TempDir {
    let folder = bare_folder(&hashed(PEOPLE));
    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::set_permissions(folder.path().join("keys"), Permissions::from_mode(mode)).unwrap();
    folder
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// What the start of the bridge in this folder is refused with; `config check` says the same.
fn refused(folder: &TempDir) -> String {
    let said = [&[][..], &["config", "check"]].map(|arguments| {
        let (code, said) = refusal(folder.path(), arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        said
    });
    assert_eq!(said[0], said[1]);
    said[0].clone()
}

#[test]
fn crash_8_a_folder_of_keys_that_others_may_write_to_is_closed_to_them_where_it_is_ours() {
    for (before, after) in [(0o775, 0o755), (0o777, 0o755), (0o1777, 0o1755), (0o770, 0o750)] {
        let folder = folder(before);
        let keys = folder.path().join("keys");
        let check = run(&folder, &["config", "check"]);
        let said = String::from_utf8(check.stdout).unwrap();
        assert!(check.status.success() && said.contains("can be written to by other users"), "{said}");
        assert_eq!(run(&folder, &["config", "check", "--strict"]).status.code(), Some(78));
        assert_eq!(mode(&keys), before, "a check changes nothing");
        let program = Program::start(folder, &[]);
        assert_eq!(mode(&keys), after);
        assert!(program.log().contains("other users could write to the folder of the keys"), "{}", program.log());
    }
    let folder = folder(0o755);
    let program = Program::start(folder, &[]);
    assert_eq!(mode(&program.folder.path().join("keys")), 0o755);
    assert!(!program.log().contains("could write"), "there is nothing to say");
}

#[test]
fn crash_8_a_folder_or_a_key_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give a file away; `folder.rs` has the rule for every user.
        return;
    }
    let theirs = folder(0o700);
    chown(theirs.path().join("keys"), Some(NOBODY), None).unwrap();
    let said = refused(&theirs);
    assert!(said.contains("keys belongs to user 65534") && said.contains("chown -R 0 "), "{said}");
    assert_eq!(fs::read_dir(theirs.path().join("keys")).unwrap().count(), 0, "nothing is made there");
    // What somebody put there while he could.
    let planted = folder(0o755);
    let path = planted.path().join("keys/signing-es256-1.pem");
    assert!(run(&planted, &["keygen", "--out", path.to_str().unwrap()]).status.success());
    chown(&path, Some(NOBODY), None).unwrap();
    assert!(refused(&planted).contains("signing-es256-1.pem belongs to user 65534"));
    chown(&path, Some(0), None).unwrap();
    drop(Program::start(planted, &[]));
}

#[test]
fn jwt_15_the_lock_of_the_keys_is_a_file_of_ours_or_none() {
    let refused = |folder: &TempDir| {
        let (code, said) = refusal(folder.path(), &[]);
        assert_eq!(code, Some(78), "{said}");
        said
    };
    let linked = folder(0o700);
    let elsewhere = linked.path().join("elsewhere");
    symlink(&elsewhere, linked.path().join("keys/.lock")).unwrap();
    assert!(refused(&linked).contains(".lock is no plain file"));
    assert!(!elsewhere.exists(), "nothing is made behind a link");
    let piped = folder(0o700);
    mkfifoat(CWD, piped.path().join("keys/.lock"), Mode::RUSR | Mode::WUSR).unwrap();
    assert!(refused(&piped).contains(".lock is no plain file"));
    // Whoever may open it may hold it.
    let open = folder(0o700);
    let lock = open.path().join("keys/.lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&open).contains(&format!("chmod 600 {}", lock.display())));
    fs::set_permissions(&lock, Permissions::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&lock, Some(NOBODY), None).unwrap();
        assert!(refused(&open).contains(".lock belongs to user 65534"));
        chown(&lock, Some(0), None).unwrap();
    }
    drop(Program::start(open, &[]));
}

/// Holds the lock of the keys until it is killed.
const HOLDER: &str = "import fcntl, signal, sys\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\nprint('held', flush=True)\nsignal.pause()\n";

#[test]
fn jwt_15_a_lock_whose_holder_died_is_nobodys() {
    let folder = folder(0o700);
    let lock = folder.path().join("keys/.lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, Permissions::from_mode(0o600)).unwrap();
    let mut holder = Command::new("python3").args(["-c", HOLDER]).arg(&lock).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().as_deref(), Some("held"));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let program = Program::start(folder, &[]);
    program.beside(&["key", "rotate", "--now"], "");
}

#[test]
fn jwt_15_a_lock_that_is_never_given_back_is_told_and_stops_no_running_bridge() {
    let mut program = Program::start(bare_folder(&hashed(PEOPLE)), &[]);
    let lock = program.folder.path().join("keys/.lock");
    let held = File::open(&lock).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let (code, said) = refusal(program.folder.path(), &["key", "rotate", "--now"]);
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains(".lock is held by another process"), "{said}");
    assert!(program.reload(), "{}", program.log());
    let told = Instant::now();
    program.terminate();
    assert_eq!(program.ended(), Some(0));
    assert!(told.elapsed() < LONG);
}

async fn status(program: &Program, tokens: &Tokens) -> u16 {
    Session::at(&format!("{}/mcp", program.url), tokens.access()).status().await
}

fn keys(program: &Program) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(program.folder.path().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let mut keys: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("signing")).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jwt_16_a_key_is_taken_away_although_another_file_is_unfit() {
    let program = Program::start(bare_folder(&hashed(PEOPLE)), &[]);
    let client = register(&program).await;
    let first = log_in(&client, "alice").await;
    let [compromised] = keys(&program).try_into().unwrap();
    let unfit = program.folder.path().join("keys/signing-es256-1900000000.pem");
    fs::write(&unfit, "-----BEGIN PRIVATE KEY-----\nno\n").unwrap();
    fs::set_permissions(&unfit, Permissions::from_mode(0o600)).unwrap();
    // It is told of, and the others work on.
    let began = Instant::now();
    while !program.log().contains("the signing keys cannot be kept up to date") {
        assert!(began.elapsed() < LONG, "{}", program.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status(&program, &first).await, 200);
    fs::remove_file(&compromised).unwrap();
    assert!(!program.reload(), "the unfit one is a fault all the same");
    assert_eq!(status(&program, &first).await, 401);
    // There is another in its place, with which everybody goes on.
    let second = client.refresh(first.refresh()).await;
    assert_eq!(status(&program, &second).await, 200);
    assert_eq!(keys(&program).len(), 2);
    fs::remove_file(&unfit).unwrap();
    assert!(program.reload(), "{}", program.log());
    assert_eq!(status(&program, &second).await, 200);
}
