//! Work in many small steps that is given up when its time is over.

/// Takes the step for each item, and before the first and each `every`-th after it asks whether to go on.
pub(crate) fn try_each<T, E>(
    items: impl IntoIterator<Item = T>,
    every: usize,
    go_on: &mut dyn FnMut() -> Result<(), E>,
    mut step: impl FnMut(T),
) -> Result<(), E> {
    for (number, item) in items.into_iter().enumerate() {
        if number.is_multiple_of(every) {
            go_on()?;
        }
        step(item);
    }
    Ok(())
}

/// Gives up at a look, and counts the looks.
#[cfg(test)]
pub(crate) struct Looks {
    /// Looks at which it goes on.
    pub granted: usize,
    pub taken: usize,
}

#[cfg(test)]
impl Looks {
    pub(crate) fn granted(granted: usize) -> Self {
        Self { granted, taken: 0 }
    }

    pub(crate) fn look(&mut self) -> Result<(), stt_core::Stop> {
        self.taken += 1;
        if self.taken > self.granted {
            Err(stt_core::Stop::Expired)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use stt_core::Stop;

    use super::*;

    #[test]
    fn no_step_is_taken_after_a_look_that_says_no() {
        for (granted, steps) in [(0, 0), (1, 1000), (2, 2000)] {
            let (mut looks, mut taken) = (Looks::granted(granted), 0);
            let given_up = try_each(0..3000, 1000, &mut || looks.look(), |_| taken += 1);
            assert_eq!((given_up, taken), (Err(Stop::Expired), steps));
            assert_eq!(looks.taken, granted + 1, "it asks no more");
        }
    }

    #[test]
    fn all_steps_are_taken_in_order_when_nothing_ends_them() {
        for (steps, looked) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
            let (mut looks, mut taken) = (Looks::granted(9), vec![]);
            assert_eq!(
                try_each(0..steps, 1000, &mut || looks.look(), |n| taken.push(n)),
                Ok(())
            );
            assert_eq!(taken, (0..steps).collect::<Vec<_>>());
            assert_eq!(looks.taken, looked);
        }
    }
}
