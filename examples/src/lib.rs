//! Programs that show Stepwell at work: each file under `examples/` is one of them, and ends with the output that a
//! test compares. The code of the guides and of the README is compiled, and run, from here as well.

#[cfg(doctest)]
mod guides;
