//! Tests of the identity: its files, its dates, its renewal, and what is not renewed.

use std::{fs, time::UNIX_EPOCH};

use rustls::{
    client::danger::ServerCertVerifier,
    pki_types::{ServerName, UnixTime},
};

use super::*;
use crate::{connection::error::ConnectError, tls::trust::Verifier};

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec()
}

fn generate() -> Identity {
    Identity::generate(&names()).expect("generated")
}

/// Returns what a client that has this trust says of the identity's certificate at a time: `None`
/// if the client accepts it.
fn refusal(trust: &Trust, identity: &Identity, name: &'static str, at: SystemTime) -> Option<ConnectError> {
    let chain = identity.certificates();
    let (certificate, intermediates) = chain.split_first().expect("a certificate");
    let verifier = Verifier::new(&trust.accepted).expect("a verifier");
    let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).expect("after 1970"));
    let name = ServerName::try_from(name).expect("a name");
    let said = verifier.verify_server_cert(certificate, intermediates, &name, &[], at).err()?.to_string();
    Some(verifier.take_refusal(&said).expect("a typed refusal"))
}

#[test]
fn identity_survives_disk() {
    let folder = tempfile::tempdir().expect("folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let identity = generate();
    identity.save(&certificate, &key).expect("saved");
    let loaded = Identity::load(&certificate, &key).expect("loaded");
    assert_eq!(loaded.certificates(), identity.certificates());
    assert!(
        matches!(generate().save(&certificate, &key), Err(IdentityError::File { .. })),
        "not overwritten"
    );
    let again = Identity::load(&certificate, &key).expect("the same pair");
    assert_eq!(again.fingerprint(), identity.fingerprint());
    assert!(matches!(
        Identity::load(&key, &key),
        Err(IdentityError::Unusable { what: "PEM certificate", .. })
    ));
    assert!(matches!(Trust::from_file(&folder.path().join("none")), Err(IdentityError::File { .. })));

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&key), 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
        let error = Identity::load(&certificate, &key).expect_err("loose");
        assert!(matches!(error, IdentityError::LooseKey { mode: 0o644, .. }), "{error}");
    }
}

/// A file of the user's is not replaced, and no half of a pair is left beside it.
#[test]
fn saving_replaces_no_file() {
    for (there, absent) in [("cert.pem", "key.pem"), ("key.pem", "cert.pem")] {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(there), "mine").expect("written");
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        assert!(generate().save(&certificate, &key).is_err());
        assert_eq!(fs::read(folder.path().join(there)).expect("readable"), b"mine");
        assert!(!folder.path().join(absent).exists(), "no {absent} beside {there}");
    }
}

#[test]
fn fingerprints_parse_as_printed() {
    let fingerprint = generate().fingerprint();
    let text = fingerprint.to_string();
    assert_eq!(text.parse::<Fingerprint>().expect("parsed"), fingerprint);
    assert_eq!(text.to_uppercase().parse::<Fingerprint>().expect("parsed"), fingerprint);
    for bad in ["", "ab", &text[1..], &format!("{text}00"), &text.replace(&text[..1], "g")] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}

/// Compares with another reader of certificates.
#[test]
fn fingerprint_is_of_the_key() {
    let identity = generate();
    let certificates = identity.certificates();
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificates[0]).expect("a certificate");
    let hash = ring::digest::digest(&ring::digest::SHA256, parsed.public_key().raw);
    assert_eq!(identity.fingerprint().to_string(), hex::encode(hash));
}

/// A pin replaces the name and the chain, not the dates.
#[test]
fn dates_hold_for_chains_and_pins() {
    let with_chain = Identity::generate_with_chain("a game", &names()).expect("generated");
    for identity in [generate(), with_chain] {
        let after = identity.valid().end + DAY;
        for trust in [identity.trust(), Trust::pin(identity.fingerprint())] {
            for (at, accepted) in [(SystemTime::now(), true), (after, false), (after - DAY * 120, false)] {
                let refusal = refusal(&trust, &identity, "localhost", at);
                assert_eq!(refusal.is_none(), accepted, "{trust:?}: {refusal:?}");
                assert!(refusal.is_none_or(|it| matches!(it, ConnectError::Untrusted(_))));
            }
        }
    }
}

