//! A private key as it comes out of a PEM file: RSA (PKCS#1, PKCS#8), EC on P-256 (SEC1, PKCS#8), Ed25519 (PKCS#8).
//!
//! Looked at with the `rsa` and `p256` crates, which say exactly what is wrong. Nothing is signed with them: signatures are
//! made by OpenSSL, which is given one normal form (PKCS#8) of a key that has passed.

use josekit::jwk::KeyPair as _;
use josekit::jwk::alg::ed::EdKeyPair;
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::EncodePrivateKey as _;
use rsa::pkcs1::der::asn1::{AnyRef, ContextSpecific, ObjectIdentifier, OctetStringRef};
use rsa::pkcs1::der::{Decode as _, Reader as _, TagNumber};
use rsa::pkcs8::{EncodePrivateKey as _, PrivateKeyInfo};
use rsa::traits::PublicKeyParts as _;
use zeroize::Zeroizing;

use crate::base::random;
use crate::config::section::SigningAlgorithm;
use crate::keys::pem::{self, Block, Unfit};
use crate::keys::public_key::{ED25519_SPKI, PublicKey};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What precedes the 32 bytes of an Ed25519 private key in PKCS#8 (RFC 8410 §7).
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A key that is fit to sign with.
pub enum PrivateKey {
    /// 2048 to 4096 bits.
    Rsa(Box<rsa::RsaPrivateKey>),
    /// On P-256.
    P256(p256::SecretKey),
    /// The 32 bytes of RFC 8032 §5.1.5, and the public key made from them.
    Ed25519 {
        /// The private half.
        seed: Zeroizing<[u8; 32]>,
        /// The public half.
        public: [u8; 32],
    },
}

/// Reads the one key of a PEM file, be it public or the private one that it belongs to.
pub fn public_key_from_pem(text: &str) -> Result<PublicKey, Unfit> {
    match PublicKey::from_pem(text)? {
        Some(key) => Ok(key),
        None => PrivateKey::from_pem(text).map(|key| key.public_key()),
    }
}

fn unfit<T>(found: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit(found.into()))
}

impl PrivateKey {
    /// Reads the one private key of a PEM file.
    pub fn from_pem(text: &str) -> Result<Self, Unfit> {
        let Some(blocks) = pem::blocks(text) else { return unfit("a damaged PEM block") };
        // `openssl ecparam -genkey` without `-noout` writes the curve in a block of its own first.
        let blocks: Vec<&Block> = blocks.iter().filter(|block| block.label != "EC PARAMETERS").collect();
        match blocks.as_slice() {
            [] => unfit("no PEM block (a DER file is made PEM with `openssl pkey -inform DER -in … -out …`)"),
            [block] => Self::from_block(block),
            _ => unfit("more than one PEM block"),
        }
    }

    /// Makes a new key: RSA of 2048 bits, EC on P-256 or Ed25519.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, Unfit> {
        match algorithm {
            SigningAlgorithm::Rs256 => {
                // The rsa crate is many times slower at this.
                let pair = josekit::jws::RS256.generate_key_pair(2048).map_err(|error| Unfit(error.to_string()))?;
                from_pkcs8(&Zeroizing::new(pair.to_der_private_key()))
            }
            SigningAlgorithm::Es256 => {
                p256::SecretKey::try_generate().map(Self::P256).map_err(|error| Unfit(error.to_string()))
            }
            SigningAlgorithm::EdDsa => ed25519(Zeroizing::new(random::bytes())),
        }
    }

    /// The one algorithm this key signs with.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Rsa(_) => SigningAlgorithm::Rs256,
            Self::P256(_) => SigningAlgorithm::Es256,
            Self::Ed25519 { .. } => SigningAlgorithm::EdDsa,
        }
    }

    /// What it is, for a person.
    pub fn description(&self) -> String {
        match self {
            Self::Rsa(key) => format!("an RSA key of {} bits", key.n().bits()),
            Self::P256(_) => "an EC key on P-256".to_owned(),
            Self::Ed25519 { .. } => "an Ed25519 key".to_owned(),
        }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa { modulus: key.n().to_bytes_be(), exponent: key.e().to_bytes_be() },
            Self::P256(key) => PublicKey::of_p256(&key.public_key()),
            Self::Ed25519 { public, .. } => PublicKey::Ed25519 { x: public.to_vec() },
        }
    }

    /// The private key as PKCS#8 (RFC 5958).
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unfit> {
        match self {
            Self::Rsa(key) => key.to_pkcs8_der().map(|der| der.to_bytes()).map_err(|error| Unfit(error.to_string())),
            Self::P256(key) => key.to_pkcs8_der().map(|der| der.to_bytes()).map_err(|error| Unfit(error.to_string())),
            Self::Ed25519 { seed, .. } => Ok(ed25519_pkcs8(seed)),
        }
    }

    fn from_block(block: &Block) -> Result<Self, Unfit> {
        if block.encrypted {
            return unfit("a private key encrypted with a passphrase");
        }
        match block.label.as_str() {
            "RSA PRIVATE KEY" => rsa_key(&block.der),
            "EC PRIVATE KEY" => sec1_key(&block.der),
            "PRIVATE KEY" => from_pkcs8(&block.der),
            "ENCRYPTED PRIVATE KEY" => unfit("a private key encrypted with a passphrase"),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => unfit("a public key, where the private key is meant"),
            "CERTIFICATE" => unfit("a certificate, where the private key is meant"),
            "OPENSSH PRIVATE KEY" => unfit("a key in OpenSSH's own format"),
            label => unfit(format!("a PEM block `{}`", label.escape_debug())),
        }
    }
}

fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, Unfit> {
    let Ok(info) = PrivateKeyInfo::try_from(der) else { return unfit("a damaged PKCS#8 private key") };
    match info.algorithm.oid {
        RSA => rsa_key(info.private_key),
        RSA_PSS => unfit("an RSA key restricted to PSS"),
        EC => {
            check_curve(info.algorithm.parameters)?;
            p256_key(<p256::SecretKey as p256::pkcs8::DecodePrivateKey>::from_pkcs8_der(der).ok())
        }
        ED25519 => match OctetStringRef::from_der(info.private_key).map(|octets| octets.as_bytes().try_into()) {
            Ok(Ok(seed)) => ed25519(Zeroizing::new(seed)),
            _ => unfit("a damaged Ed25519 private key"),
        },
        other => unfit(format!("a key for {}", algorithm_name(other))),
    }
}

fn rsa_key(pkcs1: &[u8]) -> Result<PrivateKey, Unfit> {
    let Ok(key) = rsa::pkcs1::RsaPrivateKey::try_from(pkcs1) else { return unfit("a damaged RSA private key") };
    if key.other_prime_infos.is_some() {
        return unfit("an RSA key of more than two primes");
    }
    // Before any arithmetic: RFC 7518 §3.3 asks for 2048 bits or more, and an enormous key costs every verifier dearly.
    let bits = bit_length(key.modulus.as_bytes());
    if !(2048..=4096).contains(&bits) {
        return unfit(format!("an RSA key of {bits} bits"));
    }
    // At least 65537, odd, and small enough to be quick (NIST SP 800-56B §6.2 and what OpenSSL makes).
    let exponent = key.public_exponent.as_bytes();
    let odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
    if !odd || !(17..=32).contains(&bit_length(exponent)) {
        return unfit("an RSA key with an unusual public exponent (65537 is usual)");
    }
    let number = |bytes: &[u8]| rsa::BigUint::from_bytes_be(bytes);
    let primes = vec![number(key.prime1.as_bytes()), number(key.prime2.as_bytes())];
    let (modulus, private) = (number(key.modulus.as_bytes()), number(key.private_exponent.as_bytes()));
    match rsa::RsaPrivateKey::from_components(modulus, number(exponent), private, primes) {
        Ok(key) => Ok(PrivateKey::Rsa(Box::new(key))),
        Err(_) => unfit("an RSA private key whose numbers do not fit together"),
    }
}

fn sec1_key(der: &[u8]) -> Result<PrivateKey, Unfit> {
    let Ok(parameters) = sec1_parameters(der) else { return unfit("a damaged EC private key") };
    check_curve(parameters)?;
    p256_key(p256::SecretKey::from_sec1_der(der).ok())
}

/// The `parameters [0]` of an ECPrivateKey (RFC 5915 §3), which name its curve.
fn sec1_parameters(der: &[u8]) -> rsa::pkcs1::der::Result<Option<AnyRef<'_>>> {
    AnyRef::from_der(der)?.sequence(|reader| {
        u8::decode(reader)?;
        OctetStringRef::decode(reader)?;
        let mut parameters = None;
        while !reader.is_finished() {
            let field = ContextSpecific::<AnyRef<'_>>::decode(reader)?;
            if field.tag_number == TagNumber::N0 {
                parameters = Some(field.value);
            }
        }
        Ok(parameters)
    })
}

fn check_curve(parameters: Option<AnyRef<'_>>) -> Result<(), Unfit> {
    match parameters.map(|parameters| parameters.decode_as::<ObjectIdentifier>()) {
        Some(Ok(P256)) => Ok(()),
        Some(Ok(curve)) => unfit(format!("an EC key on {}", curve_name(curve))),
        Some(Err(_)) => unfit("an EC key whose curve is written out instead of named"),
        None => unfit("an EC key that does not name its curve"),
    }
}

fn p256_key(key: Option<p256::SecretKey>) -> Result<PrivateKey, Unfit> {
    key.map_or_else(|| unfit("a damaged EC private key"), |key| Ok(PrivateKey::P256(key)))
}

fn ed25519(seed: Zeroizing<[u8; 32]>) -> Result<PrivateKey, Unfit> {
    let pair = EdKeyPair::from_der(ed25519_pkcs8(&seed)).map_err(|error| Unfit(error.to_string()))?;
    match pair.to_der_public_key().strip_prefix(&ED25519_SPKI).map(TryInto::try_into) {
        Some(Ok(public)) => Ok(PrivateKey::Ed25519 { seed, public }),
        _ => unfit("a damaged Ed25519 private key"),
    }
}

fn ed25519_pkcs8(seed: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([ED25519_PKCS8.as_slice(), seed.as_slice()].concat())
}

fn bit_length(big_endian: &[u8]) -> usize {
    let significant = big_endian.iter().position(|byte| *byte != 0).and_then(|first| big_endian.get(first..));
    match significant {
        Some([first, rest @ ..]) => rest.len() * 8 + 8 - first.leading_zeros() as usize,
        _ => 0,
    }
}

fn curve_name(curve: ObjectIdentifier) -> String {
    match curve.to_string().as_str() {
        "1.3.132.0.34" => "secp384r1 (P-384)".to_owned(),
        "1.3.132.0.35" => "secp521r1 (P-521)".to_owned(),
        "1.3.132.0.10" => "secp256k1".to_owned(),
        oid => format!("the curve {oid}"),
    }
}

fn algorithm_name(algorithm: ObjectIdentifier) -> String {
    match algorithm.to_string().as_str() {
        "1.3.101.113" => "Ed448".to_owned(),
        "1.3.101.110" => "X25519 (key exchange)".to_owned(),
        "1.3.101.111" => "X448 (key exchange)".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        oid => format!("the algorithm {oid}"),
    }
}
