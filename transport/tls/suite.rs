//! The one cipher suite of TLS and QUIC, and its provider.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring as provider};

use crate::connection::path_stats::TlsSuite;

/// The one cipher suite of TLS and QUIC, so that both pay for the same cipher. QUIC's first packets
/// need it anyway (RFC 9001, 5.2), and it has hardware support on x86-64 and on 64-bit ARM.
pub(crate) const SUITE: TlsSuite = TlsSuite::Tls13Aes128GcmSha256;

/// Returns the provider of TLS's cryptography, with this suite alone.
pub(super) fn crypto_provider() -> Arc<CryptoProvider> {
    let suite = provider::cipher_suite::TLS13_AES_128_GCM_SHA256;
    Arc::new(CryptoProvider { cipher_suites: vec![suite], ..provider::default_provider() })
}
