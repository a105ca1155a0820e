//! Measured values, and the few numbers that describe them.

#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}

impl Samples {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    #[must_use]
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
    #[must_use]
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }
    /// The value below which this part of the samples lies, interpolated; NaN if there are none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let rank = part.clamp(0.0, 1.0) * last as f64;
        let (below, above) = (self.0[rank.floor() as usize], self.0[rank.ceil() as usize]);
        below + (above - below) * rank.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn quantiles_are_interpolated() {
        let samples: Samples = [4.0, 1.0, 2.0, 3.0].into_iter().collect();
        assert_eq!(samples.min(), 1.0);
        assert_eq!(samples.median(), 2.5);
        assert_eq!(samples.max(), 4.0);
        assert!(Samples::default().median().is_nan());
    }
}
