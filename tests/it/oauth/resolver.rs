//! Names that lie, from the resolver of the system to the connection: the real program in a network namespace of its own.

use std::process::Command;

use serde_json::Value;

const YAML: &str = r#"
log: {output: log}
server:
  listen: 127.0.0.1:0
  rate_limit: {login: {limit: 0}}
  oauth_server:
    enabled: true
    builtin: {users: [{username: alice, password_hash: HASH, scopes: ["mcp:read"]}]}
    allowed_redirect_uris: ["https://client.example/cb"]
    client_id_metadata_documents: {enabled: true}
upstreams:
  me: {builtin: whoami}
"#;

const PUBLIC: [&str; 2] = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"];

#[test]
fn cimd_7_cimd_8_whatever_the_systems_resolver_says_only_public_addresses_are_dialled_and_those_it_named_first() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("correct horse", 4).unwrap();
    std::fs::write(folder.path().join("config.yaml"), YAML.replace("HASH", &format!("\"{hash}\""))).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/resolver/namespace.py");
    let mut namespace = Command::new("unshare");
    // Who is root needs no user namespace for it, which not every sandbox has.
    let namespaces = if rustix::process::geteuid().is_root() { "-nm" } else { "-rnm" };
    namespace.args([namespaces, "python3", script, env!("CARGO_BIN_EXE_mcp-bridge")]).arg(folder.path());
    let output = namespace.output().expect("util-linux is installed");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs user and network namespaces, and iproute2: {said}\n{log}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let dialled = |case: &str| -> Vec<String> {
        let dialled = found[case]["dialled"].as_array().unwrap_or_else(|| panic!("no {case} in {found}"));
        dialled.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
    };
    // Where nobody lies a connection is made, so that an empty list says something.
    let good = dialled("public.example/client.json");
    assert!(!good.is_empty() && good.iter().all(|address| PUBLIC.contains(&address.as_str())), "{found}");
    for name in ["private", "loopback", "metadata", "local6", "unique", "several", "late", "families"] {
        let case = format!("{name}.example/client.json");
        assert_eq!(dialled(&case), Vec::<String>::new(), "{case}: {found}");
        assert!((400..600).contains(&found[&case]["status"].as_u64().unwrap()), "{case}: {found}");
    }
    // Looked up once: there is no second answer that could be dialled in place of the one that was judged.
    assert_eq!(dialled("rebinding.example/client.json"), [PUBLIC[0]], "{found}");
    assert_eq!(found["rebinding.example/client.json"]["lookups"], 1, "{found}");
    // The second fetch judges anew.
    assert_eq!(dialled("rebinding.example/other.json"), Vec::<String>::new(), "{found}");
    assert_eq!(found["rebinding.example/other.json"]["lookups"], 1, "{found}");
    assert!(log.contains("not public"), "{log}");
}
