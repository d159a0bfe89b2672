//! Mathematics and data contract of sidereal: no tokio, no tonic, no burn.
//!
//! Everything here is a synchronous function on plain data; time and randomness are arguments. The crate has eight rooms,
//! each of which uses those above it only:
//!
//! - [`base`]: identifiers, seeds, files, small matrices, weighted quantiles.
//! - [`space`]: the parameters, their priors, and the map to unconstrained z, in which each prior is standard normal.
//! - [`campaign`]: what a campaign is, validated: model, observation, noise, and how it is to be done.
//! - [`campaign_file`]: campaigns as files: keys, reading, writing, identity, schema.
//! - [`weights`]: proposals, importance weights of one round and of all, evidence, k̂.
//! - [`records`]: what is stored and sent: the campaign directory and its files, tasks and reports.
//! - [`method`]: what flows are fitted to, how large rounds are, when to stop, and what to trust.
//! - [`account`]: what is told of a campaign: summary, status, events.
//!
//! Two draws of the prior, weighed:
//!
//! ```
//! use sidereal_inference::base::RoundId;
//! use sidereal_inference::campaign::Combine;
//! use sidereal_inference::weights::{Component, Proposal, RoundColumns, combine};
//!
//! let round = RoundColumns {
//!     round: RoundId(0),
//!     proposal: Proposal::prior(),
//!     // Of the two likelihoods, 1 and 3.
//!     log_likelihood: vec![Some(0.0), Some(3f64.ln())],
//!     log_prior: vec![0.0; 2],
//!     log_proposal: vec![0.0; 2],
//!     component: vec![Component::Prior; 2],
//!     log_flow: Default::default(),
//!     z: Vec::new(),
//! };
//! let combined = combine(&[round], Combine::Mixture)?;
//! assert!((combined.normalized[0][1] - 0.75).abs() < 1e-12);
//! // 1 / (1/16 + 9/16) - 1
//! assert!((combined.diagnostics().n_eff - 0.6).abs() < 1e-12);
//! // The evidence is the mean likelihood.
//! let log_evidence = combined.evidence.map(|evidence| evidence.log_evidence);
//! assert!(log_evidence.is_some_and(|found| (found - 2f64.ln()).abs() < 1e-12));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

pub mod account;
pub mod base;
pub mod campaign;
pub mod campaign_file;
pub mod method;
pub mod records;
pub mod space;
pub mod weights;
