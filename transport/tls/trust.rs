//! The client's proof of the server: [`Trust`], by certificate file or by pin, and its
//! [`Fingerprint`].
//!
//! A [`Trust`] also keeps the TLS sessions that may be resumed under it.
//!
//! There is no mode that accepts any certificate. A pin is of the server's key, so that it outlives
//! a renewed certificate. It replaces the chain and the name check, nothing else: the handshake's
//! signature and the certificate's dates are still verified. TLS and QUIC use the same
//! configuration from here, with the same provider, version and suite.

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use ring::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    connection::error::{ConnectError, IdentityError},
    tls::{pem_files::read_certificates, suite::crypto_provider, x509},
};

/// The largest number of servers, by name, whose sessions a client keeps for one kind and one
/// [`Trust`]. rustls keeps eight tickets of each.
const CLIENT_SERVERS_MAX: usize = 32;
/// The largest number of refusals that were noted and not yet asked for, such as those of abandoned
/// handshakes.
const REFUSALS_MAX: usize = 16;

/// The SHA-256 of a server's public key, with its algorithm (the SubjectPublicKeyInfo of its
/// certificate, as in RFC 7469). Printed and parsed as 64 hexadecimal digits.
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
    /// Returns the fingerprint of a certificate's key.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let mut hash = [0; 32];
        let key = x509::public_key(certificate)?;
        hash.copy_from_slice(digest::digest(&digest::SHA256, &key).as_ref());
        Ok(Self(hash))
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
/// // A program that was told the key's fingerprint pins it. The certificate then needs no name.
/// let printed = identity.fingerprint().to_string();
/// let trust = Trust::pin(printed.parse()?);
/// # drop(trust);
/// # Ok::<(), netduel_transport::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct Trust {
    pub(super) accepted: Accepted,
    sessions: Arc<Sessions>,
}

#[derive(Clone, Debug)]
pub(super) enum Accepted {
    /// Certificates signed by one of these, or these themselves, for the right name and dates.
    Certificates(Vec<CertificateDer<'static>>),
    /// Each certificate of the key with this fingerprint, whatever its name, while its dates hold.
    Pin(Fingerprint),
}

/// The state that resumption needs: for each protocol name a configuration, whose verifier must be
/// the same one (rustls resumes no session that another verifier accepted), and whose store holds
/// the tickets.
type Sessions = Mutex<HashMap<String, (ClientConfig, Arc<Verifier>)>>;

impl Trust {
    pub(super) fn new(accepted: Accepted) -> Self {
        Self { accepted, sessions: Arc::default() }
    }

    /// Returns trust in each certificate of the key with this fingerprint, whatever its name, while
    /// its dates hold.
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
        let failed = |reason: String| ConnectError::Untrusted(reason.into());
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

/// The error that rustls is told of a key that is not the pinned one. It names the key, so that two
/// refusals read the same only if they are.
#[derive(Debug, thiserror::Error)]
#[error("the key has SHA-256 {0}, which is not the pinned one")]
struct NotPinned(Fingerprint);

impl Verifier {
    pub(super) fn new(accepted: &Accepted) -> Result<Self, Box<dyn std::error::Error>> {
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
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let presented = Fingerprint::of(certificate).map_err(|error| self.untrusted(error))?;
        if presented != pin {
            let refusal =
                ConnectError::PinMismatch { expected: pin.to_string(), presented: presented.to_string() };
            let alert = CertificateError::Other(OtherError(Arc::new(NotPinned(presented))));
            return Err(self.refuse(refusal, rustls::Error::InvalidCertificate(alert)));
        }
        // The pin vouches for the key, and the handshake's signature proves that the server has it.
        // Whoever signed the certificate does not matter.
        check_dates(certificate, now).map_err(|error| self.untrusted(error.into()))
    }

    fn untrusted(&self, error: rustls::Error) -> rustls::Error {
        self.refuse(ConnectError::Untrusted(error.to_string().into()), error)
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
            Rule::Pin(pin) => self.check_pin(*pin, end_entity, now).map(|()| ServerCertVerified::assertion()),
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

/// Refuses a certificate outside of its dates.
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let valid = x509::validity(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let unix =
        |time: SystemTime| UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default());
    let at = UNIX_EPOCH + Duration::from_secs(now.as_secs());
    if at < valid.start {
        Err(CertificateError::NotValidYetContext { time: now, not_before: unix(valid.start) })
    } else if at > valid.end {
        Err(CertificateError::ExpiredContext { time: now, not_after: unix(valid.end) })
    } else {
        Ok(())
    }
}
