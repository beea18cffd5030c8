//! The shape of the source: imports obey the table in ARCHITECTURE.md, and every file says what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module → what it may import, as the table says.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| module | may import")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            (cells[1].to_owned(), cells[2].split_whitespace().filter(|word| *word != "–").map(str::to_owned).collect())
        })
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

/// The modules a line of code names after `crate::`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
}

#[test]
fn imports_run_one_way() {
    let table = table();
    let modules: BTreeSet<_> = fs::read_to_string(root().join("src/lib.rs"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|name| name.trim_end_matches(';').to_owned())
        .collect();
    assert_eq!(modules, table.keys().cloned().collect(), "the table lists the modules of lib.rs");
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let relative = file.strip_prefix(root().join("src")).unwrap().to_owned();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let Some(allowed) = table.get(&module) else { continue };
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            assert!(
                !line.contains("crate::{") && !line.contains("use crate::*"),
                "{}:{}: one module a line",
                file.display(),
                number + 1
            );
            for import in imports(line).filter(|import| *import != module && !import.is_empty()) {
                if !allowed.contains(import) {
                    wrong.push(format!("{}:{}: {module} may not import {import}", relative.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    let table = table();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < table.len() {
        let next = table.iter().find(|(name, imports)| {
            !done.contains(name.as_str()) && imports.iter().all(|import| done.contains(import.as_str()))
        });
        done.insert(next.expect("every module can be built from those before it").0);
    }
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 6] = [
        ("actix_web::", &["http", "app"]),
        ("askama::", &["http"]),
        ("rusqlite::", &["store"]),
        ("josekit::", &["keys"]),
        ("reqwest::", &["fetch", "bridge"]),
        ("clap::", &["cli"]),
    ];
    for file in rust_files(&root().join("src")) {
        let relative = file.strip_prefix(root().join("src")).unwrap().to_owned();
        let module = relative.iter().next().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for (name, allowed) in rooms {
            assert!(!text.contains(name) || allowed.contains(&module), "{}: {name}", relative.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for folder in ["src", "tests/it"] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//! "), "{}", file.display());
            assert!(!text.contains(&format!("{}{}", "TO", "DO")), "{}: write the thing, or an issue", file.display());
        }
    }
}
