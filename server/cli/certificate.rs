//! The server's certificate over its life: made, loaded, renewed while it serves, and read again on
//! request.
//!
//! A self-made certificate is renewed with its key, so that pins and trusted files outlive it. The
//! files of an operator are never written.

use std::{
    convert::Infallible,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail, ensure};
use netduel_transport::Identity;
use parking_lot::Mutex;

/// The names of the two files in the folder of `--identity`.
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
/// The period of the check of the dates. A machine without a clock of its own begins with a wrong
/// time, and its clients wait no longer than this once the time is set.
const CHECK_PERIOD: Duration = Duration::from_secs(60);
/// The remaining life from which on the server warns: time to renew by hand, twice.
const WARN_BEFORE: Duration = Duration::from_secs(20 * DAY_S);
/// The period of a warning that stays true: once a day, so that logs stay readable.
const WARN_PERIOD: Duration = Duration::from_secs(DAY_S);
const DAY_S: u64 = 86_400;

/// The current time. Tests bring their own.
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// The source of the certificate, as the command line names it.
pub(crate) struct Source {
    /// The folder with the two files; `None` keeps the certificate in memory only.
    pub(crate) folder: Option<PathBuf>,
    /// A further file for the certificate, which clients trust.
    pub(crate) copy: Option<PathBuf>,
    /// The names and addresses of a self-made certificate.
    pub(crate) names: Vec<String>,
    /// Whether an intermediate certificate signs it, as those of public authorities.
    pub(crate) long_chain: bool,
}

/// The certificate that the server presents, and where it comes from.
pub(crate) struct Certificate {
    identity: Identity,
    source: Source,
    now: Clock,
    warned: Mutex<Option<SystemTime>>,
}

impl Certificate {
    /// Loads the certificate, or makes it where there is none.
    ///
    /// # Errors
    /// The files are unusable, are only half there, or clients would refuse the certificate now.
    /// The error says what to do; nothing of the user's was changed.
    pub(crate) fn open(source: Source) -> anyhow::Result<Arc<Self>> {
        Self::open_at(source, Box::new(SystemTime::now))
    }

    fn open_at(source: Source, now: Clock) -> anyhow::Result<Arc<Self>> {
        let identity = obtain(&source, now())?;
        let certificate = Self { identity, source, now, warned: Mutex::default() };
        certificate.write_copy()?;
        certificate.warn_of_end();
        Ok(Arc::new(certificate))
    }

    /// Returns the identity that listeners are bound with. It follows each renewal.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads the folder again, and presents its certificate to new clients from now on. Returns a
    /// sentence for the log.
    ///
    /// # Errors
    /// The reason why the certificate of before stays.
    fn reload(&self) -> Result<String, String> {
        if self.source.folder.is_none() {
            return Err(
                "there is no certificate to read again: it lives in memory, without --identity".into()
            );
        }
        self.take(obtain(&self.source, (self.now)())).map_err(|error| format!("{error:#}"))?;
        let left = days(until(&self.identity.valid(), (self.now)()));
        Ok(format!(
            "new clients get the certificate with pin {}, good for {left}",
            self.identity.fingerprint()
        ))
    }

    /// Reloads on a thread for that, and logs the outcome: what SIGHUP asks for.
    pub(crate) async fn reload_beside(self: &Arc<Self>) {
        let reloading = self.clone();
        match tokio::task::spawn_blocking(move || reloading.reload()).await {
            Ok(Ok(said)) => tracing::info!("{said}"),
            Ok(Err(error)) => tracing::warn!("the certificate stays as it was: {error}"),
            // The panic's hook has told why.
            Err(_) => tracing::error!("the certificate stays as it was: a bug"),
        }
    }

    /// Renews a self-made certificate whenever that is due, and warns before the end of another.
    pub(crate) async fn watch(self: Arc<Self>) -> Infallible {
        loop {
            tokio::time::sleep(CHECK_PERIOD).await;
            if self.is_due() {
                // A write to a disk takes longer than matches may wait.
                let renewing = self.clone();
                // A panic there is logged by its hook, and the next check tries again.
                let _ = tokio::task::spawn_blocking(move || renewing.renew()).await;
            }
            self.warn_of_end();
        }
    }

    /// Whether it is time to renew a certificate that is ours to renew.
    fn is_due(&self) -> bool {
        self.identity.is_self_made() && is_due(&self.identity.valid(), (self.now)())
    }

    /// Renews the certificate. Where the disk refuses it, the certificate is renewed in memory.
    fn renew(&self) {
        let now = (self.now)();
        let renewed = self.identity.renewed(now).map_err(anyhow::Error::from);
        let saved = renewed.and_then(|renewed| {
            self.identity.replace(&renewed);
            tracing::info!("the self-made certificate was renewed, with the same pin");
            if let Some(folder) = &self.source.folder {
                replace_self_made(folder, &renewed)?;
            }
            self.write_copy()
        });
        if let Err(error) = saved {
            tracing::warn!("the renewed certificate is in no file: {error:#}");
        }
    }

    fn take(&self, identity: anyhow::Result<Identity>) -> anyhow::Result<()> {
        self.identity.replace(&identity?);
        self.write_copy()
    }

