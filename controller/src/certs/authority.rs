//! The CA that signs the certificates of the push and of the webhook: what it is and when it is renewed, without I/O.
//!
//! It lives in a Secret, and what is to be trusted in a ConfigMap that data planes mount. A mount follows within a minute
//! or two, so a new CA is only used a day after it was first to be trusted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use routing::PrivateBytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a CA is good for.
const CA_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Its successor is made this long before its end.
const CA_RENEWAL: Duration = Duration::from_secs(60 * 24 * 3600);
/// How long a certificate is good for; it lives in memory only.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(14 * 24 * 3600);
/// It is made anew when this is left.
const CERTIFICATE_RENEWAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// CAs that are trusted yet and used no more; with a life of a year there is one.
const PREVIOUS_MAX: usize = 3;
/// Certificates are good from this long before they are made: clocks differ.
const SKEW: Duration = HOUR;

/// The CA, as the Secret has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Authority {
    pub(super) current: Ca,
    /// To be trusted, and not used yet.
    next: Option<Ca>,
    /// Used no more, and trusted as long as something may be signed by it: PEM.
    previous: Vec<String>,
}

/// A certificate that signs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ca {
    certificate: String,
    key: PrivateBytes,
}

/// A chain and its key.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) not_after: SystemTime,
}

/// Keys of the Secret.
const CA_CRT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CRT: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";
const PREVIOUS_CRT: &str = "previous-ca.crt";

impl Authority {
    /// A new one.
    pub(super) fn new(now: SystemTime) -> Result<Self, Error> {
        Ok(Self { current: Ca::new(now)?, next: None, previous: Vec::new() })
    }

    /// From the data of a Secret; `Err` says what is wrong with them.
    pub(super) fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let text = |key: &str| {
            let bytes = data.get(key).filter(|bytes| !bytes.is_empty())?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let ca = |crt: &str, key: &str| {
            let Some(certificate) = text(crt) else { return Ok(None) };
            let key = text(key).ok_or_else(|| Error::Content(format!("has {crt} and no {key}")))?;
            let ca = Ca { certificate, key: PrivateBytes::new(key) };
            ca.validity()?;
            ca.key_pair()?;
            Ok::<_, Error>(Some(ca))
        };
        Ok(Self {
            current: ca(CA_CRT, CA_KEY)?.ok_or_else(|| Error::Content(format!("has no {CA_CRT}")))?,
            next: ca(NEXT_CRT, NEXT_KEY)?,
            previous: split(&text(PREVIOUS_CRT).unwrap_or_default()),
        })
    }

    /// For the data of a Secret.
    pub(super) fn write(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::new();
        let mut put = |crt: &str, key: &str, ca: &Ca| {
            data.insert(crt.to_owned(), ca.certificate.clone().into_bytes());
            data.insert(key.to_owned(), ca.key.expose().to_vec());
        };
        put(CA_CRT, CA_KEY, &self.current);
        if let Some(next) = &self.next {
            put(NEXT_CRT, NEXT_KEY, next);
        }
        if !self.previous.is_empty() {
            data.insert(PREVIOUS_CRT.to_owned(), self.previous.concat().into_bytes());
        }
        data
    }

    /// Everything that is to be trusted, as PEM.
    pub(super) fn bundle(&self) -> String {
        let mut bundle = self.current.certificate.clone();
        bundle.extend(self.next.iter().map(|ca| ca.certificate.as_str()));
        bundle.extend(self.previous.iter().map(String::as_str));
        bundle
    }

    /// What it must be now; none: what it is.
    pub(super) fn renewed(&self, now: SystemTime) -> Result<Option<Self>, Error> {
        let (_, end) = self.current.validity()?;
        let mut renewed = self.clone();
        if now >= end {
            // Nobody was there for months: what it signs is refused anyhow.
            renewed = Self::new(now)?;
        } else if let Some(next) = &self.next {
            let (made, _) = next.validity()?;
            if now >= made + SKEW + DAY {
                renewed.previous.insert(0, self.current.certificate.clone());
                renewed.previous.truncate(PREVIOUS_MAX);
                renewed.current = next.clone();
                renewed.next = None;
            }
        } else if now + CA_RENEWAL >= end {
            renewed.next = Some(Ca::new(now)?);
        }
        renewed.previous.retain(|certificate| validity(certificate).is_ok_and(|(_, end)| end > now));
        Ok((renewed != *self).then_some(renewed))
    }

    /// A certificate for these DNS names.
    pub(super) fn sign(&self, names: &[String], now: SystemTime) -> Result<Pair, Error> {
        let issuer = Issuer::new(self.current.params()?, self.current.key_pair()?);
        let key = KeyPair::generate()?;
        let (_, ca_end) = self.current.validity()?;
        let not_after = (now + CERTIFICATE_LIFE).min(ca_end);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "moongate-controller");
        params.not_before = (now - SKEW).into();
        params.not_after = not_after.into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| Error::Content(e.to_owned()))?;
        Ok(Pair { chain: vec![certificate.der().clone()], key, not_after })
    }
}

impl Pair {
    /// Whether it should be made anew.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        now + CERTIFICATE_RENEWAL >= self.not_after
    }
}

