//! Textual encodings of keys: the blocks of a PEM file. [RFC 7468](https://www.rfc-editor.org/rfc/rfc7468)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One `-----BEGIN …-----` block.
pub struct Block {
    /// What stands after `BEGIN`.
    pub label: String,
    /// Whether its headers say that it is encrypted (RFC 1421 §4.6.1.1, as `openssl … -traditional -aes256` writes).
    pub encrypted: bool,
    /// What it holds.
    pub der: Zeroizing<Vec<u8>>,
}

/// What a file holds in place of a fit key, as the end of the sentence "the file holds …".
#[derive(Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

/// The blocks of a file, in order. Text around them is skipped, as OpenSSL does.
///
/// `None`: a block is not closed or is not base64.
pub fn blocks(text: &str) -> Option<Vec<Block>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            blocks.push(block(label, &mut lines)?);
        }
    }
    Some(blocks)
}

/// PKCS#8 in PEM, 64 characters a line.
pub fn private_key(pkcs8: &[u8]) -> String {
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    let encoded = Zeroizing::new(STANDARD.encode(pkcs8));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, following) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = following;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

fn block<'a>(label: &str, lines: &mut impl Iterator<Item = &'a str>) -> Option<Block> {
    let end = format!("-----END {label}-----");
    let mut encrypted = false;
    let mut body = Zeroizing::new(String::new());
    for line in lines {
        if line == end {
            // The body of an encrypted block is of no use, and its last line of headers may be folded.
            let der = if encrypted { Vec::new() } else { STANDARD.decode(body.as_bytes()).ok()? };
            return Some(Block { label: label.to_owned(), encrypted, der: Zeroizing::new(der) });
        }
        if line.contains(':') {
            encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
        } else {
            body.push_str(line);
        }
    }
    None
}
