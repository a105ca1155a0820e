//! Programs that show Stepwell at work; each file under `examples/` is one of them.
