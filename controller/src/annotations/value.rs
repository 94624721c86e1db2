//! Values as ingress-nginx and nginx read them.

use super::Fault;

/// Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Result<bool, Fault> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Fault::value("is neither \"true\" nor \"false\", and ignored")),
    }
}

/// nginx's `on` and `off`.
pub(super) fn switch(text: &str) -> Result<bool, Fault> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Fault::value("is neither \"on\" nor \"off\", and ignored")),
    }
}

/// nginx's sizes: `8m`, `512k`, `1g`, or bytes; the units are powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, Fault> {
    let wrong = || Fault::value("is not a size such as \"8m\" (units: k, m, g), and ignored");
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "b" | "B" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Whole seconds, in milliseconds: ingress-nginx takes no units here.
pub(super) fn seconds(text: &str) -> Result<u64, Fault> {
    /// A year: people write it to mean "never", and clocks still add it without overflow.
    const MOST: u64 = 365 * 24 * 3600;
    match text.trim().parse::<u64>() {
        Ok(0) => {
            Err(Fault::value("is 0, which would end every request at once; ignored: write seconds such as \"60\""))
        }
        Ok(seconds) if seconds <= MOST => Ok(seconds * 1000),
        Ok(_) => Err(Fault::value(format!("is more than a year, and ignored: write at most \"{MOST}\""))),
        Err(_) => Err(Fault::value("is not a whole number of seconds such as \"60\" (without a unit), and ignored")),
    }
}

/// A whole number within bounds.
pub(super) fn number(text: &str, most: u32) -> Result<u32, Fault> {
    match text.trim().parse::<u32>() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(Fault::value(format!("is not a whole number from 0 to {most}, and ignored"))),
    }
}
