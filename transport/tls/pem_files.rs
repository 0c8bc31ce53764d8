//! Certificates and private keys in PEM files: read with care, and written once.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use netduel_atomic_file::{create_new, create_private, write_atomic};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use crate::connection::error::IdentityError;

/// The largest file of certificates or of a key, in bytes: a chain of five certificates has some 10
/// kB.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The first line of each key file that this crate makes. PEM allows text before the block.
const KEY_COMMENT: &str = "Self-made by Netduel. cert.pem beside it is renewed with this key.\n";

/// A private key that was read from a file.
pub(super) struct KeyFile {
    pub(super) key: Zeroizing<PrivateKeyDer<'static>>,
    /// Whether this crate made the file.
    pub(super) self_made: bool,
}

/// Reads the certificates of a PEM file, the server's own first.
///
/// # Errors
/// A file that is missing or holds no certificate.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let unusable = |reason: String| IdentityError::Unusable {
        path: path.display().to_string(),
        what: "PEM certificate",
        reason,
    };
    let file = File::open(path).map_err(|error| file_error(path, error))?;
    let bytes = read(file, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| unusable(e.to_string()))?;
    if certificates.is_empty() { Err(unusable("no CERTIFICATE block".into())) } else { Ok(certificates) }
}

/// Reads the private key of a PEM file. The open file is tested, not the path, so that nobody can
/// put another file there between the test and the reading.
///
/// # Errors
/// A file that is missing, holds no key, belongs to another user, or is open to others.
pub(super) fn read_key(path: &Path) -> Result<KeyFile, IdentityError> {
    let file = open_at_once(path).map_err(|error| file_error(path, error))?;
    refuse_exposed(&file, path)?;
    let bytes = read(file, path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| IdentityError::Unusable {
        path: path.display().to_string(),
        what: "PEM private key",
        reason: error.to_string(),
    })?;
    Ok(KeyFile { key: Zeroizing::new(key), self_made: bytes.starts_with(KEY_COMMENT.as_bytes()) })
}

/// Writes a private key as PEM to a new file with mode 0600.
///
/// # Errors
/// The system's error. A file that exists already is not overwritten.
pub(super) fn create_key(path: &Path, key: &PrivateKeyDer<'_>) -> Result<(), IdentityError> {
    let block = Zeroizing::new(to_pem("PRIVATE KEY", key.secret_der()));
    let mut pem = Zeroizing::new(String::with_capacity(KEY_COMMENT.len() + block.len()));
    pem.push_str(KEY_COMMENT);
    pem.push_str(&block);
    create_private(path, pem.as_bytes()).map_err(|error| file_error(path, error))
}

/// Writes certificates as PEM to a new file.
///
/// # Errors
/// The system's error. A file that exists already is not overwritten.
pub(super) fn create_certificates(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
    create_new(path, certificates_to_pem(chain).as_bytes()).map_err(|error| file_error(path, error))
}

/// Writes certificates as PEM, over the file that stands there.
///
/// # Errors
/// The system's error.
pub(super) fn write_certificates(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
    write_atomic(path, certificates_to_pem(chain).as_bytes()).map_err(|error| file_error(path, error))
}

pub(super) fn file_error(path: &Path, error: io::Error) -> IdentityError {
    IdentityError::File { path: path.display().to_string(), error }
}

/// Reads an open file into memory that is overwritten when it is dropped. The buffer has room for
/// all of it from the start, since a buffer that grew would leave a copy behind.
fn read(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let failed = |error| file_error(path, error);
    let length = file.metadata().map_err(failed)?.len().min(FILE_BYTES_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn certificates_to_pem(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|der| to_pem("CERTIFICATE", der)).collect()
}

fn to_pem(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

/// Opens a file to read, without the wait for a writer if it is a FIFO.
#[cfg(unix)]
fn open_at_once(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(not(unix))]
fn open_at_once(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Refuses an open key file that others can read, or that another user owns, who could change it.
#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata().map_err(|error| file_error(path, error))?;
    let (mode, owner) = (metadata.mode() & 0o777, metadata.uid());
    let path = || path.display().to_string();
    let own = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        let reason = "it is not a regular file".into();
        Err(IdentityError::Unusable { path: path(), what: "PEM private key", reason })
    } else if mode & 0o077 != 0 {
        Err(IdentityError::LooseKey { path: path(), mode })
    } else if !may_own(owner, own) {
        Err(IdentityError::ForeignKey { path: path(), owner, own })
    } else {
        Ok(())
    }
}

/// Whether a key file of user `owner` may serve a process of user `own`. Root may change every file
/// anyway.
#[cfg(unix)]
fn may_own(owner: u32, own: u32) -> bool {
    owner == own || owner == 0
}

#[cfg(not(unix))]
fn refuse_exposed(_file: &File, _path: &Path) -> Result<(), IdentityError> {
    Ok(()) // Windows guards files by access lists, which a user's own folders inherit.
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn foreign_keys_are_refused() {
        for (owner, own, allowed) in [(0, 0, true), (0, 1000, true), (1000, 1000, true), (1000, 0, false)] {
            assert_eq!(may_own(owner, own), allowed, "{owner} {own}");
        }
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key.pem");
        fs::write(&path, "no key").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        assert!(matches!(read_key(&path), Err(IdentityError::Unusable { what: "PEM private key", .. })));
        if std::os::unix::fs::chown(&path, Some(1000), None).is_err() {
            return println!("skipped: only root gives files away");
        }
        assert!(matches!(read_key(&path), Err(IdentityError::ForeignKey { owner: 1000, .. })));
    }

    #[test]
    fn devices_hold_no_key() {
        let error = read_key(Path::new("/dev/null")).err().expect("refused");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
