//! Certificates and kubeconfigs of a cluster.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// The cluster's authority, and what it signed.
pub struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes the authority and the key that ServiceAccount tokens are signed with.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name.push(DnType::CommonName, "the tests' cluster");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        std::fs::write(folder.join("ca.crt"), parameters.self_signed(&key)?.pem())?;
        std::fs::write(folder.join("ca.key"), key.serialize_pem())?;
        let tokens = KeyPair::generate()?;
        std::fs::write(folder.join("sa.key"), tokens.serialize_pem())?;
        std::fs::write(folder.join("sa.pub"), tokens.public_key_pem())?;
        Ok(Self { folder: folder.to_path_buf(), issuer: Issuer::new(parameters, key) })
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// `NAME.crt` and `NAME.key`, for a client and, with names or addresses, a server.
    pub fn sign(&self, name: &str, user: &str, group: Option<&str>, names: &[&str]) -> anyhow::Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            parameters.distinguished_name.push(DnType::OrganizationName, group);
        }
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        std::fs::write(self.folder.join(format!("{name}.crt")), certificate.pem())?;
        std::fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// `NAME.kubeconfig` for a user that [`Pki::sign`] made.
    pub fn kubeconfig(&self, name: &str, server: &str) -> anyhow::Result<String> {
        let file = self.file(&format!("{name}.kubeconfig"));
        write_kubeconfig(
            Path::new(&file),
            server,
            [&self.file("ca.crt"), &self.file(&format!("{name}.crt")), &self.file(&format!("{name}.key"))],
        )?;
        Ok(file)
    }
}

/// Writes a kubeconfig; the files are the authority, the certificate and the key.
pub fn write_kubeconfig(file: &Path, server: &str, [authority, certificate, key]: [&str; 3]) -> anyhow::Result<()> {
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: moongate
  cluster: {{server: \"{server}\", certificate-authority: \"{authority}\"}}
users:
- name: moongate
  user: {{client-certificate: \"{certificate}\", client-key: \"{key}\"}}
contexts:
- name: moongate
  context: {{cluster: moongate, user: moongate}}
current-context: moongate
"
    );
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
