//! The shape of the source: imports obey the table in ARCHITECTURE.md, and every file says what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules in the order of the table, each with what it may import.
fn table() -> Vec<(String, BTreeSet<String>)> {
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

/// A file of `src`, as far as it matters here.
struct Source {
    /// Its place below `src`.
    place: PathBuf,
    /// The module it belongs to.
    module: String,
    /// How many modules it lies in: 1 for `http/mod.rs`, 2 for `http/oauth/mod.rs` and `http/guard.rs`.
    depth: usize,
    /// Its code on one line without lines of comment, so that no way of breaking lines hides a path.
    code: String,
}

impl Source {
    fn all() -> Vec<Self> {
        rust_files(&root().join("src")).iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Self {
        let place = file.strip_prefix(root().join("src")).unwrap().to_owned();
        let module = place.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let depth = place.iter().count() - usize::from(place.ends_with("mod.rs"));
        Self { depth, module, code: on_one_line(&fs::read_to_string(file).unwrap()), place }
    }

    /// The names that follow `crate::`, and those that follow so many `super::` that they lead to the same place.
    fn imports(&self, modules: &BTreeSet<&str>) -> BTreeSet<String> {
        let absolute = self.code.split("crate::").skip(1).map(first_word).map(str::to_owned);
        let up = "super::".repeat(self.depth);
        let upward = self.code.split(&up).skip(1).map(first_word).filter(|name| modules.contains(name));
        absolute.chain(upward.map(str::to_owned)).filter(|name| *name != self.module).collect()
    }

    fn names(&self, foreign: &str) -> bool {
        let mut words = self.code.split(|c: char| !is_of_word(c));
        words.any(|word| word == foreign || (foreign.ends_with('_') && word.starts_with(foreign)))
    }
}

fn on_one_line(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words: Vec<_> = code.flat_map(str::split_whitespace).collect();
    words.join(" ").replace(" ::", "::").replace(":: ", "::")
}

fn first_word(text: &str) -> &str {
    text.split(|c| !is_of_word(c)).next().unwrap_or_default()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn imports_run_one_way() {
    let table = table();
    let modules: BTreeSet<&str> = table.iter().map(|(name, _)| name.as_str()).collect();
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for source in Source::all() {
        let Some((_, allowed)) = table.iter().find(|(name, _)| *name == source.module) else { continue };
        let place = source.place.display();
        for trick in ["crate::{", "crate::*", "use crate as", "use crate;", "extern crate"] {
            assert!(!source.code.contains(trick), "{place}: `{trick}` hides what is imported: one module a line");
        }
        for import in source.imports(&modules) {
            if !allowed.contains(&import) {
                wrong.push(format!("{place}: {} may not import {import}", source.module));
            }
            used.insert((source.module.clone(), import));
        }
    }
    for (module, allowed) in &table {
        let idle = allowed.iter().filter(|import| !used.contains(&(module.clone(), (*import).clone())));
        wrong.extend(idle.map(|import| format!("ARCHITECTURE.md: {module} may import {import}, and does not")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_and_lib_rs_list_the_lowest_layer_first() {
    let table = table();
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = library.lines().filter_map(|line| line.strip_prefix("pub mod "));
    let declared: Vec<_> = declared.map(|name| name.trim_end_matches(';')).collect();
    assert_eq!(declared, table.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    let mut above = BTreeSet::new();
    for (module, imports) in table {
        let below: Vec<_> = imports.difference(&above).collect();
        assert!(below.is_empty(), "{module} may import {below:?}, which stand below it");
        above.insert(module);
    }
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 12] = [
        ("actix_", &["http", "app"]),
        ("askama", &["http"]),
        ("rusqlite", &["store"]),
        ("josekit", &["keys"]),
        // `upstream_type: oauth2` is a word of the configuration too.
        ("oauth2", &["identity", "config"]),
        ("rsa", &["keys"]),
        ("p256", &["keys"]),
        ("hyper", &["fetch"]),
        ("hyper_util", &["fetch"]),
        ("tokio_rustls", &["fetch"]),
        ("serde_yaml", &["config"]),
        ("clap", &["cli"]),
    ];
    for source in Source::all() {
        for (name, allowed) in rooms.iter().filter(|(name, _)| source.names(name)) {
            assert!(allowed.contains(&source.module.as_str()), "{}: {name}", source.place.display());
        }
    }
}

/// Constants that sound like a bound, and where they stand, but bound nothing that comes from outside.
const NO_BOUNDS: [(&str, &str); 1] = [
    // How much of a name is shown.
    ("http/page/client_name.rs", "MAX_CHARACTERS"),
];

#[test]
fn every_bound_is_shown_to_the_operator_from_the_constant_that_is_kept() {
    let mut missing = Vec::new();
    let mut bounds = 0;
    for file in ["bridge", "http", "app"].iter().flat_map(|module| rust_files(&root().join("src").join(module))) {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(root().join("src")).unwrap().display().to_string();
        let code = on_one_line(text.split("#[cfg(test)]").next().unwrap());
        // What follows `Limit::count(` and the like, up to the end of the file: the arrays, and what names a constant in them.
        let shown: String = code.split("Limit::").skip(1).map(|rest| rest.split(';').next().unwrap()).collect();
        for name in code.split("const ").skip(1).map(first_word) {
            let sounds = ["MAX", "MOST", "LONGEST", "QUEUE", "PATIENCE"]
                .iter()
                .any(|word| name.split('_').any(|part| part == *word));
            if !sounds || NO_BOUNDS.contains(&(place.as_str(), name)) {
                continue;
            }
            bounds += 1;
            if !shown.split(|c: char| !is_of_word(c)).any(|word| word == name) {
                missing.push(format!("{place}: {name} is not among its LIMITS"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(bounds > 30, "only {bounds} were found");
}

#[test]
fn every_list_of_limits_is_collected() {
    let declared = rust_files(&root().join("src")).into_iter().filter(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.lines().any(|line| line.contains("const LIMITS: [Limit;"))
    });
    let program = env!("CARGO_BIN_EXE_mcp-bridge");
    let output = std::process::Command::new(program)
        .args(["config", "show", "--limits", "-c"])
        .arg(with_all())
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    for file in declared {
        let text = fs::read_to_string(&file).unwrap();
        let list = on_one_line(text.split("const LIMITS: [Limit;").nth(1).unwrap().split("];").next().unwrap());
        for name in list.split("Limit::").skip(1).map(|limit| limit.split('"').nth(1).unwrap()) {
            assert!(table.lines().any(|line| line.starts_with(name)), "{}: {name}\n{table}", file.display());
        }
    }
}

/// A configuration in which everything is there that has limits.
fn with_all() -> PathBuf {
    root().join("tests/fixtures/cli/limits.yaml")
}

/// The table of requirements, and where the tests that it names stand.
fn requirements() -> String {
    fs::read_to_string(root().join("tests/it/REQUIREMENTS.md")).unwrap()
}

/// The tests that a text names, as file and name.
fn named_tests(text: &str) -> Vec<(PathBuf, &str)> {
    let quoted = text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(".rs::"));
    quoted
        .map(|(file, name)| {
            let folder = if file.starts_with("src/") { root() } else { root().join("tests/it") };
            (folder.join(format!("{file}.rs")), name)
        })
        .collect()
}

#[test]
fn every_requirement_of_mcp_has_a_test_that_exists_or_a_reason() {
    let text = requirements();
    let rows: Vec<Vec<&str>> =
        text.lines().map(|line| line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect()).collect();
    for (section, count) in [("a", 48), ("b", 21), ("c", 23), ("d", 42), ("e", 12)] {
        for number in 1..=count {
            let id = format!("{section} {number}");
            let mut found = rows.iter().filter(|row| row[0] == id);
            let row = found.next().unwrap_or_else(|| panic!("{id} is missing"));
            assert!(found.next().is_none(), "{id} is there twice");
            assert!(row.len() == 4 && ["M", "S", "m"].contains(&row[1]), "{row:?}");
            let has_reason = row[3].strip_prefix("none: ").is_some_and(|reason| reason.len() > 20);
            assert!(has_reason || !named_tests(row[3]).is_empty(), "{id} has neither test nor reason");
        }
    }
    for (file, name) in named_tests(&text) {
        let code = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let at = code.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("no {name} in {}", file.display()));
        let before = code[..at].trim_end_matches("async ").trim_end().lines().next_back().unwrap();
        assert!(before.contains("test"), "{name} in {} is no test", file.display());
    }
}

#[test]
fn every_row_of_the_abuse_catalogue_is_the_name_of_a_test() {
    let text = requirements();
    let (_, part) = text.split_once("## Rows of our abuse catalogue").unwrap();
    let rows: Vec<&str> =
        part.lines().skip(4).take_while(|line| !line.is_empty()).flat_map(str::split_whitespace).collect();
    assert!(rows.len() > 60, "{rows:?}");
    let files = rust_files(&root().join("src")).into_iter().chain(rust_files(&root().join("tests/it")));
    let code: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: Vec<String> = code
        .split("fn ")
        .skip(1)
        .map(|rest| format!("_{}", rest.split(|c| !is_of_name(c)).next().unwrap_or_default()))
        .collect();
    for row in rows {
        let part = format!("_{}_", row.to_ascii_lowercase().replace('-', "_"));
        assert!(names.iter().any(|name| name.contains(&part)), "no test is named after {row}");
    }
}

#[test]
fn no_way_of_writing_hides_an_import() {
    let source =
        |code: &str, depth| Source { place: PathBuf::new(), module: "http".to_owned(), depth, code: on_one_line(code) };
    let modules = BTreeSet::from(["http", "store"]);
    for (code, depth) in [
        ("use crate::store::Store;", 2),
        ("use crate::\n    store::Store;", 2),
        ("let a = \"https://b.example\"; crate::store::open();", 2),
        ("use super::store::Store;", 1),
        ("fn f() { super::super::store::open() }", 2),
        ("pub(in crate::store) fn f() {}", 2),
    ] {
        assert_eq!(source(code, depth).imports(&modules), BTreeSet::from(["store".to_owned()]), "{code}");
    }
    for code in ["use super::store::Wrapper;", "// see crate::store\nuse crate::http::page;"] {
        assert_eq!(source(code, 2).imports(&modules), BTreeSet::new(), "{code}");
    }
    for code in ["use hyper as web;", "use hyper;", "let _ = hyper::Uri;"] {
        assert!(source(code, 2).names("hyper"), "{code}");
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
