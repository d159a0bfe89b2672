//! Whether the model fits the data, in words.

use crate::numbers;
use sidereal_inference::method::fit_check::{Fit, FitCheck, Verdict};

/// `p 0.16: chi-square 10.2 for 9 data and 2.7 effective parameters; ...`
pub fn fit(fit: &Fit) -> String {
    match fit {
        Fit::NotChecked { reason } => format!("not checked: {reason}"),
        Fit::Checked(check) => {
            let verdict = match check.verdict() {
                Verdict::Fits => "",
                Verdict::Doubtful => "DOUBTFUL, ",
                Verdict::Misfit => "THE MODEL DOES NOT FIT, ",
            };
            format!("{verdict}{}: {}", p(check.p), parts(check))
        }
    }
}

/// As [`fit`], without the tests that it is made of where the model fits.
pub fn fit_in_short(found: &Fit) -> String {
    match found {
        Fit::Checked(check) if check.verdict() == Verdict::Fits => format!(
            "no sign that the model does not fit ({}; chi-square {:.1} for {} data)",
            p(check.p),
            check.chi_square,
            numbers::count(check.n_data)
        ),
        Fit::Checked(_) | Fit::NotChecked { .. } => fit(found),
    }
}

/// The p of a check in a narrow column.
pub fn fit_p(fit: &Fit) -> String {
    match fit {
        Fit::NotChecked { .. } => "–".to_owned(),
        Fit::Checked(check) => numbers::short(check.p),
    }
}

/// What is to be said beside the result where the fit is poor; None where it is not.
pub fn poor_fit(found: &Fit) -> Option<String> {
    let Fit::Checked(check) = found else {
        return None;
    };
    match check.verdict() {
        Verdict::Fits => None,
        Verdict::Doubtful | Verdict::Misfit => Some(format!("fit: {}", fit(found))),
    }
}

fn parts(check: &FitCheck) -> String {
    let mut parts = vec![format!(
        "chi-square {:.1} for {} data and {:.1} effective parameters ({})",
        check.chi_square,
        numbers::count(check.n_data),
        check.effective_parameters,
        p(check.p_chi_square)
    )];
    match &check.largest_residual {
        Some(largest) => parts.push(format!(
            "largest residual {} sigma at {} ({})",
            numbers::short(largest.residual),
            numbers::place(largest.grid),
            p(largest.p)
        )),
        None => parts.push(
            "no residuals, because simulated data are stored more coarsely than their errors"
                .to_owned(),
        ),
    }
    if let Some(runs) = &check.runs {
        parts.push(format!(
            "{} runs of signs where {:.1} are expected ({})",
            runs.n_runs,
            runs.expected,
            p(runs.p)
        ));
    }
    parts.join("; ")
}

fn p(p: f64) -> String {
    if p < f64::MIN_POSITIVE {
        "p below 1e-307".to_owned()
    } else {
        format!("p {}", numbers::short(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidereal_inference::method::fit_check::{LargestResidual, Runs};

    fn check(p: f64) -> Fit {
        Fit::Checked(FitCheck {
            n_data: 1200,
            chi_square: 1198.26,
            mean_chi_square: 1201.1,
            effective_parameters: 2.84,
            degrees_of_freedom: 1197.16,
            p_chi_square: 0.47,
            largest_residual: Some(LargestResidual {
                datum: 4,
                grid: 3.0 / 7.0,
                residual: -3.04,
                p: 1.0,
            }),
            runs: Some(Runs {
                n_runs: 611,
                expected: 600.84,
                p: 0.72,
            }),
            p,
        })
    }

    #[test]
    fn fits_are_said_with_their_numbers() {
        let numbers = "chi-square 1198.3 for 1,200 data and 2.8 effective parameters (p 0.470); largest residual −3.04 \
                       sigma at 0.4285714286 (p 1.00); 611 runs of signs where 600.8 are expected (p 0.720)";
        assert_eq!(fit(&check(0.59)), format!("p 0.590: {numbers}"));
        assert_eq!(poor_fit(&check(0.59)), None);
        let doubtful = format!("DOUBTFUL, p 5.00e−5: {numbers}");
        assert_eq!(fit(&check(5e-5)), doubtful);
        assert_eq!(poor_fit(&check(5e-5)), Some(format!("fit: {doubtful}")));
        assert_eq!(
            fit(&check(0.0)),
            format!("THE MODEL DOES NOT FIT, p below 1e-307: {numbers}")
        );
        let reason = "no draw has a positive weight".to_owned();
        let none = Fit::NotChecked { reason };
        assert_eq!(fit(&none), "not checked: no draw has a positive weight");
        assert_eq!((fit_p(&none), poor_fit(&none)), ("–".to_owned(), None));
        assert_eq!(fit_p(&check(0.59)), "0.590");
    }
}
