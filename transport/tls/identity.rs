//! Certificates and trust: the server's [`Identity`], made by rcgen, and the client's [`Trust`], by
//! certificate file or by pin.
//!
//! A [`Trust`] also keeps the TLS sessions that may be resumed under it.
//!
//! There is no mode that accepts any certificate. A pin replaces the chain and the name check,
//! nothing else: the handshake's signature and the certificate's dates are still verified. TLS and
//! QUIC use the same two configurations from here, with the same provider, version and suite.

use std::{collections::HashMap, fmt, fs, io, path::Path, str::FromStr, sync::Arc};

use netduel_atomic_file::{create_private, write_atomic};
use parking_lot::Mutex;
use ring::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    ServerConfig, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, ParsedCertificate, ServerSessionMemoryCache},
};

use crate::connection::{
    error::{ConnectError, IdentityError},
    path_stats::TlsSuite,
};

/// The lifetime of a self-signed certificate in days: longer than any measurement or party, and
/// short enough to be noticed.
const VALID_DAYS: i64 = 90;

/// The one cipher suite of TLS and QUIC, so that both pay for the same cipher. QUIC's first packets
/// need it anyway (RFC 9001, 5.2), and it has hardware support on x86-64 and on 64-bit ARM.
pub(crate) const SUITE: TlsSuite = TlsSuite::Tls13Aes128GcmSha256;

/// The number of tickets for each connection. A ticket is good for one connection, and that
/// connection brings the next one.
const TICKETS: usize = 1;
/// The largest number of sessions that a server keeps for resumption, the oldest forgotten first:
/// four for each player it takes by default, at some 200 bytes each.
const SERVER_SESSIONS_MAX: usize = 4096;
/// The largest number of servers, by name, whose sessions a client keeps for one kind and one
/// [`Trust`]. rustls keeps eight tickets of each.
const CLIENT_SERVERS_MAX: usize = 32;
/// The largest number of refusals that were noted and not yet asked for, such as those of abandoned
/// handshakes.
const REFUSALS_MAX: usize = 16;

fn crypto_provider() -> Arc<CryptoProvider> {
    let suite = provider::cipher_suite::TLS13_AES_128_GCM_SHA256;
    Arc::new(CryptoProvider { cipher_suites: vec![suite], ..provider::default_provider() })
}

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

fn file_error(path: &Path, error: io::Error) -> IdentityError {
    IdentityError::File { path: path.display().to_string(), error }
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

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let unusable = |reason: String| IdentityError::Unusable {
        path: path.display().to_string(),
        what: "PEM certificate",
        reason,
    };
    let bytes = fs::read(path).map_err(|error| file_error(path, error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| unusable(e.to_string()))?;
    if certificates.is_empty() { Err(unusable("no CERTIFICATE block".into())) } else { Ok(certificates) }
}

/// The SHA-256 of a certificate. Printed and parsed as 64 hexadecimal digits.
///
/// ```
/// use netduel_transport::Fingerprint;
///
/// let fingerprint: Fingerprint = "ab".repeat(32).parse()?;
/// assert_eq!(fingerprint.to_string(), "ab".repeat(32));
/// # Ok::<(), netduel_transport::IdentityError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = || IdentityError::BadPin(text.into());
        let mut hash = [0; 32];
        hex::decode_to_slice(text.replace(':', ""), &mut hash).map_err(|_| bad())?;
        Ok(Self(hash))
    }
}

/// The server certificates that a client accepts, and the TLS sessions with servers that it
/// accepted.
///
/// Clones share their sessions; a new `Trust` has none. A session is therefore resumed only under
/// the very trust that accepted the server's certificate, and never where another trust would
/// refuse it.
///
/// ```
/// use netduel_transport::{Identity, Trust};
///
/// let identity = Identity::generate(&["localhost".into()])?;
/// // A program that was told the fingerprint pins it. The certificate then needs no name.
/// let printed = identity.fingerprint().to_string();
/// let trust = Trust::pin(printed.parse()?);
/// # drop(trust);
/// # Ok::<(), netduel_transport::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct Trust {
    accepted: Accepted,
    sessions: Arc<Sessions>,
}

#[derive(Clone, Debug)]
enum Accepted {
    /// Certificates signed by one of these, or these themselves, for the right name and dates.
    Certificates(Vec<CertificateDer<'static>>),
    /// Exactly the certificate with this fingerprint, whatever its name, while its dates hold.
    Pin(Fingerprint),
}

/// The state that resumption needs: for each protocol name a configuration, whose verifier must be
/// the same one (rustls resumes no session that another verifier accepted), and whose store holds
/// the tickets.
type Sessions = Mutex<HashMap<String, (ClientConfig, Arc<Verifier>)>>;

impl Trust {
    fn new(accepted: Accepted) -> Self {
        Self { accepted, sessions: Arc::default() }
    }

    /// Returns trust in exactly the certificate with this fingerprint, whatever its name, while its
    /// dates hold.
    pub fn pin(fingerprint: Fingerprint) -> Self {
        Self::new(Accepted::Pin(fingerprint))
    }

    /// Returns trust in the PEM certificates of a file: certificates signed by one of them, or
    /// these themselves, for the right name and dates.
    ///
    /// # Errors
    /// A file that is missing or holds no certificate.
    pub fn from_file(path: &Path) -> Result<Self, IdentityError> {
        Ok(Self::new(Accepted::Certificates(read_certificates(path)?)))
    }

