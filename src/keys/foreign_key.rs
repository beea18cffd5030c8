//! One public key of somebody else: read from a JWK, and made ready for each algorithm that it can verify.
//! [RFC 7517 §4](https://www.rfc-editor.org/rfc/rfc7517#section-4), [RFC 7518 §6](https://www.rfc-editor.org/rfc/rfc7518#section-6), [RFC 8037 §2](https://www.rfc-editor.org/rfc/rfc8037#section-2)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::JoseError;
use josekit::jwk::Jwk;
use josekit::jws::JwsVerifier;
use rsa::BigUint;
use serde_json::Value;

use crate::keys::compact;
use crate::keys::foreign_algorithm::ForeignAlgorithm;
use crate::keys::members::Members;

/// Members that no public key has (RFC 7518 §6.2.2, §6.3.2, §6.4.1). Whoever publishes one has lost the key.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A key that can verify something.
pub struct ForeignKey {
    /// `kid`.
    pub key_id: Option<String>,
    signature_length: usize,
    /// OpenSSL's form of the key, once for each algorithm: it is not made again for every token.
    verifiers: Vec<(ForeignAlgorithm, Box<dyn JwsVerifier>)>,
}

impl ForeignKey {
    /// Reads a JWK. `None`: not a public key that can verify one of our algorithms.
    pub fn parse(jwk: &[u8]) -> Option<Self> {
        let members = Members::parse(jwk)?.without_nulls();
        if PRIVATE.iter().any(|name| members.has(name)) || !is_for_signatures(&members)? {
            return None;
        }
        let material = Material::read(&members)?;
        let named = text(&members, "alg")?;
        let fits = |algorithm: &&ForeignAlgorithm| named.as_deref().is_none_or(|name| name == algorithm.name());
        let verifiers: Vec<_> = material
            .algorithms()
            .iter()
            .filter(fits)
            .filter_map(|algorithm| Some((*algorithm, algorithm.verifier(&material.jwk).ok()?)))
            .collect();
        let key_id = text(&members, "kid")?;
        (!verifiers.is_empty()).then_some(Self { key_id, signature_length: material.signature_length, verifiers })
    }

    /// What checks signatures of an algorithm. `None`: this key is not for it.
    pub fn verifier(&self, algorithm: ForeignAlgorithm) -> Option<&dyn JwsVerifier> {
        self.verifiers.iter().find(|(name, _)| *name == algorithm).map(|(_, verifier)| verifier.as_ref())
    }

    /// Whether this key made the signature.
    pub fn has_made(&self, signature: &[u8], signed: &str, verifier: &dyn JwsVerifier) -> bool {
        // RFC 7518 §3.4, RFC 8017 §8.1.2: exactly as long as the key makes them. josekit itself
        // says so of ECDSA alone, and leaves the others to OpenSSL.
        signature.len() == self.signature_length && verifier.verify(signed.as_bytes(), signature).is_ok()
    }
}

/// `use` and `key_ops` (RFC 7517 §4.2, §4.3). `None`: of a type they do not have.
fn is_for_signatures(members: &Members<'_>) -> Option<bool> {
    let usage = text(members, "use")?;
    let operations: Option<Vec<String>> = members.read("key_ops").ok()?;
    let verifies = operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    Some(verifies && usage.is_none_or(|usage| usage == "sig"))
}

/// The key itself, without anything that was said about it.
struct Material {
    kind: Kind,
    /// In the normal form, so that josekit sees nothing that we have not looked at.
    jwk: Jwk,
    /// How long its signatures are, in bytes.
    signature_length: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Secp256k1,
    Ed25519,
    Ed448,
}

