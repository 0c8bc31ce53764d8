//! The facts that a certificate states: its dates, its names, its key, and whether we made it.

use std::{
    net::IpAddr,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{pki_types::CertificateDer, server::ParsedCertificate};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

/// The organisation in the subject of each certificate that this crate makes. Authorities issue no
/// such certificate, so whatever carries it may be renewed without asking.
pub(super) const SELF_MADE: &str = "self-made by Netduel";

/// The facts of one certificate.
#[derive(Debug)]
pub(super) struct Facts {
    /// The times between which clients accept the certificate.
    pub(super) valid: Range<SystemTime>,
    /// The common name of the subject.
    pub(super) common_name: String,
    /// The names and addresses that clients may know the server by.
    pub(super) names: Vec<String>,
    /// Whether this crate made the certificate, and signed it with the certificate's own key.
    pub(super) self_made: bool,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// The bytes are not a certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(certificate)?;
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        let ours = subject
            .iter_organization()
            .any(|it| it.as_str().is_ok_and(|organisation| organisation == SELF_MADE));
        let common_name = subject.iter_common_name().find_map(|it| it.as_str().ok());
        Ok(Self {
            valid: valid(&certificate),
            common_name: common_name.unwrap_or_default().to_owned(),
            names: names(&certificate),
            self_made: ours && subject.as_raw() == issuer.as_raw(),
        })
    }
}

/// Returns the times between which a certificate is valid.
///
/// # Errors
/// The bytes are not a certificate.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Result<Range<SystemTime>, String> {
    Ok(valid(&parse(certificate)?))
}

/// Returns the certificate's public key with its algorithm: the DER of its SubjectPublicKeyInfo.
///
/// # Errors
/// The bytes are not a certificate.
pub(super) fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, rustls::Error> {
    Ok(ParsedCertificate::try_from(certificate)?.subject_public_key_info().to_vec())
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    parse_x509_certificate(certificate).map(|(_, parsed)| parsed).map_err(|error| error.to_string())
}

fn valid(certificate: &X509Certificate<'_>) -> Range<SystemTime> {
    let validity = certificate.validity();
    time(validity.not_before.timestamp())..time(validity.not_after.timestamp())
}

/// Returns the time that is so many seconds after 1970, or before it.
fn time(unix_s: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_s.unsigned_abs());
    let time = if unix_s < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    // A year has four digits in a certificate, and every system has times for those after 1970.
    time.unwrap_or(UNIX_EPOCH)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
