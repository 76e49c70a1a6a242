//! Which language is spoken.

use stt_core::Language;

/// A language and its probability, as one window tells them.
pub(crate) type Guess = (Language, f32);

/// The most probable of the languages allowed (all, when none is named), with its share of their probability.
pub(crate) fn likeliest(guesses: impl IntoIterator<Item = Guess>, allowed: &[Language]) -> Option<Guess> {
    let mut best: Option<Guess> = None;
    let mut sum = 0.0;
    for (language, probability) in guesses {
        if !allowed.is_empty() && !allowed.contains(&language) {
            continue;
        }
        sum += probability;
        if best.is_none_or(|(_, most)| probability > most) {
            best = Some((language, probability));
        }
    }
    let share = |(language, probability): Guess| (language, if sum > 0.0 { probability / sum } else { 0.0 });
    if allowed.is_empty() { best } else { best.map(share) }
}

/// Takes the guesses of one window after another.
#[derive(Debug, Default)]
pub(crate) struct Vote(Vec<Guess>);

impl Vote {
    /// The language, when this guess is good enough to need no other.
    pub(crate) fn hear(&mut self, guess: Guess, threshold: f32) -> Option<Guess> {
        self.0.push(guess);
        (guess.1 > threshold).then_some(guess)
    }

    /// When no guess was good enough: the language guessed most often, the earliest of equals, with its highest
    /// probability.
    pub(crate) fn majority(&self) -> Option<Guess> {
        let votes = |language: Language| self.0.iter().filter(move |guess| guess.0 == language);
        let first = |best: Language, next: Language| {
            if votes(next).count() > votes(best).count() {
                next
            } else {
                best
            }
        };
        let winner = self.0.iter().map(|guess| guess.0).reduce(first)?;
        Some((winner, votes(winner).map(|guess| guess.1).fold(0.0, f32::max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_heard_and_shares_the_whole() {
        let [hi, mr, en, la] = ["hi", "mr", "en", "la"].map(|tag| Language::from_tag(tag).unwrap());
        let heard = [(la, 0.5), (en, 0.3), (mr, 0.1), (hi, 0.1)];
        assert_eq!(likeliest(heard, &[]), Some((la, 0.5)));
        assert_eq!(likeliest(heard, &[hi, en]), Some((en, 0.3 / (0.3 + 0.1))));
        assert_eq!(likeliest([(la, 0.5)], &[hi]), None, "a model that knows none of them");
        assert_eq!(likeliest([(hi, 0.0)], &[hi]), Some((hi, 0.0)));
    }

    #[test]
    fn a_sure_window_decides_alone_and_unsure_ones_by_majority() {
        let [hi, mr, en] = ["hi", "mr", "en"].map(|tag| Language::from_tag(tag).unwrap());
        let mut vote = Vote::default();
        assert_eq!(vote.majority(), None);
        assert_eq!(vote.hear((hi, 0.4), 0.5), None);
        assert_eq!(vote.majority(), Some((hi, 0.4)));
        assert_eq!(vote.hear((mr, 0.5), 0.5), None, "the threshold itself is not enough");
        assert_eq!(vote.majority(), Some((hi, 0.4)), "the earliest of equals");
        assert_eq!(vote.hear((mr, 0.3), 0.5), None);
        assert_eq!(vote.majority(), Some((mr, 0.5)));
        assert_eq!(vote.hear((en, 0.6), 0.5), Some((en, 0.6)));
    }
}
