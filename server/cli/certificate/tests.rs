//! Tests of the certificate over its life, with a clock of their own.

use std::collections::BTreeMap;

use super::*;

const DAY: Duration = Duration::from_secs(DAY_S);

/// A clock that tests set.
#[derive(Clone)]
struct Hand(Arc<Mutex<SystemTime>>);

impl Hand {
    fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    fn pass(&self, time: Duration) {
        *self.0.lock() += time;
    }

    fn clock(&self) -> Clock {
        let now = self.0.clone();
        Box::new(move || *now.lock())
    }
}

fn source(folder: Option<&Path>) -> Source {
    let names = vec!["localhost".to_owned()];
    Source { folder: folder.map(Into::into), copy: None, names, long_chain: false }
}

fn open(folder: &Path, hand: &Hand) -> anyhow::Result<Arc<Certificate>> {
    Certificate::open_at(source(Some(folder)), hand.clock())
}

fn said(opened: anyhow::Result<Arc<Certificate>>) -> String {
    format!("{:#}", opened.err().expect("refused"))
}

/// Returns the files of a folder by name, and the targets of links.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let path = entry.path();
            let bytes = fs::read_link(&path).map(|target| target.into_os_string().into_encoded_bytes());
            let bytes = bytes.unwrap_or_else(|_| fs::read(&path).expect("readable"));
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

/// Makes a certificate of an operator, as openssl or an authority would: without our mark.
fn by_an_operator(folder: &Path) -> Identity {
    let identity = Identity::generate_with_chain("an operator", &["localhost".into()]).expect("generated");
    identity.save(&folder.join(CERTIFICATE), &folder.join(KEY)).expect("saved");
    identity
}

#[test]
fn certificate_is_kept_in_its_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let hand = Hand::at(SystemTime::now());
    let first = open(&folder.path().join("new"), &hand).expect("made");
    let files = contents(&folder.path().join("new"));
    assert_eq!(files.keys().collect::<Vec<_>>(), [CERTIFICATE, KEY]);
    hand.pass(DAY * 59);
    let second = open(&folder.path().join("new"), &hand).expect("loaded");
    assert_eq!(second.identity().fingerprint(), first.identity().fingerprint());
    assert_eq!(contents(&folder.path().join("new")), files);
}

#[test]
fn start_renews_an_old_certificate() {
    for days in [61, 91, 10_000] {
        let folder = tempfile::tempdir().expect("folder");
        let hand = Hand::at(SystemTime::now());
        let first = open(folder.path(), &hand).expect("made");
        let before = contents(folder.path());
        hand.pass(DAY * days);
        let second = open(folder.path(), &hand).expect("renewed");
        assert_eq!(second.identity().fingerprint(), first.identity().fingerprint(), "after {days} days");
        assert!(second.identity().valid().contains(&(*hand.0.lock() + DAY * 89)));
        let after = contents(folder.path());
        assert!(after[KEY] == before[KEY] && after[CERTIFICATE] != before[CERTIFICATE]);
    }
}

/// The first start of a machine without a clock of its own: before 2026, and far after.
#[test]
fn wrong_clock_leaves_no_dead_certificate() {
    let now = SystemTime::now();
    for wrong in [SystemTime::UNIX_EPOCH, now + DAY * 5_000] {
        let folder = tempfile::tempdir().expect("folder");
        let pin = open(folder.path(), &Hand::at(wrong)).expect("made").identity().fingerprint();
        let again = open(folder.path(), &Hand::at(now)).expect("renewed");
        assert_eq!(again.identity().fingerprint(), pin);
        assert!(again.identity().valid().contains(&now));
    }
}

#[test]
fn running_server_renews_its_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    for folder in [None, Some(folder.path())] {
        let hand = Hand::at(SystemTime::now());
        let certificate = Certificate::open_at(source(folder), hand.clock()).expect("made");
        let pin = certificate.identity().fingerprint();
        hand.pass(DAY * 59);
        assert!(!certificate.is_due());
        hand.pass(DAY * 2);
        assert!(certificate.is_due());
        certificate.renew();
        assert!(!certificate.is_due());
        let valid = certificate.identity().valid();
        assert!(valid.contains(&(*hand.0.lock() + DAY * 89)));
        assert_eq!(certificate.identity().fingerprint(), pin);
        if let Some(folder) = folder {
            assert_eq!(
                open(folder, &hand).expect("loaded").identity().valid(),
                valid,
                "the file is new, too"
            );
        }
    }
}

/// The watching task does what the calls above do.
#[tokio::test(start_paused = true)]
async fn watch_renews_and_warns() {
    let hand = Hand::at(SystemTime::now());
    let certificate = Certificate::open_at(source(None), hand.clock()).expect("made");
    let watching = tokio::spawn(certificate.clone().watch());
    hand.pass(DAY * 61);
    let due = async {
        while certificate.is_due() {
            tokio::time::sleep(CHECK_PERIOD).await;
        }
    };
    tokio::time::timeout(CHECK_PERIOD * 1_000, due).await.expect("renewed");
    watching.abort();
}

