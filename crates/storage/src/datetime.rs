//! Dates as SQL writes them, in UTC.

/// `YYYY-MM-DD HH:MM:SS` of a time in Unix seconds. Times before the year 0 and after 9999 are cut.
pub(crate) fn format(unix_s: i64) -> String {
    // Days of proleptic Gregorian years from 1 March of year 0, which puts the leap day last (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let unix_s = unix_s.clamp(-62_167_219_200, 253_402_300_799);
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Unix seconds of a date as [`format`] writes it; `T` may stand for the blank, and what follows the seconds is not
/// looked at. None if it is no date.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let separators = [(4, "-"), (7, "-"), (13, ":"), (16, ":")];
    let has = |(at, what): (usize, &str)| text.get(at..at + 1) == Some(what);
    if !separators.into_iter().all(has) || !matches!(text.get(10..11), Some(" " | "T")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |unix_s: i64, text: &str| {
            assert_eq!(format(unix_s), text);
            assert_eq!(parse(text), Some(unix_s), "{text}");
        };
        check(0, "1970-01-01 00:00:00");
        check(-1, "1969-12-31 23:59:59");
        check(951_782_400, "2000-02-29 00:00:00");
        check(951_868_799, "2000-02-29 23:59:59");
        check(1_700_000_000, "2023-11-14 22:13:20");
        check(4_102_444_800, "2100-01-01 00:00:00");
        check(-2_208_988_799, "1900-01-01 00:00:01");
        check(253_402_300_799, "9999-12-31 23:59:59");
        assert_eq!(format(i64::MAX), "9999-12-31 23:59:59");
        assert_eq!(parse("2023-11-14T22:13:20.5+00"), Some(1_700_000_000));
        for wrong in ["", "2023-11-14", "2023-13-14 22:13:20", "2023-11-14 24:13:20", "x023-11-14 22:13:20"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
