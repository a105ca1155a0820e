//! Random operations, on two stores at once.