/// Renewal must not win over the certificate that an operator has put there meanwhile.
#[test]
fn renewal_spares_an_operators_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let hand = Hand::at(SystemTime::now());
    let certificate = open(folder.path(), &hand).expect("made");
    for name in [CERTIFICATE, KEY] {
        fs::remove_file(folder.path().join(name)).expect("removed");
    }
    let operators = by_an_operator(folder.path());
    let files = contents(folder.path());
    hand.pass(DAY * 61);
    certificate.renew();
    assert_eq!(contents(folder.path()), files);
    let reloaded = certificate.reload().expect("reloaded");
    assert!(reloaded.contains(&operators.fingerprint().to_string()), "{reloaded}");
    assert_eq!(certificate.identity().fingerprint(), operators.fingerprint());
}

#[test]
fn operators_dead_certificate_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let end = by_an_operator(folder.path()).valid().end;
    let files = contents(folder.path());
    assert!(said(open(folder.path(), &Hand::at(end + DAY * 3))).contains("cert.pem expired 3 d ago"));
    assert!(said(open(folder.path(), &Hand::at(end - DAY * 100))).contains("is valid only in"));
    assert!(open(folder.path(), &Hand::at(end - DAY * 2)).is_ok());
    assert_eq!(contents(folder.path()), files, "never written");
}

#[test]
fn failed_reload_keeps_the_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let operators = by_an_operator(folder.path());
    let hand = Hand::at(SystemTime::now());
    let certificate = open(folder.path(), &hand).expect("loaded");
    let valid = certificate.identity().valid();
    hand.pass(DAY * 200);
    assert!(certificate.reload().expect_err("expired").contains("expired"));
    fs::write(folder.path().join(CERTIFICATE), "half a file").expect("written");
    assert!(certificate.reload().expect_err("damaged").contains("cert.pem"));
    fs::remove_file(folder.path().join(KEY)).expect("removed");
    assert!(certificate.reload().expect_err("no key").contains("no key.pem"));
    assert_eq!(certificate.identity().fingerprint(), operators.fingerprint());
    assert_eq!(certificate.identity().valid(), valid);
}

/// The folder of certbot has these very names but for the key's.
#[test]
fn half_a_pair_is_refused() {
    let now = Hand::at(SystemTime::now());
    for (there, missing) in [(CERTIFICATE, KEY), (KEY, CERTIFICATE)] {
        let folder = tempfile::tempdir().expect("folder");
        let (source, whole) = (tempfile::tempdir().expect("folder"), folder.path());
        by_an_operator(source.path());
        fs::copy(source.path().join(there), whole.join(there)).expect("copied");
        let key = fs::read_to_string(whole.join(there)).expect("readable");
        // A key that openssl made has no line of ours before its block.
        fs::write(whole.join(there), &key[key.find("-----").expect("a block")..]).expect("written");
        let files = contents(whole);
        let said = said(open(whole, &now));
        assert!(said.contains(&format!("holds {there} but no {missing}")), "{said}");
        assert_eq!(contents(whole), files);
    }
}

#[cfg(unix)]
#[test]
fn link_to_nothing_is_refused() {
    let now = Hand::at(SystemTime::now());
    for (linked, other) in [(KEY, CERTIFICATE), (CERTIFICATE, KEY)] {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(other), "mine").expect("written");
        std::os::unix::fs::symlink("/nonexistent/file", folder.path().join(linked)).expect("linked");
        let files = contents(folder.path());
        let said = said(open(folder.path(), &now));
        assert!(said.contains("link to a file that is not there"), "{said}");
        assert_eq!(contents(folder.path()), files);
    }
}

/// A first start that was killed between the two files leaves the key.
#[test]
fn killed_first_start_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let now = Hand::at(SystemTime::now());
    let pin = open(folder.path(), &now).expect("made").identity().fingerprint();
    fs::remove_file(folder.path().join(CERTIFICATE)).expect("removed");
    assert_eq!(open(folder.path(), &now).expect("made again").identity().fingerprint(), pin);
}

#[test]
fn warnings_come_once_a_day() {
    let folder = tempfile::tempdir().expect("folder");
    let end = by_an_operator(folder.path()).valid().end;
    let hand = Hand::at(end - DAY * 21);
    let certificate = open(folder.path(), &hand).expect("loaded");
    let mut warned = 0;
    for _ in 0..100 {
        hand.pass(DAY / 20);
        warned += u32::from(certificate.warn_of_end());
    }
    // On the 20th day before the end, and on the four days after.
    assert_eq!(warned, 5);
}

#[test]
fn copy_follows_the_renewal() {
    let folder = tempfile::tempdir().expect("folder");
    let copy = folder.path().join("copy.pem");
    let hand = Hand::at(SystemTime::now());
    let source = Source { copy: Some(copy.clone()), ..source(None) };
    let certificate = Certificate::open_at(source, hand.clock()).expect("made");
    let before = fs::read(&copy).expect("written");
    hand.pass(DAY * 61);
    certificate.renew();
    assert_ne!(fs::read(&copy).expect("written again"), before);
    assert!(certificate.reload().expect_err("in memory").contains("without --identity"));
}
