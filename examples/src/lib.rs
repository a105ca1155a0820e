//! Programs that show Stepwell at work; each file under `examples/` is one of them, and ends with the output that a test
//! compares. The code in the guides and in the README is compiled here as well.

#[cfg(doctest)]
mod guides;