/// Clients of the first day meet the certificate of a later one: those that pinned the key, and
/// those that trust the first certificate's file, by each of its names.
#[test]
fn pins_and_files_outlive_a_renewal() {
    let start = SystemTime::now();
    let identity = Identity::generate_as("a game", &names(), start).expect("generated");
    let later = start + DAY * 91;
    let renewed = identity.renewed(later).expect("renewed");
    assert_ne!(renewed.certificates(), identity.certificates());
    assert!(renewed.valid().contains(&later) && renewed.is_self_made());
    for trust in [identity.trust(), Trust::pin(identity.fingerprint())] {
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(matches!(refusal(&trust, &identity, name, later), Some(ConnectError::Untrusted(_))));
            let refusal = refusal(&trust, &renewed, name, later);
            assert!(refusal.is_none(), "{trust:?} of {name}: {refusal:?}");
        }
    }
    let twice = renewed.renewed(later + DAY * 91).expect("renewed again");
    assert_eq!(twice.fingerprint(), identity.fingerprint());
}

/// A machine without a clock begins in 1970.
#[test]
fn wrong_clock_is_mended_by_renewal() {
    let born = Identity::generate_as("a game", &names(), UNIX_EPOCH).expect("generated");
    let now = SystemTime::now();
    assert!(!born.valid().contains(&now));
    assert!(born.renewed(now).expect("renewed").valid().contains(&now));
}

/// The mark alone does not make a certificate ours: it must be signed with its own key.
#[test]
fn certificates_of_others_are_not_renewed() {
    let now = SystemTime::now();
    let params = |organisation: &str| {
        let mut params = dated(rcgen::CertificateParams::new(names()).expect("parameters"), now);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organisation);
        params
    };
    let key = || rcgen::KeyPair::generate().expect("a key");
    let identity = |certificate: rcgen::Certificate, key: &rcgen::KeyPair| {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Identity::new(vec![certificate.der().clone()], Zeroizing::new(key)).expect("a pair")
    };
    let own = key();
    let by_hand = identity(params("An operator").self_signed(&own).expect("signed"), &own);
    let authority = rcgen::Issuer::new(params("An authority"), key());
    let issued = identity(params(SELF_MADE).signed_by(&own, &authority).expect("signed"), &own);
    for identity in [by_hand, issued, Identity::generate_with_chain("a game", &names()).expect("generated")] {
        assert!(!identity.is_self_made() && identity.renewed(now).is_err(), "{identity:?}");
    }
}

#[test]
fn certificate_needs_its_own_key() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    generate().save(&path("a.pem"), &path("a.key")).expect("saved");
    generate().save(&path("b.pem"), &path("b.key")).expect("saved");
    let error = Identity::load(&path("a.pem"), &path("b.key")).expect_err("another key");
    assert!(matches!(error, IdentityError::KeyMismatch { .. }), "{error}");
}

#[test]
fn saved_key_brings_its_certificate_back() {
    let folder = tempfile::tempdir().expect("folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let identity = generate();
    identity.save(&certificate, &key).expect("saved");
    let again =
        || Identity::generate_for_saved(&key, "a game", &names(), SystemTime::now()).expect("readable");
    assert_eq!(again().expect("our key").fingerprint(), identity.fingerprint());
    // The same key without our comment is somebody else's.
    let text = fs::read_to_string(&key).expect("readable");
    fs::write(&key, &text[text.find("-----").expect("a block")..]).expect("written");
    assert!(again().is_none());
}

#[test]
fn debug_prints_no_secret() {
    let identity = generate();
    let secret = hex::encode(identity.pair().key.secret_der());
    let printed = format!("{identity:?}");
    assert!(printed.contains(&identity.fingerprint().to_string()) && !printed.contains(&secret[..64]));
}
