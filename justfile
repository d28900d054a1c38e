# What CI runs, in its order: tests, format, clippy, documentation, each benchmark once.
check:
    .ci/run

# The fast part, while working.
quick:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# libFuzzer on one of fuzz/targets; needs a nightly toolchain and cargo-fuzz. What it finds new stays out of the corpus.
# The first time it builds for a quarter of an hour, without link-time optimisation, which is of no use here.
fuzz TARGET SECONDS="1800":
    mkdir -p target/fuzz/{{TARGET}}
    CARGO_PROFILE_RELEASE_LTO=off cargo +nightly fuzz run {{TARGET}} --features libfuzzer --target-dir target/fuzz/build \
        target/fuzz/{{TARGET}} fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}} -max_len=65536 -timeout=60

# Measures; close other programs first.
bench:
    cargo bench -p kiln-train -p kiln-compare

# Half an hour: Kiln beside JAX, PyTorch and Keras, into benches/RESULTS.md.
side-by-side:
    cargo bench --bench side_by_side

# A quarter of an hour: the reliability tests in their long form. RELIABILITY.md has the figures of the last time.
reliability:
    KILN_RELIABILITY=long cargo test --workspace --test program reliability:: -- --nocapture
