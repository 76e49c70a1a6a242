//! A certificate that vouches for itself, by the JDK's keytool.

use std::path::{Path, PathBuf};

use super::Trouble;
use super::library::output;
use super::trouble::failed;

/// The password of the key store, which lives as long as the cluster and is for nobody.
pub(super) const PASSWORD: &str = "loopback";

/// The certificate's file: PEM, for whoever is to trust the brokers.
pub(super) const PEM: &str = "ca.pem";

/// A server's key and its certificate.
pub(super) struct Certificate {
    /// PKCS #12, for the brokers.
    pub(super) store: PathBuf,
}

impl Certificate {
    /// For 127.0.0.1, for a day.
    pub(super) fn make(directory: &Path) -> Result<Self, Trouble> {
        let (store, pem) = (directory.join("key.p12"), directory.join(PEM));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let common = |command: &str| {
            let store = text(&store);
            [
                "-alias",
                "broker",
                "-keystore",
                &store,
                "-storetype",
                "PKCS12",
                "-storepass",
                PASSWORD,
                command,
            ]
            .map(str::to_owned)
            .to_vec()
        };
        let mut generate = common("-genkeypair");
        let details = [
            "-keyalg",
            "EC",
            "-groupname",
            "secp256r1",
            "-dname",
            "CN=127.0.0.1",
            "-validity",
            "1",
            "-ext",
            "san=ip:127.0.0.1,dns:localhost",
            "-ext",
            "bc:c",
        ];
        generate.extend(details.map(str::to_owned));
        let mut export = common("-exportcert");
        export.extend(["-rfc".to_owned(), "-file".to_owned(), text(&pem)]);
        for arguments in [generate, export] {
            output("keytool", &arguments).map_err(failed("cannot make a certificate with the JDK's keytool"))?;
        }
        Ok(Self { store })
    }
}
