//! The server's certificate and key: [`Identity`], made by rcgen or read from files, and its TLS
//! configuration.

use std::{
    fmt, io,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::RwLock;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::{
    InconsistentKeys, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use crate::{
    connection::error::IdentityError,
    tls::{
        pem_files::{
            create_certificates, create_key, file_error, read_certificates, read_key, write_certificates,
        },
        suite::crypto_provider,
        trust::{Accepted, Fingerprint, Trust},
        x509::{Facts, SELF_MADE},
    },
};

/// The lifetime of a self-signed certificate in days: longer than any measurement or party, and
/// short enough to be noticed.
pub(super) const VALID_DAYS: u64 = 90;
const DAY: Duration = Duration::from_secs(86_400);
/// The length of a certificate's serial number in bytes: chance alone keeps two apart.
const SERIAL_BYTES: usize = 16;

/// The number of tickets for each connection. A ticket is good for one connection, and that
/// connection brings the next one.
const TICKETS: usize = 1;
/// The largest number of sessions that a server keeps for resumption, the oldest forgotten first:
/// four for each player it takes by default, at some 200 bytes each.
const SERVER_SESSIONS_MAX: usize = 4096;

/// A server's certificate and its private key.
///
/// Clones are the same identity. Listeners keep one, and present to each new client the certificate
/// that the identity has at that moment ([`Self::replace`]).
///
/// ```
/// use netduel_transport::Identity;
///
/// let identity = Identity::generate(&["localhost".into(), "192.0.2.7".into()])?;
/// println!("clients give --pin {}", identity.fingerprint());
/// # Ok::<(), netduel_transport::IdentityError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Identity {
    current: Arc<Current>,
}

/// The certificate that is presented now. The lock is held for one copy of a pointer.
struct Current(RwLock<Arc<Pair>>);

/// A certificate chain with its key, and what the first certificate says.
struct Pair {
    certified: Arc<CertifiedKey>,
    /// The key as it is saved and renewed with. Its memory is overwritten in the end.
    key: Zeroizing<PrivateKeyDer<'static>>,
    facts: Facts,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a fresh self-signed identity for these names and addresses, in memory only. Its common
    /// name is the first of them.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn generate(names: &[String]) -> Result<Self, IdentityError> {
        let common_name = names.first().map_or("localhost", String::as_str);
        Self::generate_as(common_name, names, SystemTime::now())
    }

    /// Makes a fresh self-signed identity for these names and addresses, with a common name of the
    /// program's choice. Its dates follow from `now`.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn generate_as(common_name: &str, names: &[String], now: SystemTime) -> Result<Self, IdentityError> {
        Self::self_signed(common_name, names, &rcgen::KeyPair::generate().map_err(failed)?, now)
    }

    /// Makes a self-signed certificate as [`Self::generate_as`] does, for a key file that
    /// [`Self::save`] wrote. `None` if another program made the key.
    ///
    /// # Errors
    /// Those of the key in [`Self::load`], or a name that no certificate can carry.
    pub fn generate_for_saved(
        key: &Path,
        common_name: &str,
        names: &[String],
        now: SystemTime,
    ) -> Result<Option<Self>, IdentityError> {
        let file = read_key(key)?;
        if !file.self_made {
            return Ok(None);
        }
        let key = rcgen::KeyPair::try_from(&*file.key).map_err(failed)?;
        Self::self_signed(common_name, names, &key, now).map(Some)
    }

    /// Loads a PEM certificate chain and its PEM key. A key that other users can read, or that
    /// another user owns, is refused.
    ///
    /// # Errors
    /// The file that is missing, exposed or not of the expected type.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let (chain, file) = (read_certificates(certificate)?, read_key(key)?);
        let path = || certificate.display().to_string();
        Self::new(chain, file.key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                IdentityError::KeyMismatch { certificate: path(), key: key.display().to_string() }
            }
            other => IdentityError::Unusable {
                path: path(),
                what: "certificate with a key",
                reason: other.to_string(),
            },
        })
    }

    /// Writes the identity as PEM into two new files: the key with mode 0600, the certificate
    /// readable by every user.
    ///
    /// # Errors
    /// The system's error. A file that exists already is not overwritten.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), IdentityError> {
        // A link to nothing exists, too.
        if certificate.symlink_metadata().is_ok() {
            return Err(file_error(certificate, io::ErrorKind::AlreadyExists.into()));
        }
        let pair = self.pair();
        // The key comes first: if the program is killed here, the next start makes the certificate.
        create_key(key, &pair.key)?;
        create_certificates(certificate, &pair.certified.cert)
    }

    /// Writes only the certificate, as PEM, which clients trust by [`Trust::from_file`].
    ///
    /// # Errors
    /// The system's error.
    pub fn save_certificate(&self, path: &Path) -> Result<(), IdentityError> {
        write_certificates(path, &self.pair().certified.cert)
    }

    /// Returns the SHA-256 of the certificate's public key, which clients pin. A renewed
    /// certificate has the same.
    pub fn fingerprint(&self) -> Fingerprint {
        self.pair().fingerprint
    }

    /// Returns the times between which clients accept the certificate.
    pub fn valid(&self) -> Range<SystemTime> {
        self.pair().facts.valid.clone()
    }

    /// Whether this crate made the certificate and may therefore renew it.
    pub fn is_self_made(&self) -> bool {
        self.pair().facts.self_made
    }

    /// Makes a self-made certificate anew, with the same key and names, and with dates that follow
    /// from `now`. Clients that pinned the key or trusted the old certificate accept the new one.
    ///
    /// # Errors
    /// The certificate is not self-made.
    pub fn renewed(&self, now: SystemTime) -> Result<Self, IdentityError> {
        let pair = self.pair();
        let Facts { self_made: true, common_name, names, .. } = &pair.facts else {
            return Err(IdentityError::Generate("its key has a certificate of somebody else".into()));
        };
        Self::self_signed(common_name, names, &rcgen::KeyPair::try_from(&*pair.key).map_err(failed)?, now)
    }

    /// Takes over the certificate and key of `newer`. Every listener of this identity presents
    /// them in its new handshakes. Connections and handshakes under way go on.
    pub fn replace(&self, newer: &Self) {
        let pair = newer.pair();
        *self.current.0.write() = pair;
    }

    /// Returns trust in exactly this identity's certificate, for clients in the same process.
    pub fn trust(&self) -> Trust {
        Trust::new(Accepted::Certificates(self.pair().certified.cert.clone()))
    }

    /// Returns the server's TLS configuration under a protocol name. For the transports, and for
    /// programs that measure TLS without them.
    ///
    /// # Errors
    /// The provider lacks TLS 1.3.
    pub fn server_config(&self, alpn: &str, resumption: bool) -> io::Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
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

    /// Returns an identity of these certificates, the server's own first, and its key.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: Zeroizing<PrivateKeyDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &crypto_provider())?;
        let own = certified.end_entity_cert()?;
        let (facts, fingerprint) = (Facts::of(own).map_err(rustls::Error::General)?, Fingerprint::of(own)?);
        let pair = Pair { certified: Arc::new(certified), key, facts, fingerprint };
        Ok(Self { current: Arc::new(Current(RwLock::new(Arc::new(pair)))) })
    }

    /// Returns the certificates, the server's own first.
    #[cfg(test)]
    pub(super) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.pair().certified.cert.clone()
    }

    fn self_signed(
        common_name: &str,
        names: &[String],
        key: &rcgen::KeyPair,
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let mut params = dated(rcgen::CertificateParams::new(names).map_err(failed)?, now);
        params.distinguished_name.push(rcgen::DnType::OrganizationName, SELF_MADE);
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        // By default the number follows from the key, and two certificates must not share one.
        params.serial_number = Some(random::<SERIAL_BYTES>()?.to_vec().into());
        let certificate = params.self_signed(key).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Self::new(vec![certificate.der().clone()], Zeroizing::new(key)).map_err(failed)
    }

    fn pair(&self) -> Arc<Pair> {
        self.current.0.read().clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().certified.clone())
    }
}

impl fmt::Debug for Current {
    /// Prints the pin and the facts, and nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = self.0.read();
        write!(f, "{:?} {:?}", pair.fingerprint, pair.facts)
    }
}

/// Returns the parameters with the dates of a certificate that is made at `now`.
pub(super) fn dated(mut params: rcgen::CertificateParams, now: SystemTime) -> rcgen::CertificateParams {
    // A day of slack for clients whose clock is behind.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * VALID_DAYS as u32).into();
    params
}

/// Returns random bytes of the system.
pub(super) fn random<const BYTES: usize>() -> Result<[u8; BYTES], IdentityError> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| IdentityError::Generate("the system has no random numbers".into()))?;
    Ok(bytes)
}

/// Returns the error of a certificate that cannot be made.
pub(super) fn failed(cause: impl fmt::Display) -> IdentityError {
    IdentityError::Generate(cause.to_string())
}

#[cfg(test)]
mod tests;
