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
    cargo bench -p kiln-train -p kiln-report

# Half an hour: Kiln beside JAX, PyTorch and Keras, into benches/RESULTS.md.
side-by-side:
    cargo bench --bench side_by_side

# A quarter of an hour: the reliability tests in their long form. RELIABILITY.md has the figures of the last time.
reliability:
    KILN_RELIABILITY=long cargo test --workspace --test program reliability:: -- --nocapture

# The pictures in docs/, from a new run and a new sweep: two minutes. Needs Chromium, for the screenshot.
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
