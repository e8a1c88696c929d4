//! The detector: rules, the engine that evaluates them in event time, and the worker around it.

pub mod engine;
pub mod rules;
