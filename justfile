# Runs what CI runs, in the same order: tests, formatting, Clippy, documentation, each benchmark once.
check:
    .ci/run

# Formats and lints; quick enough to run while you work.
quick:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Runs libFuzzer on one of fuzz/targets. Needs a nightly toolchain and cargo-fuzz. New inputs do not go into the corpus.
# The first build takes a quarter of an hour. Link-time optimization is off, because it does not help here.
fuzz TARGET SECONDS="1800":
    mkdir -p target/fuzz/{{TARGET}}
    CARGO_PROFILE_RELEASE_LTO=off cargo +nightly fuzz run {{TARGET}} --features libfuzzer --target-dir target/fuzz/build \
        target/fuzz/{{TARGET}} fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}} -max_len=65536 -timeout=60

# Runs the benchmarks of single functions. Close other programs first.
bench:
    cargo bench -p kiln-data -p kiln-kernels -p kiln-train -p kiln-compare -p kiln-serve

# Compares Kiln with JAX, PyTorch and Keras in half an hour, and writes benches/RESULTS.md.
side-by-side:
    cargo bench --bench side_by_side

# Runs the long form of the reliability tests in a quarter of an hour. RELIABILITY.md has the figures of the last time.
reliability:
    KILN_RELIABILITY=long cargo test --workspace --test program reliability:: -- --nocapture

# Makes the pictures in docs/ from a new run and a new sweep, in two minutes. Needs Chromium for the screenshot.
docs-pictures:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release
    kiln="$PWD/target/release/kiln" docs="$PWD/docs"
    # In a directory of its own, so that the page shows paths such as runs/learning-rate-depth.
    rm -rf target/docs-pictures && mkdir -p target/docs-pictures && cd target/docs-pictures
    ln -s ../../configs ../../data .
    "$kiln" data preview fashion-mnist --out "$docs/preview.png"
    run=$("$kiln" run configs/fashion-mnist.toml | tail -1)
    cp "$run"/{history.svg,confusion.svg,mistakes.png} "$docs"
    "$kiln" sweep configs/sweeps/learning-rate-depth.toml
    "$kiln" compare runs/learning-rate-depth --plot "$docs/heatmap.svg" --html "$docs/learning-rate-depth.html"
    chromium --headless --no-sandbox --hide-scrollbars --window-size=1200,1700 \
        --screenshot="$docs/comparison.png" "$docs/learning-rate-depth.html"
