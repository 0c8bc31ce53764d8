//! Quantiles of a few figures, such as one for each repeat.

/// Figures in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// Returns the number of figures.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the value below which this share of the figures lies, interpolated between two (R-7
    /// of Hyndman & Fan, The American Statistician 50, 1996); not a number without any figures.
    pub fn quantile(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let place = share * last as f64;
        let (below, above) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }

    /// Returns the median.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

impl FromIterator<f64> for Quantiles {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_rounds() {
        let rounds: Quantiles = [4.0, 1.0, 3.0, 2.0].into_iter().collect();
        assert_eq!((rounds.median(), rounds.quantile(0.25), rounds.quantile(1.0)), (2.5, 1.75, 4.0));
        assert!(Quantiles::default().median().is_nan());
    }
}
