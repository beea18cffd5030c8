//! Trails that are as they were written, and trails that are not.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{folder, four_writers, log_in, open, section};
use crate::audit::verify;
use crate::base::clock::Clock;

/// What is said of a trail: how many lines it has, and each finding, by the names of files.
fn verified(path: &Path) -> (u64, Vec<String>) {
    let mut findings = Vec::new();
    let parts = verify::parts(path).unwrap();
    let found = verify::verify(parts, None, &mut |finding| findings.push(finding.to_string())).unwrap();
    let folder = format!("{}/", path.parent().unwrap().display());
    let findings: Vec<String> = findings.iter().map(|finding| finding.replace(&folder, "")).collect();
    assert_eq!(found.faults as usize, findings.iter().filter(|finding| finding.contains("FAULT")).count());
    (found.lines, findings)
}

/// A trail of lines about these people.
async fn trail_of(names: impl IntoIterator<Item = i32>) -> (TempDir, PathBuf, Clock) {
    let (folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    for number in names {
        assert!(log_in(&audit, &number.to_string()).await);
    }
    (folder, path, clock)
}

/// Changes the lines of a file.
fn tamper(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[tokio::test]
async fn a_line_that_was_changed_taken_out_or_put_in_shows() {
    type Change = fn(&mut Vec<String>);
    let changed = "FAULT: changed since, or in the place of others";
    let cases: [(Change, Vec<String>); 9] = [
        (|_| (), vec![]),
        (|lines| lines[2] = lines[2].replace("accepted", "refused"), vec![format!("audit.jsonl:3: {changed}")]),
        (
            |lines| (2..5).for_each(|number| lines[number] = lines[number].replace("accepted", "refused")),
            vec![format!("audit.jsonl:3 to audit.jsonl:5: {changed}")],
        ),
        (|lines| drop(lines.remove(4)), vec!["audit.jsonl:5: FAULT: lines before this one are missing".to_owned()]),
        (|lines| drop(lines.drain(1..8)), vec!["audit.jsonl:2: FAULT: lines before this one are missing".to_owned()]),
        (|lines| lines.insert(3, lines[0].clone()), vec!["audit.jsonl:4: FAULT: put in since".to_owned()]),
        (
            |lines| (0..2).for_each(|_| lines.insert(3, "{\"event\":\"login\"}".to_owned())),
            vec!["audit.jsonl:4 to audit.jsonl:5: FAULT: put in since".to_owned()],
        ),
        (
            |lines| lines.push("{}".to_owned()),
            vec!["audit.jsonl:11: FAULT: not written by the bridge, or by a version without chains".to_owned()],
        ),
        (
            |lines| lines[9] = lines[9].replace("\"9\"", "\"8\""),
            vec!["audit.jsonl:10: FAULT: the last line was changed since, or lines before it are missing".to_owned()],
        ),
    ];
    for (change, expected) in cases {
        let (_folder, path, _) = trail_of(0..10).await;
        tamper(&path, change);
        assert_eq!(verified(&path).1, expected);
    }
    let (_folder, path, _) = trail_of(0..10).await;
    tamper(&path, |lines| lines.swap(3, 6));
    assert!(verified(&path).1.iter().any(|finding| finding.contains("FAULT")));
    tamper(&path, |lines| lines.truncate(1));
    assert_eq!(verified(&path), (1, vec![]), "what is cut off at the end shows only to who noted where it was");
}

#[tokio::test]
async fn files_that_were_put_aside_belong_to_the_trail() {
    let (_folder, path, clock) = folder();
    let section = section::Audit { max_size: 600, keep: 3, ..section(&path) };
    let audit = open(&section, &clock);
    for number in 0..4 {
        assert!(log_in(&audit, &number.to_string()).await);
    }
    assert_eq!(verified(&path), (4, vec![]), "from the first line of all");
    for number in 4..20 {
        // Each process finds the last line by itself.
        assert!(log_in(&open(&section, &clock), &number.to_string()).await);
    }
    let gone = "audit.jsonl.3:1: lines before this one were written, and are not here";
    assert_eq!(verified(&path), (8, vec![gone.to_owned()]));
    tamper(&path.with_extension("jsonl.2"), |lines| drop(lines.pop()));
    let missing = "audit.jsonl.1:1: FAULT: lines before this one are missing";
    assert_eq!(verified(&path).1, [gone, missing]);
    fs::remove_file(path.with_extension("jsonl.1")).unwrap();
    assert_eq!(verified(&path).1.len(), 1, "nothing is put aside before what is not there: {:?}", verified(&path));
}

#[tokio::test]
async fn a_crash_an_older_version_and_an_operator_who_moves_the_file_are_no_faults() {
    let (folder, path, clock) = folder();
    fs::write(&path, "{\"event\":\"login\"}\n{\"event\":\"login\"}\n").unwrap();
    let audit = open(&section(&path), &clock);
    assert!(log_in(&audit, "ann").await);
    let older = "audit.jsonl:2: the 2 lines up to here have no chain, as before there were chains";
    assert_eq!(verified(&path), (3, vec![older.to_owned()]));
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"ts\":\"2027-01").unwrap();
    let torn = "audit.jsonl:4: breaks off, as a crash leaves a line";
    assert_eq!(verified(&path), (4, vec![older.to_owned(), torn.to_owned()]), "at the end");
    assert!(log_in(&audit, "bob").await);
    assert!(log_in(&audit, "carl").await);
    assert_eq!(verified(&path), (6, vec![older.to_owned(), torn.to_owned()]), "and in the middle");
    tamper(&path, |lines| lines[3].push('0'));
    assert!(verified(&path).1[1].contains("audit.jsonl:4: FAULT: changed"), "{:?}", verified(&path));
    tamper(&path, |lines| lines[3].truncate(14));

    let moved = folder.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    assert!(log_in(&audit, "dora").await);
    let mut findings = Vec::new();
    let copies = verify::copies(&[moved, path.clone()]).unwrap();
    let found = verify::verify(copies, None, &mut |finding| findings.push(finding)).unwrap();
    assert_eq!((found.lines, found.faults), (7, 0), "{findings:?}");
    assert_eq!(verified(&path).1, ["audit.jsonl:1: lines before this one were written, and are not here"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_four_writers_of_one_file_each_ties_its_line_to_the_last() {
    let (_folder, path, clock) = folder();
    let section = section::Audit { max_size: 5000, keep: 1000, ..section(&path) };
    four_writers(&section, &clock).await;
    assert_eq!(verified(&path), (200, vec![]));
}

/// Not by who only sees the file afterwards, but by the bridge that wrote it.
#[tokio::test]
async fn what_is_cut_off_while_the_bridge_writes_shows() {
    type Change = fn(&mut Vec<String>);
    let missing = "audit.jsonl:5: FAULT: lines before this one are missing";
    let changed = "audit.jsonl:10: FAULT: changed since, or in the place of others";
    let cases: [(Change, &str); 2] =
        [(|lines| lines.truncate(4), missing), (|lines| lines[9] = lines[9].replace("\"9\"", "\"8\""), changed)];
    for (change, expected) in cases {
        let (_folder, path, clock) = folder();
        let audit = open(&section(&path), &clock);
        for number in 0..10 {
            assert!(log_in(&audit, &number.to_string()).await);
        }
        tamper(&path, change);
        assert!(log_in(&audit, "ann").await && log_in(&audit, "bob").await);
        assert_eq!(verified(&path).1, [expected]);
        assert!(log_in(&audit, "carl").await);
        assert_eq!(verified(&path).1, [expected], "and goes on from there");
        // As some rotate files.
        fs::write(&path, "").unwrap();
        assert!(log_in(&audit, "dora").await);
        assert_eq!(verified(&path).1, ["audit.jsonl:1: lines before this one were written, and are not here"]);
    }
    // A command beside the bridge knows nothing of what was there; the bridge does.
    let (_folder, path, clock) = folder();
    let audit = open(&section(&path), &clock);
    for number in 0..10 {
        assert!(log_in(&audit, &number.to_string()).await);
    }
    tamper(&path, |lines| lines.truncate(4));
    for number in 0..10 {
        assert!(log_in(&open(&section(&path), &clock), &number.to_string()).await);
    }
    assert_eq!(verified(&path).1.len(), 0, "which nobody could see");
    assert!(log_in(&audit, "ann").await && log_in(&audit, "bob").await);
    assert_eq!(verified(&path).1, ["audit.jsonl:15: FAULT: lines before this one are missing"]);
}

#[tokio::test]
async fn a_line_of_a_megabyte_that_somebody_else_wrote_is_tied_in_by_its_end() {
    let (_folder, path, clock) = trail_of(0..2).await;
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&[b'x'; 1 << 20]).unwrap();
    let large = section::Audit { max_size: 1 << 22, ..section(&path) };
    assert!(log_in(&open(&large, &clock), "ann").await);
    assert_eq!(verified(&path), (4, vec!["audit.jsonl:3: breaks off, as a crash leaves a line".to_owned()]));
}
