//! Whose turn it is: known users one after the other, again and again, and new ones between them, each of whom comes once.

use super::Work;

/// How the requests are spread over known and new users: the multiples of this number meet every remainder of 100.
const STRIDE: u64 = 61;

/// New users among those who take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// How many of a hundred requests are of users who take turns; each of the others is of a new one.
    pub known_percent: u64,
    /// The number of the first new user; none of them takes turns.
    pub first_new_user: u32,
}

/// Whether a request is of a known user, by its number.
pub(super) fn is_known(number: u64, known_percent: u64) -> bool {
    number.wrapping_mul(STRIDE) % 100 < known_percent
}

/// How many of each kind have had their turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    /// Requests of users who take turns.
    known: u64,
    /// New users.
    pub new: u64,
}

impl Turns {
    /// The user of the next request, and how many passes of the users who take turns came before it.
    pub fn next(&mut self, work: &Work) -> (u32, u32) {
        if let Some(mix) = work.mix
            && !is_known(self.known + self.new, mix.known_percent)
        {
            let user = mix.first_new_user.saturating_add(self.new as u32);
            self.new += 1;
            return (user, 0);
        }
        let users = u64::from(work.users.max(1));
        let (user, pass) = (work.first_user + (self.known % users) as u32, (self.known / users) as u32);
        self.known += 1;
        (user, pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Operation;

    /// The users of the first requests and their passes.
    fn check(mix: Option<Mix>, expected: &[(u32, u32)]) {
        let work = Work { first_user: 5, mix, ..Work::once(Operation::Register, 3) };
        let mut turns = Turns::default();
        let seen: Vec<(u32, u32)> = expected.iter().map(|_| turns.next(&work)).collect();
        assert_eq!(seen, expected, "{mix:?}");
        let new = expected.iter().filter(|(user, _)| *user >= 100).count();
        assert_eq!(turns.new, new as u64);
    }

    #[test]
    fn without_new_users_all_take_turns() {
        check(None, &[(5, 0), (6, 0), (7, 0), (5, 1), (6, 1)]);
    }

    #[test]
    fn new_users_come_once_and_known_ones_again() {
        let mix = |known_percent| Some(Mix { known_percent, first_new_user: 100 });
        check(mix(0), &[(100, 0), (101, 0), (102, 0)]);
        check(mix(50), &[(5, 0), (100, 0), (6, 0), (101, 0), (7, 0), (5, 1), (102, 0)]);
    }

    #[test]
    fn of_a_hundred_requests_as_many_are_known_as_was_asked_for() {
        for known_percent in [0, 1, 30, 50, 99, 100] {
            let known = (1000..1100).filter(|number| is_known(*number, known_percent)).count();
            assert_eq!(known as u64, known_percent);
        }
    }
}
