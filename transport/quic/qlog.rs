//! The qlog of a client's connection (draft-ietf-quic-qlog-main-schema), on request: packets sent,
//! received and lost, and the state of loss recovery.
//!
//! Nothing is written unless the user names a folder in the variable `QLOGDIR`, as for other QUIC
//! programs. Each connection has a file of JSON text sequences (RFC 7464) there.

use std::{
    fs::File,
    io::{self, LineWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use quinn_proto::{QlogConfig, TransportConfig};

/// The variable that names the folder.
const VARIABLE: &str = "QLOGDIR";
/// The largest number of files of a process: the players of a run, and not those of a load test.
const FILES_MAX: usize = 256;
/// The length from which on a file takes no further record, in bytes. A record has about 150 bytes,
/// so that ten minutes of a match at 60 Hz fit.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The first byte of a record (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1e;

/// The files that this process has begun.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// Returns the configuration of one connection with its log, if a log is wanted.
pub(super) fn logged(mut config: TransportConfig) -> TransportConfig {
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return config };
    let number = FILES.fetch_add(1, Relaxed);
    if number >= FILES_MAX {
        return config;
    }
    let path = folder.join(format!("{}-{number}.sqlog", std::process::id()));
    match Log::create(&path) {
        Ok(log) => {
            let mut qlog = QlogConfig::default();
            qlog.writer(Box::new(log)).title(Some("a client of netduel-transport".into()));
            config.qlog_stream(qlog.into_stream());
        }
        Err(error) => tracing::warn!("no qlog in {}: {error}", path.display()),
    }
    config
}

/// A file of whole records, with a limit. Each record leaves at once, since a process may be
/// killed.
struct Log {
    file: LineWriter<File>,
    written_bytes: u64,
    bytes_max: u64,
    /// Whether the file is full, or could not be written.
    over: bool,
}

impl Log {
    fn create(path: &Path) -> io::Result<Self> {
        let file = LineWriter::new(File::create(path)?);
        Ok(Self { file, written_bytes: 0, bytes_max: FILE_BYTES_MAX, over: false })
    }
}

impl Write for Log {
    /// Writes bytes, or drops them once the log is over. An error here would end in a warning for
    /// each packet.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.first() == Some(&RECORD_SEPARATOR) && self.written_bytes >= self.bytes_max {
            self.over = true;
        }
        if !self.over {
            if let Err(error) = self.file.write_all(bytes) {
                tracing::warn!("the qlog ends here: {error}");
                self.over = true;
            }
            self.written_bytes += bytes.len() as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.over { Ok(()) } else { self.file.flush() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_log_ends_with_a_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = Log { bytes_max: 20, ..Log::create(&path).expect("created") };
        for number in 0..9 {
            for part in ["\u{1e}", "{\"number\":", &number.to_string(), "}\n"] {
                log.write_all(part.as_bytes()).expect("an error would be told for each packet");
            }
        }
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(text, "\u{1e}{\"number\":0}\n\u{1e}{\"number\":1}\n");
    }
}
