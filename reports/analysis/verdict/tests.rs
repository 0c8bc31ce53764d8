//! Tests of verdicts.
