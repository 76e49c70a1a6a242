//! Whom TLS trusts.

use std::sync::Arc;

use rustls::RootCertStore;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

/// Certificates of private authorities, trusted besides those of the system.
#[derive(Clone)]
pub struct PrivateRoots(Vec<Certificate<'static>>);

/// Why a text holds no [`PrivateRoots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoots {
    /// Not PEM.
    #[error("not certificates in PEM form")]
    Syntax,
    /// PEM without a certificate.
    #[error("no certificate in it")]
    None,
    /// One of them is none; counted from 1.
    #[error("certificate {0} in it is none that can be trusted")]
    Certificate(usize),
}

impl PrivateRoots {
    /// Reads PEM: one certificate after another. Keys among them are passed over.
    ///
    /// # Errors
    /// When there is none, or one that is damaged.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadRoots> {
        let mut roots = vec![];
        for item in ureq::tls::parse_pem(pem) {
            if let PemItem::Certificate(root) = item.map_err(|_| BadRoots::Syntax)? {
                // The client would pass over what it cannot use, and say nothing.
                let parsed = RootCertStore::empty().add(root.der().to_vec().into());
                parsed.map_err(|_| BadRoots::Certificate(roots.len() + 1))?;
                roots.push(root);
            }
        }
        if roots.is_empty() {
            return Err(BadRoots::None);
        }
        Ok(Self(roots))
    }
}

impl std::fmt::Debug for PrivateRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateRoots({} certificates)", self.0.len())
    }
}

/// Trust in the system's roots, which the client reads by itself, or in these and the private ones.
pub(super) fn tls(private: Option<&PrivateRoots>) -> TlsConfig {
    let roots = match private {
        None => RootCerts::PlatformVerifier,
        Some(private) => {
            let system = rustls_native_certs::load_native_certs();
            for error in &system.errors {
                log::warn!("some of the system's root certificates cannot be read: {error}");
            }
            let system = system.certs.iter().map(|root| Certificate::from_der(root).to_owned());
            RootCerts::Specific(Arc::new(system.chain(private.0.iter().cloned()).collect()))
        }
    };
    TlsConfig::builder().root_certs(roots).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_at_once() {
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, why) in [
            ("", BadRoots::None),
            ("hello", BadRoots::None),
            (damaged, BadRoots::Certificate(1)),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", BadRoots::Syntax),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                BadRoots::Syntax,
            ),
        ] {
            assert_eq!(PrivateRoots::from_pem(pem.as_bytes()).unwrap_err(), why, "{pem}");
        }
    }
}
