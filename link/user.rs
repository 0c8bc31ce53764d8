//! The user that other people's programs run as: the one behind sudo, or one that was named.

use std::{env, fs, str::FromStr};

use thiserror::Error;

/// The file of the users that this system knows.
const PASSWD: &str = "/etc/passwd";
/// The id of a user that owns no files: "nobody" on most systems.
const NOBODY: u32 = 65_534;

/// A user of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The name and the home folder, where the system knows them.
    pub(crate) account: Option<(String, String)>,
}

/// A user that this system does not know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no user: give a name of {PASSWD}, or numbers as UID:GID")]
pub struct UnknownUser(String);

impl User {
    /// Returns the user that called sudo, as sudo tells; `None` without sudo, or if root called it.
    /// The caller must be root: anybody may set sudo's variables.
    pub fn behind_sudo() -> Option<Self> {
        let number = |name: &str| env::var(name).ok()?.parse().ok();
        Self::of_sudo(number("SUDO_UID")?, number("SUDO_GID")?)
    }

    fn of_sudo(uid: u32, gid: u32) -> Option<Self> {
        (uid != 0).then(|| Self::known(uid, gid)).filter(Self::is_real)
    }

    /// Returns a user that owns nothing.
    pub(crate) fn nobody() -> Self {
        Self { uid: NOBODY, gid: NOBODY, account: None }
    }

    fn known(uid: u32, gid: u32) -> Self {
        let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
        let account = accounts(&passwd).find(|it| it.uid == uid).and_then(|it| it.account);
        Self { uid, gid, account }
    }

    /// Whether the numbers are users: the largest one means "no change" to the kernel.
    fn is_real(&self) -> bool {
        self.uid != u32::MAX && self.gid != u32::MAX
    }
}

impl FromStr for User {
    type Err = UnknownUser;

    fn from_str(text: &str) -> Result<Self, UnknownUser> {
        let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
        parse(text, &passwd).filter(Self::is_real).ok_or_else(|| UnknownUser(text.into()))
    }
}

fn parse(text: &str, passwd: &str) -> Option<User> {
    if let Some((uid, gid)) = text.split_once(':') {
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let account = accounts(passwd).find(|it| it.uid == uid).and_then(|it| it.account);
        return Some(User { uid, gid, account });
    }
    accounts(passwd).find(|it| {
        let named = it.account.as_ref().is_some_and(|(name, _)| name == text);
        named || text.parse() == Ok(it.uid)
    })
}

/// Reads the lines `name:password:uid:gid:comment:home:shell`.
fn accounts(passwd: &str) -> impl Iterator<Item = User> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1)?.to_owned();
        Some(User { uid, gid, account: Some((name, home)) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str =
        "root:x:0:0:root:/root:/bin/sh\n# a comment\nada:x:1000:100:Ada,,,:/home/ada:/bin/sh\n";

    #[test]
    fn users_have_names_or_numbers() {
        let ada = User { uid: 1000, gid: 100, account: Some(("ada".into(), "/home/ada".into())) };
        for text in ["ada", "1000", "1000:100"] {
            assert_eq!(parse(text, LINES), Some(ada.clone()), "{text}");
        }
        assert_eq!(parse("1001:5", LINES), Some(User { uid: 1001, gid: 5, account: None }));
        for text in ["", "grace", "1001", "1001:", ":1", "-1:1", "4294967296:1", "1:x"] {
            assert_eq!(parse(text, LINES), None, "{text}");
        }
        assert!("4294967295:0".parse::<User>().is_err(), "the kernel's word for 'no change'");
    }

    #[test]
    fn root_is_not_behind_sudo() {
        assert_eq!(User::of_sudo(0, 0), None);
        assert_eq!(User::of_sudo(u32::MAX, 0), None);
        assert_eq!(User::of_sudo(4_000_000, 7).map(|user| (user.uid, user.gid)), Some((4_000_000, 7)));
    }
}
