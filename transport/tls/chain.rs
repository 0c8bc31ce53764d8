//! An identity with a certificate chain of the size of a public authority's, for measurements of
//! handshakes.
//!
//! A server's first flight over QUIC is limited to three times what the client sent (RFC 9000,
//! 8.1), which is 3,600 bytes. A small self-signed certificate stays far below. The certificates of
//! 35 % of the servers on the web exceed the limit (Nawrocki et al., CoNEXT 2022): chains with RSA
//! keys have 3 to 5 kB, and those with elliptic ones about 2 kB.

use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::identity::{Identity, dated, failed, random};
use crate::IdentityError;

/// The bytes that stand for what the certificate of a public authority has besides: an RSA key and
/// signature, log timestamps, addresses, policies and more names. With them the chain has 4 kB, the
/// middle of the range of RSA chains.
const LEAF_EXTRA_BYTES: usize = 1_700;
/// The same for the intermediate certificate, which has a longer signature and no log timestamps.
const INTERMEDIATE_EXTRA_BYTES: usize = 1_400;
/// The number of the extension that carries these bytes, from the arc for examples.
const EXTRA_OID: [u64; 7] = [2, 999, 1, 1, 1, 1, 1];

impl Identity {
    /// Makes a fresh identity whose certificate an intermediate one has signed, and sends both:
    /// some 4,000 bytes. Nobody has the root. Clients trust the intermediate certificate, or pin
    /// the server's.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn generate_with_chain(common_name: &str, names: &[String]) -> Result<Self, IdentityError> {
        let now = SystemTime::now();
        let params = |name: &str, names: &[String], extra: Vec<u8>| {
            let mut params = dated(CertificateParams::new(names).map_err(failed)?, now);
            params.distinguished_name.push(DnType::CommonName, name);
            // Random bytes, which no reader needs to know.
            params.custom_extensions.push(CustomExtension::from_oid_content(&EXTRA_OID, extra));
            Ok::<_, IdentityError>(params)
        };
        let key = || KeyPair::generate().map_err(failed);
        let authority = |mut params: CertificateParams| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };

        let root = Issuer::new(authority(params("root", &[], vec![])?), key()?);
        let (params_of_intermediate, intermediate_key) =
            (authority(params("intermediate", &[], random::<INTERMEDIATE_EXTRA_BYTES>()?.into())?), key()?);
        let intermediate = params_of_intermediate.signed_by(&intermediate_key, &root).map_err(failed)?;
        let issuer = Issuer::new(params_of_intermediate, intermediate_key);
        let leaf_key = key()?;
        let leaf = params(common_name, names, random::<LEAF_EXTRA_BYTES>()?.into())?;
        let leaf = leaf.signed_by(&leaf_key, &issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        Self::new(vec![leaf.der().clone(), intermediate.der().clone()], Zeroizing::new(key)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_has_a_common_size() {
        let identity = Identity::generate_with_chain("a game", &["localhost".into()]).expect("generated");
        let sizes: Vec<usize> = identity.certificates().iter().map(|it| it.len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!((3_800..4_200).contains(&sizes.iter().sum::<usize>()), "{sizes:?}");
    }
}
