//! The parts of a URL that routing reads.

/// A URL, taken apart. Its parts are not yet in normal form.
pub(super) struct Url<'a> {
    pub(super) text: &'a str,
    pub(super) is_https: bool,
    /// Host and port.
    pub(super) authority: &'a str,
    /// Path and query; `/` when there are none.
    pub(super) target: String,
}

/// A text that is not a URL of HTTP.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a URL such as https://shop.example.com/cart?id=1")]
pub struct NotAUrl(String);

impl<'a> Url<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, NotAUrl> {
        let wrong = || NotAUrl(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        // The fragment stays with the client.
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return Err(wrong());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { text, is_https, authority, target })
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, expected: Option<(bool, &str, &str)>| {
            let found = Url::parse(text).ok();
            let found = found.as_ref().map(|url| (url.is_https, url.authority, url.target.as_str()));
            assert_eq!(found, expected, "{text}");
        };
        check("https://shop.example.com/cart?id=1#top", Some((true, "shop.example.com", "/cart?id=1")));
        check("HTTP://shop:8080", Some((false, "shop:8080", "/")));
        check("http://[::1]:80?q", Some((false, "[::1]:80", "/?q")));
        check("shop.example.com/cart", None);
        check("ftp://shop/", None);
        check("http:///cart", None);
        check("http://user@shop/", None);
    }
}
