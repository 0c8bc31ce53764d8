//! The server's certificate and key: [`Identity`], made by rcgen or read from files, and its TLS
//! configuration.

use std::{fs, io, path::Path, sync::Arc};

use netduel_atomic_file::{create_private, write_atomic};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{NoServerSessionStorage, ServerSessionMemoryCache},
};

use crate::{
    connection::error::IdentityError,
    tls::{
        suite::crypto_provider,
        trust::{Accepted, Fingerprint, Trust, file_error, read_certificates},
    },
};

/// The lifetime of a self-signed certificate in days: longer than any measurement or party, and
/// short enough to be noticed.
const VALID_DAYS: i64 = 90;

/// The number of tickets for each connection. A ticket is good for one connection, and that
/// connection brings the next one.
const TICKETS: usize = 1;
/// The largest number of sessions that a server keeps for resumption, the oldest forgotten first:
/// four for each player it takes by default, at some 200 bytes each.
const SERVER_SESSIONS_MAX: usize = 4096;
/// A server's certificate and its private key.
///
/// ```
/// use netduel_transport::Identity;
///
/// let identity = Identity::generate(&["localhost".into(), "192.0.2.7".into()])?;
/// println!("certificate sha256 {}", identity.fingerprint());
/// # Ok::<(), netduel_transport::IdentityError>(())
/// ```
#[derive(Debug)]
pub struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Returns an identity of these certificates, the server's own first, and its key.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { certificates, key }
    }

    /// Returns the certificates, the server's own first.
    #[cfg(test)]
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Makes a fresh self-signed identity for these names and addresses, in memory only. Its common
    /// name is the first of them.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn generate(names: &[String]) -> Result<Self, IdentityError> {
        Self::generate_as(names.first().map_or("localhost", String::as_str), names)
    }

    /// Makes a fresh self-signed identity for these names and addresses, with a common name of the
    /// program's choice.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn generate_as(common_name: &str, names: &[String]) -> Result<Self, IdentityError> {
        let failed = |error: rcgen::Error| IdentityError::Generate(error.to_string());
        let mut params = dated(rcgen::CertificateParams::new(names).map_err(failed)?);
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let key = rcgen::KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificates: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }

    /// Loads a PEM certificate chain and its PEM key. A key that other users can read is refused.
    ///
    /// # Errors
    /// The file that is missing, readable by others or not of the expected type.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        refuse_loose(key)?;
        let certificates = read_certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| IdentityError::Unusable {
            path: key.display().to_string(),
            what: "PEM private key",
            reason: error.to_string(),
        })?;
        Ok(Self { certificates, key })
    }

    /// Writes the identity as PEM: the certificate readable by every user, the key in a new file
    /// with mode 0600.
    ///
    /// # Errors
    /// A key file that exists already is not overwritten.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), IdentityError> {
        if fs::exists(key).map_err(|error| file_error(key, error))? {
            return Err(file_error(key, io::ErrorKind::AlreadyExists.into()));
        }
        // The key comes last: where it exists, both do.
        self.save_certificate(certificate)?;
        let pem = to_pem("PRIVATE KEY", self.key.secret_der());
        create_private(key, pem.as_bytes()).map_err(|error| file_error(key, error))
    }

    /// Writes only the certificate, as PEM, which clients trust by [`Trust::from_file`].
    ///
    /// # Errors
    /// The system's error.
    pub fn save_certificate(&self, path: &Path) -> Result<(), IdentityError> {
        let pem: String = self.certificates.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
        write_atomic(path, pem.as_bytes()).map_err(|error| file_error(path, error))
    }

    /// Returns the SHA-256 of the certificate, which clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificates[0])
    }

    /// Returns trust in exactly this identity's certificate, for clients in the same process.
    pub fn trust(&self) -> Trust {
        Trust::new(Accepted::Certificates(self.certificates.clone()))
    }

    /// Returns the server's TLS configuration under a protocol name. For the transports, and for
    /// programs that measure TLS without them.
    ///
    /// # Errors
    /// A key that does not belong to the certificate.
    pub fn server_config(&self, alpn: &str, resumption: bool) -> io::Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(self.certificates.clone(), self.key.clone_key())
            })
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        config.alpn_protocols = vec![alpn.into()];
        // Without resumption no tickets are sent, which would be bytes and packets in every
        // handshake. With it a ticket is the key of a session that the server keeps. The session is
        // taken out as it is used, so that each ticket is good once.
        config.send_tls13_tickets = if resumption { TICKETS } else { 0 };
        config.session_storage = if resumption {
            ServerSessionMemoryCache::new(SERVER_SESSIONS_MAX)
        } else {
            Arc::new(NoServerSessionStorage {})
        };
        // 0-RTT is off: see `Options::resumption`.
        config.max_early_data_size = 0;
        Ok(config)
    }
}