    /// Returns the client's TLS configuration under a protocol name, without resumption. For
    /// programs that measure TLS without the transports.
    ///
    /// # Errors
    /// Certificates that cannot be trusted.
    pub fn client_config_for(&self, alpn: &str) -> Result<ClientConfig, ConnectError> {
        Ok(self.fresh_config(alpn)?.0)
    }

    /// Returns a configuration for one connection, and the verifier that notes a refusal.
    pub(crate) fn client_config(
        &self,
        alpn: &str,
        resumption: bool,
    ) -> Result<(ClientConfig, Arc<Verifier>), ConnectError> {
        if !resumption {
            return self.fresh_config(alpn);
        }
        let mut sessions = self.sessions.lock();
        if let Some(kept) = sessions.get(alpn) {
            return Ok(kept.clone());
        }
        let (mut config, verifier) = self.fresh_config(alpn)?;
        config.resumption = Resumption::in_memory_sessions(CLIENT_SERVERS_MAX);
        sessions.insert(alpn.to_owned(), (config.clone(), verifier.clone()));
        Ok((config, verifier))
    }

    fn fresh_config(&self, alpn: &str) -> Result<(ClientConfig, Arc<Verifier>), ConnectError> {
        let failed = |reason: String| ConnectError::Untrusted(reason);
        let verifier = Arc::new(Verifier::new(&self.accepted).map_err(|error| failed(error.to_string()))?);
        let mut config = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| failed(error.to_string()))?
            .dangerous() // rustls's word for "not the stock verifier"; ours adds pins and a typed refusal.
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.into()];
        config.resumption = Resumption::disabled();
        // 0-RTT is off: see `Options::resumption`.
        config.enable_early_data = false;
        // Writes nothing unless the user names a file in SSLKEYLOGFILE, as for browsers. With it a
        // packet capture of the user's own connections can be read.
        config.key_log = Arc::new(rustls::KeyLogFile::new());
        Ok((config, verifier))
    }
}

impl fmt::Debug for Trust {
    /// Prints the trust without the sessions, which hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({:?})", self.accepted)
    }
}

/// A verifier that checks the server's certificate and notes the reason of a refusal, since neither
/// TLS nor QUIC hands that back typed.
#[derive(Debug)]
pub(crate) struct Verifier {
    provider: Arc<CryptoProvider>,
    rule: Rule,
    /// The refusals by rustls's words for them, which are all that comes back with the failed
    /// handshake. Several handshakes may share a verifier. Refusals that read the same are the
    /// same.
    refusals: Mutex<Vec<(String, ConnectError)>>,
}

#[derive(Debug)]
enum Rule {
    Chain(Arc<WebPkiServerVerifier>),
    Pin(Fingerprint),
}

/// The error that rustls is told of a certificate that is not the pinned one. It names the
/// certificate, so that two refusals read the same only if they are.
#[derive(Debug, thiserror::Error)]
#[error("the certificate has SHA-256 {0}, which is not the pinned one")]
struct NotPinned(Fingerprint);

impl Verifier {
    fn new(accepted: &Accepted) -> Result<Self, Box<dyn std::error::Error>> {
        let provider = crypto_provider();
        let rule = match accepted {
            Accepted::Pin(pin) => Rule::Pin(*pin),
            Accepted::Certificates(certificates) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates {
                    roots.add(certificate.clone())?;
                }
                Rule::Chain(
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?,
                )
            }
        };
        Ok(Self { provider, rule, refusals: Mutex::default() })
    }

    /// Returns the reason why the certificate was refused, if a handshake failed for that. `said`
    /// is the text of its failure.
    pub(crate) fn take_refusal(&self, said: &str) -> Option<ConnectError> {
        let mut refusals = self.refusals.lock();
        let index = refusals.iter().position(|(text, _)| said.contains(text))?;
        Some(refusals.remove(index).1)
    }

    fn refuse(&self, refusal: ConnectError, alert: rustls::Error) -> rustls::Error {
        let mut refusals = self.refusals.lock();
        if refusals.len() == REFUSALS_MAX {
            refusals.remove(0);
        }
        refusals.push((alert.to_string(), refusal));
        alert
    }

    fn check_pin(
        &self,
        pin: Fingerprint,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let presented = Fingerprint::of(certificate);
        if presented != pin {
            let refusal =
                ConnectError::PinMismatch { expected: pin.to_string(), presented: presented.to_string() };
            let alert = CertificateError::Other(OtherError(Arc::new(NotPinned(presented))));
            return Err(self.refuse(refusal, rustls::Error::InvalidCertificate(alert)));
        }
        // The pinned certificate, or whoever signed it, is its root: this checks its dates and that
        // it is well formed. The pin itself vouches for the rest.
        let mut roots = RootCertStore::empty();
        for root in [certificate].into_iter().chain(intermediates) {
            roots.add(root.clone().into_owned()).map_err(|error| self.untrusted(error))?;
        }
        ParsedCertificate::try_from(certificate)
            .and_then(|parsed| {
                let algorithms = self.provider.signature_verification_algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)
            })
            .map_err(|error| self.untrusted(error))
    }

    fn untrusted(&self, error: rustls::Error) -> rustls::Error {
        self.refuse(ConnectError::Untrusted(error.to_string()), error)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.rule {
            Rule::Chain(chain) => chain
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| self.untrusted(error)),
            Rule::Pin(pin) => {
                self.check_pin(*pin, end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