impl Material {
    fn read(members: &Members<'_>) -> Option<Self> {
        let (key_type, curve) = (text(members, "kty")??, text(members, "crv")?);
        match (key_type.as_str(), curve.as_deref()) {
            ("RSA", _) => Self::rsa(members),
            ("EC", Some("P-256")) => Self::on_curve(members, Kind::P256, "P-256", 32),
            ("EC", Some("P-384")) => Self::on_curve(members, Kind::P384, "P-384", 48),
            ("EC", Some("P-521")) => Self::on_curve(members, Kind::P521, "P-521", 66),
            ("EC", Some("secp256k1")) => Self::on_curve(members, Kind::Secp256k1, "secp256k1", 32),
            ("OKP", Some("Ed25519")) => Self::edwards(members, Kind::Ed25519, "Ed25519", 32),
            ("OKP", Some("Ed448")) => Self::edwards(members, Kind::Ed448, "Ed448", 57),
            // `oct` among them: RFC 8725 §3.1, no shared secret is ever taken from a set that everybody can read.
            _ => None,
        }
    }

    fn rsa(members: &Members<'_>) -> Option<Self> {
        let (modulus, exponent) = (bytes(members, "n")?, bytes(members, "e")?);
        // Looked at before any arithmetic. RFC 7518 §6.3.1.1 forbids leading zeros, and says that there are some.
        let (modulus, exponent) = (without_leading_zeros(&modulus), without_leading_zeros(&exponent));
        if modulus.len() > 8192 / 8 || exponent.len() > 4 {
            return None;
        }
        let (n, e) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
        let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
        // RFC 7518 §3.3, §3.5: 2048 bits or more. Over 8192, or with a long exponent, a key only costs us time;
        // with the exponent 1 everybody can sign.
        if n.bits() < 2048 || !odd(modulus) || !odd(exponent) || e.bits() < 2 {
            return None;
        }
        let jwk =
            jwk("RSA", &[("n", Value::from(base64url(modulus))), ("e", Value::from(base64url(exponent)))]).ok()?;
        Some(Self { kind: Kind::Rsa, jwk, signature_length: modulus.len() })
    }

    /// That the point is on the curve is for OpenSSL to say.
    fn on_curve(members: &Members<'_>, kind: Kind, curve: &str, length: usize) -> Option<Self> {
        // RFC 7518 §6.2.1.2: both coordinates in full length.
        let (x, y) = (coordinate(members, "x", length)?, coordinate(members, "y", length)?);
        let jwk = jwk("EC", &[("crv", Value::from(curve)), ("x", x), ("y", y)]).ok()?;
        Some(Self { kind, jwk, signature_length: 2 * length })
    }

    fn edwards(members: &Members<'_>, kind: Kind, curve: &str, length: usize) -> Option<Self> {
        let jwk = jwk("OKP", &[("crv", Value::from(curve)), ("x", coordinate(members, "x", length)?)]).ok()?;
        Some(Self { kind, jwk, signature_length: 2 * length })
    }

    /// RFC 8725 §3.1: an algorithm is used with the one kind of key that it is made for, and each curve has its own.
    const fn algorithms(&self) -> &'static [ForeignAlgorithm] {
        use ForeignAlgorithm::{
            Ed448, Ed25519, EdDsa, Es256, Es256k, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512,
        };
        match self.kind {
            Kind::Rsa => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Kind::P256 => &[Es256],
            Kind::P384 => &[Es384],
            Kind::P521 => &[Es512],
            Kind::Secp256k1 => &[Es256k],
            Kind::Ed25519 => &[EdDsa, Ed25519],
            Kind::Ed448 => &[EdDsa, Ed448],
        }
    }
}

fn jwk(key_type: &str, members: &[(&str, Value)]) -> Result<Jwk, JoseError> {
    let mut jwk = Jwk::new(key_type);
    for (name, value) in members {
        jwk.set_parameter(name, Some(value.clone()))?;
    }
    Ok(jwk)
}

/// A member that is a string, if it is there at all. `None`: it is something else.
fn text(members: &Members<'_>, name: &str) -> Option<Option<String>> {
    members.read(name).ok()
}

fn bytes(members: &Members<'_>, name: &str) -> Option<Vec<u8>> {
    compact::decoded(&text(members, name)??)
}

fn coordinate(members: &Members<'_>, name: &str, length: usize) -> Option<Value> {
    bytes(members, name).filter(|bytes| bytes.len() == length).map(|bytes| Value::from(base64url(&bytes)))
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.get(first..).unwrap_or_default()
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
