//! Inner loops, compiled for each instruction set that a processor may have. They add in the same order whatever the width of
//! its vectors, and never fuse a product with a sum, so results are the same on all.

use std::ops::Range;

use multiversion::multiversion;

/// Outputs that are summed at the same time: two vectors of AVX2. Four rows of them are 8 of its 16 registers; the rest hold
/// weights and inputs.
const LANES: usize = 16;

/// A matrix by which rows are multiplied.
pub(crate) struct Matrix {
    /// For each 16 outputs the weights of all inputs.
    tiles: Vec<Vec<[f32; LANES]>>,
    bias: Vec<f32>,
}

/// Where the rows of a matrix lie in a slice, in values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub start: usize,
    pub stride: usize,
    pub count: usize,
}

impl Rows {
    fn at(self, row: usize) -> usize {
        self.start + row * self.stride
    }
}

impl Matrix {
    /// From a function of input and output. The number of outputs is that of the bias, a multiple of 16.
    pub(crate) fn new(inputs: usize, bias: Vec<f32>, weight: impl Fn(usize, usize) -> f32) -> Self {
        assert!(bias.len().is_multiple_of(LANES), "{} outputs", bias.len());
        let tile = |tile: usize| {
            (0..inputs)
                .map(|input| std::array::from_fn(|lane| weight(input, tile * LANES + lane)))
                .collect()
        };
        Self {
            tiles: (0..bias.len() / LANES).map(tile).collect(),
            bias,
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Sets rows of `output` to the bias plus the products of rows of `input`, which hold the inputs `taps` only.
    pub(crate) fn multiply(&self, taps: Range<usize>, input: &[f32], from: Rows, output: &mut [f32], to: Rows) {
        for row in 0..to.count {
            output[to.at(row)..][..self.outputs()].copy_from_slice(&self.bias);
        }
        self.multiply_add(taps, input, from, output, to);
    }

    /// Adds the products to what the rows of `output` hold.
    pub(crate) fn multiply_add(&self, taps: Range<usize>, input: &[f32], from: Rows, output: &mut [f32], to: Rows) {
        for (number, tile) in self.tiles.iter().enumerate() {
            let to = Rows {
                start: to.start + number * LANES,
                ..to
            };
            multiply_tile(&tile[taps.clone()], input, from, output, to);
        }
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn multiply_tile(weights: &[[f32; LANES]], input: &[f32], from: Rows, output: &mut [f32], to: Rows) {
    let mut row = 0;
    while row + 4 <= to.count {
        multiply_rows::<4>(weights, input, from, output, to, row);
        row += 4;
    }
    for row in row..to.count {
        multiply_rows::<1>(weights, input, from, output, to, row);
    }
}

#[inline(always)]
fn multiply_rows<const ROWS: usize>(
    weights: &[[f32; LANES]],
    input: &[f32],
    from: Rows,
    output: &mut [f32],
    to: Rows,
    row: usize,
) {
    let inputs: [&[f32]; ROWS] = std::array::from_fn(|at| &input[from.at(row + at)..][..weights.len()]);
    let mut sums = [[0.0f32; LANES]; ROWS];
    for (at, sums) in sums.iter_mut().enumerate() {
        sums.copy_from_slice(&output[to.at(row + at)..][..LANES]);
    }
    for (at, weights) in weights.iter().enumerate() {
        for (sums, input) in sums.iter_mut().zip(inputs) {
            let input = input[at];
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += input * weight;
            }
        }
    }
    for (at, sums) in sums.iter().enumerate() {
        output[to.at(row + at)..][..LANES].copy_from_slice(sums);
    }
}

/// Sets each value `x` to `log10(max(x, 1e-10))`, with an error of at most 3e-7, relative to the logarithm where that is above 1.
///
/// `x = 2^e m` with `m` in `[sqrt(1/2), sqrt(2))`; `ln m = 2 artanh((m - 1) / (m + 1))`, of which the series is taken up to the
/// ninth power.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn log10_at_least_1e_10(values: &mut [f32]) {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    for value in values {
        let bits = value.max(1e-10).to_bits();
        let offset = bits.wrapping_sub(SQRT_HALF_BITS);
        let exponent = (offset as i32) >> 23;
        let m = f32::from_bits((offset & 0x007f_ffff) + SQRT_HALF_BITS);
        let t = (m - 1.0) / (m + 1.0);
        let t2 = t * t;
        let series = 1.0 + t2 * (1.0 / 3.0 + t2 * (0.2 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0))));
        *value = exponent as f32 * std::f32::consts::LOG10_2 + 2.0 * std::f32::consts::LOG10_E * t * series;
    }
}

/// Sets `energies` to the weighted sum of the rows of `power`, a row for each weight.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn weighted_sum<const N: usize>(weights: &[f32], power: &[[f32; N]], energies: &mut [f32; N]) {
    *energies = [0.0; N];
    for (weight, power) in weights.iter().zip(power) {
        for (energy, power) in energies.iter_mut().zip(power) {
            *energy += weight * power;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_within_3e_7() {
        let mut worst = 0.0f64;
        for n in 0..2_000_000 {
            let value = 10f64.powf(-11.0 + 17.0 * f64::from(n) / 2e6) as f32;
            let mut found = [value];
            log10_at_least_1e_10(&mut found);
            let exact = f64::from(value.max(1e-10)).log10();
            // An f32 near 10 has steps of 1e-6: relative to that.
            worst = worst.max((f64::from(found[0]) - exact).abs() / exact.abs().max(1.0));
        }
        assert!(worst < 3e-7, "{worst}");
        let mut zeros = [0.0, -1.0, f32::NAN];
        log10_at_least_1e_10(&mut zeros);
        assert!(zeros.iter().all(|value| (value + 10.0).abs() < 1e-6), "{zeros:?}");
    }

    #[test]
    fn products_of_rows_are_those_of_a_plain_loop() {
        let weight = |input: usize, output: usize| ((input * 7 + output * 3) % 11) as f32 - 5.0;
        let bias: Vec<f32> = (0..32).map(|at| at as f32).collect();
        let matrix = Matrix::new(5, bias.clone(), weight);
        let input: Vec<f32> = (0..60).map(|at| (at % 13) as f32).collect();
        for count in [1, 3, 4, 7] {
            let from = Rows {
                start: 2,
                stride: 6,
                count,
            };
            let to = Rows {
                start: 1,
                stride: 40,
                count,
            };
            let mut output = vec![9.0; 300];
            matrix.multiply(1..4, &input, from, &mut output, to);
            for row in 0..count {
                for (at, bias) in bias.iter().enumerate() {
                    let sum: f32 = (1..4).map(|tap| input[2 + row * 6 + tap - 1] * weight(tap, at)).sum();
                    assert_eq!(output[1 + row * 40 + at], bias + sum, "row {row}, output {at}");
                }
            }
            assert_eq!(
                (output[0], output[1 + (count - 1) * 40 + 32]),
                (9.0, 9.0),
                "nothing else"
            );
        }
    }
}