impl Ca {
    fn new(now: SystemTime) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut params = ca_params(&format!("Moongate controller CA {seconds}"));
        params.not_before = (now - SKEW).into();
        params.not_after = (now + CA_LIFE).into();
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), key: PrivateBytes::new(key.serialize_pem()) })
    }

    fn key_pair(&self) -> Result<KeyPair, Error> {
        Ok(KeyPair::from_pem(&String::from_utf8_lossy(self.key.expose()))?)
    }

    /// What a certificate must say of its issuer.
    fn params(&self) -> Result<CertificateParams, Error> {
        let der = der(&self.certificate)?;
        let parsed = parse(&der)?;
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Ok(ca_params(name.ok_or_else(|| Error::Content("has a CA without a common name".into()))?))
    }

    fn validity(&self) -> Result<(SystemTime, SystemTime), Error> {
        validity(&self.certificate)
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// From when to when a certificate is good.
fn validity(pem: &str) -> Result<(SystemTime, SystemTime), Error> {
    let der = der(pem)?;
    let validity = parse(&der)?.validity().clone();
    let time = |t: x509_parser::time::ASN1Time| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(t.timestamp()).unwrap_or_default())
    };
    Ok((time(validity.not_before), time(validity.not_after)))
}

fn der(pem: &str) -> Result<CertificateDer<'static>, Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| Error::Content(format!("has a CA that is not PEM: {e}")))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(der).map_err(|_| Error::Content("has a CA that is not X.509".into()))?;
    Ok(parsed.1)
}

/// The certificates of a bundle, each as PEM.
fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----\n";
    bundle.split_inclusive(END).filter(|part| part.ends_with(END)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Authority, DAY, split};

    fn at(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + DAY * u32::try_from(days).unwrap()
    }

    /// What is renewed over the days, as `days: current/next/previous` with names by the order in which they appear.
    #[test]
    fn a_ca_is_trusted_a_day_before_it_is_used() {
        let mut authority = Authority::new(at(0)).unwrap();
        let mut known = vec![authority.current.certificate.clone()];
        let mut history = Vec::new();
        for day in 0..700 {
            let Some(renewed) = authority.renewed(at(day)).unwrap() else { continue };
            let mut name = |pem: &String| {
                known.iter().position(|k| k == pem).unwrap_or_else(|| {
                    known.push(pem.clone());
                    known.len() - 1
                })
            };
            let current = name(&renewed.current.certificate);
            let next = renewed.next.as_ref().map(|ca| name(&ca.certificate));
            let previous: Vec<_> = renewed.previous.iter().map(&mut name).collect();
            history.push((day, current, next, previous));
            authority = renewed;
        }
        let expected = [
            (305, 0, Some(1), vec![]),
            (306, 1, None, vec![0]),
            (365, 1, None, vec![]),
            (610, 1, Some(2), vec![]),
            (611, 2, None, vec![1]),
            (670, 2, None, vec![]),
        ];
        assert_eq!(history, expected);
    }

    #[test]
    fn one_that_nobody_renewed_is_replaced_at_once() {
        let authority = Authority::new(at(0)).unwrap();
        let renewed = authority.renewed(at(400)).unwrap().unwrap();
        assert_ne!(renewed.current, authority.current);
        assert_eq!(renewed.bundle(), renewed.current.certificate);
    }

    #[test]
    fn a_secret_holds_all_of_it() {
        let first = Authority::new(at(0)).unwrap();
        let with_next = first.renewed(at(310)).unwrap().unwrap();
        let with_previous = with_next.renewed(at(312)).unwrap().unwrap();
        for authority in [first, with_next, with_previous] {
            assert_eq!(Authority::read(&authority.write()).unwrap(), authority);
            assert_eq!(split(&authority.bundle()).concat(), authority.bundle());
        }
        let mut data = Authority::new(at(0)).unwrap().write();
        data.insert("ca.key".into(), b"nothing".to_vec());
        assert!(Authority::read(&data).is_err());
        data.remove("ca.crt");
        let message = Authority::read(&data).unwrap_err().to_string();
        assert!(message.contains("has no ca.crt"), "{message}");
    }

    #[test]
    fn what_it_signs_is_trusted_by_the_bundle() {
        let authority = Authority::new(at(0)).unwrap().renewed(at(310)).unwrap().unwrap();
        let pair = authority.sign(&["a.example".into()], at(310)).unwrap();
        let verify = |bundle: &str, name: &str, time: SystemTime| {
            let mut roots = rustls::RootCertStore::empty();
            for pem in split(bundle) {
                roots.add(super::der(&pem).unwrap()).unwrap();
            }
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let verifier =
                rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider.into()).build();
            let now =
                rustls::pki_types::UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap());
            let name = name.to_owned().try_into().unwrap();
            use rustls::client::danger::ServerCertVerifier;
            verifier.unwrap().verify_server_cert(&pair.chain[0], &[], &name, &[], now).is_ok()
        };
        assert!(verify(&authority.bundle(), "a.example", at(310)));
        assert!(!verify(&authority.bundle(), "b.example", at(310)));
        assert!(!verify(&authority.bundle(), "a.example", at(325)));
        assert!(!verify(&Authority::new(at(0)).unwrap().bundle(), "a.example", at(310)));
        assert!(!pair.is_due(at(316)) && pair.is_due(at(317)));
    }
}