/// Returns the parameters with the dates of a fresh certificate.
pub(super) fn dated(mut params: rcgen::CertificateParams) -> rcgen::CertificateParams {
    let now = std::time::SystemTime::now();
    // A day of slack for clients whose clock is behind.
    params.not_before = (now - std::time::Duration::from_secs(86_400)).into();
    params.not_after = (now + std::time::Duration::from_secs(86_400 * VALID_DAYS as u64)).into();
    params
}

fn to_pem(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

#[cfg(unix)]
fn refuse_loose(key: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(key).map_err(|error| file_error(key, error))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(IdentityError::LooseKey { path: key.display().to_string(), mode })
    }
}

#[cfg(not(unix))]
fn refuse_loose(_key: &Path) -> Result<(), IdentityError> {
    Ok(()) // Windows guards files by access lists, which a user's own folders inherit.
}

#[cfg(test)]
mod tests {
    use rustls::{
        client::danger::ServerCertVerifier,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;
    use crate::{connection::error::ConnectError, tls::trust::Verifier};

    fn generate() -> Identity {
        Identity::generate(&["localhost".into()]).expect("generated")
    }

    #[test]
    fn identity_survives_disk() {
        let folder = tempfile::tempdir().expect("folder");
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let identity = generate();
        identity.save(&certificate, &key).expect("saved");
        assert_eq!(Identity::load(&certificate, &key).expect("loaded").fingerprint(), identity.fingerprint());
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

    /// A pin replaces the name and the chain, not the dates.
    #[test]
    fn dates_hold_for_chains_and_pins() {
        let names = ["localhost".into()];
        let with_chain = Identity::generate_with_chain("a game", &names).expect("generated");
        dates_hold(&generate());
        dates_hold(&with_chain);
    }

    fn dates_hold(identity: &Identity) {
        let (certificate, intermediates) = identity.certificates.split_first().expect("a certificate");
        let name = ServerName::try_from("localhost").expect("a name");
        let verdict = |trust: &Trust, days: u64| {
            let verifier = Verifier::new(&trust.accepted).expect("a verifier");
            let now = std::time::SystemTime::now() + std::time::Duration::from_secs(days * 86_400);
            let now =
                UnixTime::since_unix_epoch(now.duration_since(std::time::UNIX_EPOCH).expect("after 1970"));
            let verdict = verifier.verify_server_cert(certificate, intermediates, &name, &[], now);
            let said = verdict.as_ref().map_or_else(ToString::to_string, |_| String::new());
            (verdict.is_ok(), matches!(verifier.take_refusal(&said), Some(ConnectError::Untrusted(_))))
        };
        for trust in [identity.trust(), Trust::pin(identity.fingerprint())] {
            assert_eq!(verdict(&trust, 0), (true, false), "{trust:?}");
            assert_eq!(verdict(&trust, VALID_DAYS as u64 + 1), (false, true), "{trust:?}");
        }
    }
}
