# What CI runs, in its order: tests, format, clippy, documentation, each benchmark once.
check:
    .ci/run

# The fast part, while working.
quick:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Measures; close other programs first.
bench:
    cargo bench -p kiln-train -p kiln-report

# Half an hour: Kiln beside JAX, PyTorch and Keras, into benches/RESULTS.md.
side-by-side:
    cargo bench --bench side_by_side