    fn write_copy(&self) -> anyhow::Result<()> {
        self.source.copy.as_ref().map_or(Ok(()), |path| Ok(self.identity.save_certificate(path)?))
    }

    /// Warns if the end is near, once a day. Returns whether it did.
    fn warn_of_end(&self) -> bool {
        let now = (self.now)();
        let left = until(&self.identity.valid(), now);
        let mut warned = self.warned.lock();
        // A clock that was set back counts as a day that has passed.
        let lately = |then: SystemTime| now.duration_since(then).is_ok_and(|since| since < WARN_PERIOD);
        if left.is_some_and(|left| left > WARN_BEFORE) || warned.is_some_and(lately) {
            return false;
        }
        *warned = Some(now);
        tracing::warn!(
            "the certificate is good for {}, and clients refuse it after that: renew it, and send SIGHUP",
            days(left)
        );
        true
    }
}

/// Returns the identity that the source names, and makes or renews what is ours to make.
fn obtain(source: &Source, now: SystemTime) -> anyhow::Result<Identity> {
    const NAME: &str = netduel_protocol::NAME;
    let Some(folder) = &source.folder else {
        return Ok(match source.long_chain {
            true => Identity::generate_with_chain(NAME, &source.names)?,
            false => Identity::generate_as(NAME, &source.names, now)?,
        });
    };
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    let identity = match (is_there(&certificate)?, is_there(&key)?) {
        (true, true) => Identity::load(&certificate, &key)?,
        (false, false) => {
            let made = Identity::generate_as(NAME, &source.names, now)?;
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
            made.save(&certificate, &key)?;
            return Ok(made);
        }
        (false, true) => match Identity::generate_for_saved(&key, NAME, &source.names, now)? {
            // A first start was cut short, or the certificate was deleted to have another.
            Some(made) => {
                made.save_certificate(&certificate)?;
                return Ok(made);
            }
            None => return Err(half(folder, KEY, CERTIFICATE)),
        },
        (true, false) => return Err(half(folder, CERTIFICATE, KEY)),
    };
    if identity.is_self_made() && is_due(&identity.valid(), now) {
        let renewed = identity.renewed(now)?;
        tracing::info!("the self-made certificate is renewed, with the same pin");
        replace_self_made(folder, &renewed)?;
        return Ok(renewed);
    }
    refuse_invalid(&identity.valid(), now, &certificate)?;
    Ok(identity)
}

/// Whether something stands at `path`.
///
/// # Errors
/// A link to nothing: what it should lead to is the user's, and is missing.
fn is_there(path: &Path) -> anyhow::Result<bool> {
    if path.symlink_metadata().is_err() {
        return Ok(false);
    }
    ensure!(
        path.exists(),
        "{} is a link to a file that is not there: mend the link, or remove it; nothing was changed",
        path.display()
    );
    Ok(true)
}

fn half(folder: &Path, there: &str, missing: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{folder} holds {there} but no {missing}: put {missing} beside it (certbot calls the two files fullchain.pem \
         and privkey.pem), or name an empty folder to have a certificate made; nothing was changed",
        folder = folder.display()
    )
}

/// Writes a renewed certificate over the self-made one in the folder.
///
/// # Errors
/// Another certificate stands there by now, or the system's error.
fn replace_self_made(folder: &Path, renewed: &Identity) -> anyhow::Result<()> {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    let there = Identity::load(&certificate, &key)?;
    if !there.is_self_made() || there.fingerprint() != renewed.fingerprint() {
        bail!("{} holds another certificate now, and SIGHUP takes it over", folder.display());
    }
    Ok(renewed.save_certificate(&certificate)?)
}

/// Whether two thirds of a life are over, or the clock was wrong when it began.
fn is_due(valid: &Range<SystemTime>, now: SystemTime) -> bool {
    let life = valid.end.duration_since(valid.start).unwrap_or_default();
    !(valid.start..valid.start + life / 3 * 2).contains(&now)
}

/// Refuses a certificate that every client would refuse.
fn refuse_invalid(valid: &Range<SystemTime>, now: SystemTime, path: &Path) -> anyhow::Result<()> {
    let path = path.display();
    let between = |earlier: SystemTime, later: SystemTime| days(later.duration_since(earlier).ok());
    ensure!(
        now >= valid.start,
        "{path} is valid only in {}, by this machine's clock: set the clock, or put a valid certificate there",
        between(now, valid.start)
    );
    ensure!(
        now < valid.end,
        "{path} expired {} ago, and clients would refuse it: put a renewed certificate and its key there, or name \
         an empty folder to have a certificate made",
        between(valid.end, now)
    );
    Ok(())
}

/// Returns the time until the end of `valid`; `None` after it.
fn until(valid: &Range<SystemTime>, now: SystemTime) -> Option<Duration> {
    valid.end.duration_since(now).ok()
}

/// Returns a time in whole days, or in hours below one day.
fn days(time: Option<Duration>) -> String {
    match time.unwrap_or_default().as_secs() {
        seconds @ DAY_S.. => format!("{} d", seconds / DAY_S),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests;
