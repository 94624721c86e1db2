//! Finding values in a query string and in a Cookie header, as nginx finds them for its variables.

/// The raw value of an argument: nginx's `$arg_NAME` is not decoded, compares without case, and does not see an
/// argument without `=`.
pub(super) fn argument<'a>(args: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    args.split(|b| *b == b'&').find_map(|pair| {
        let (key, value) = (pair.get(..name.len())?, pair.get(name.len()..)?);
        let value = value.strip_prefix(b"=")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// A cookie's value in one Cookie header.
pub(super) fn cookie<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    header.split(|b| *b == b';' || *b == b',').find_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (key, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii_start());
        if !key.eq_ignore_ascii_case(name) {
            return None;
        }
        // A comma separates cookies only before the name: it may stand in a value.
        let from = value.as_ptr() as usize - header.as_ptr() as usize;
        header[from..].split(|b| *b == b';').next()
    })
}

/// Whether a header's name is written so in a variable: lower case, `_` for `-`.
pub(super) fn is_variable_of(header: &[u8], name: &[u8]) -> bool {
    header.len() == name.len()
        && header.iter().zip(name).all(|(h, n)| match h {
            b'-' => *n == b'_',
            h => h.to_ascii_lowercase() == *n,
        })
}

/// The user name of `Authorization: Basic`.
pub(super) fn basic_user(authorization: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    let (scheme, encoded) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim_ascii()).ok()?;
    let user = decoded.split(|b| *b == b':').next()?;
    (user.len() < decoded.len()).then(|| user.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{argument, basic_user, cookie, is_variable_of};

    #[test]
    fn arguments_as_nginx_sees_them() {
        let check = |args: &str, name: &str, is: Option<&str>| {
            assert_eq!(argument(args.as_bytes(), name.as_bytes()), is.map(str::as_bytes), "{args} {name}");
        };
        check("a=1&b=2", "b", Some("2"));
        check("A=1", "a", Some("1"));
        check("a", "a", None);
        check("a=", "a", Some(""));
        check("aa=1&a=2", "a", Some("2"));
        check("a=1&a=2", "a", Some("1"));
        check("a=%20+", "a", Some("%20+"));
        check("", "a", None);
        check("ab=1", "a", None);
    }

    #[test]
    fn cookies_as_nginx_sees_them() {
        let check = |header: &str, name: &str, is: Option<&str>| {
            assert_eq!(cookie(header.as_bytes(), name.as_bytes()), is.map(str::as_bytes), "{header} {name}");
        };
        check("a=1; b=2", "b", Some("2"));
        check("a=1;b=2", "a", Some("1"));
        check("A = 1", "a", Some("1"));
        check("ab=1; b=2", "b", Some("2"));
        check("a", "a", None);
        check("a=x,y; b=2", "a", Some("x,y"));
        check("a=b=c", "a", Some("b=c"));
    }

    #[test]
    fn header_names_in_variables() {
        assert!(is_variable_of(b"X-Request-Id", b"x_request_id"));
        assert!(is_variable_of(b"x_y", b"x_y"));
        assert!(!is_variable_of(b"X-Request", b"x_request_id"));
        assert!(!is_variable_of(b"X-A", b"x-a"));
    }

    #[test]
    fn basic_credentials() {
        assert_eq!(basic_user(b"Basic YTpi").as_deref(), Some(&b"a"[..]));
        assert_eq!(basic_user(b"basic YTpi").as_deref(), Some(&b"a"[..]));
        assert_eq!(basic_user(b"Basic YQ=="), None, "no colon");
        assert_eq!(basic_user(b"Bearer YTpi"), None);
        assert_eq!(basic_user(b"Basic !"), None);
    }
}
