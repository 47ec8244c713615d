//! Dates for people, in UTC.

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A unix time in the form of C's `ctime`, which MI `uptime` has always shown: `Sat Nov 21 21:26:11 2026`.
pub fn date_time(unix_s: u64) -> String {
    let days = unix_s / 86_400;
    let second = unix_s % 86_400;
    let (year, month, day) = civil(days);
    // Day 0, 1 January 1970, was a Thursday.
    let weekday = usize::try_from(days % 7).ok().and_then(|at| WEEKDAYS.get(at)).unwrap_or(&"");
    let month = MONTHS.get(month).unwrap_or(&"");
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} {year}")
}

/// Year, month from 0 and day from 1 of a day counted from 1 January 1970 in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, usize, u64) {
    // The calendar repeats every 400 years, so the loop below runs at most 400 times.
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let mut year = 1970 + days / DAYS_IN_400_YEARS * 400;
    days %= DAYS_IN_400_YEARS;
    loop {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = 365 + u64::from(leap);
        if days < length {
            let february = 28 + u64::from(leap);
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in lengths.into_iter().enumerate() {
                if days < length {
                    return (year, month, days + 1);
                }
                days -= length;
            }
        }
        days -= length;
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::date_time;

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        for (unix_s, expected) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (1_550_662_645, "Wed Feb 20 11:37:25 2019"),
            (1_795_296_371, "Sat Nov 21 21:26:11 2026"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100"),
        ] {
            assert_eq!(date_time(unix_s), expected);
        }
    }
}
