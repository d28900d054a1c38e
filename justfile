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

# Checks that every dependency has a license and a source that deny.toml allows. Needs cargo-deny.
licenses:
    cargo deny check licenses bans sources

# Builds a wheel with the program for this machine, in target/wheels. Needs maturin.
wheel:
    KILN_COMMIT="$(git rev-parse --short=12 HEAD)" maturin build --release --locked --out target/wheels

# The first target must be this machine's: it is built with cargo alone, against the glibc of this machine. The others need
# cargo-zigbuild (with zig, which links for all targets) and `rustup target add`; a version after a GNU target, here too, is the
# oldest glibc. For a static binary, give a musl target, whose speed was not measured.
# The binaries choose AVX2 or AVX-512 when they run. Needs Python 3 and cargo-deny.
# Makes the archives of a release, with their checksums, in target/release-archives.
release TARGETS="x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu.2.28" FEATURES="parquet":
    #!/usr/bin/env bash
    set -euo pipefail
    [ -z "$(git status --porcelain --untracked-files=no)" ] || { echo "commit the changes first" >&2; exit 1; }
    just licenses
    export KILN_COMMIT="$(git rev-parse --short=12 HEAD)"
    # Stripped: the names of functions are a third of the size, and no message has them.
    export CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_DEBUG=0
    host=$(rustc -vV | sed -n 's/^host: //p')
    rm -rf target/release-archives
    shared=
    for target in {{TARGETS}}; do
        directory=${target%%.*}
        [ "$target" = "$host" ] && build=build || build=zigbuild
        cargo $build --release --locked --bin kiln --features "{{FEATURES}}" --target "$target"
        binary=target/$directory/release/kiln
        : "${shared:=$binary}"
        just release-archive "$directory" "$binary" "$shared" "{{FEATURES}}"
    done
    cd target/release-archives && sha256sum *.tar.gz > SHA256SUMS && cat SHA256SUMS

# RUNNABLE is a build of the same version that runs on this machine; it writes the completions and man pages. The same
# content gives the same bytes.
# Packs one binary with its completions, man pages and licenses.
release-archive TARGET BINARY RUNNABLE FEATURES="":
    #!/usr/bin/env bash
    set -euo pipefail
    version=$(cargo pkgid | sed 's/.*[#@]//') target={{TARGET}}
    name=kiln-$version-${target/-unknown/} out=target/release-archives
    rm -rf "$out/$name" && mkdir -p "$out/$name/completions" "$out/$name/man/man1"
    cp "{{BINARY}}" "$out/$name/kiln"
    cp -r README.md CHANGELOG.md LICENSE configs "$out/$name"
    for shell in bash zsh fish; do "{{RUNNABLE}}" completions $shell > "$out/$name/completions/kiln.$shell"; done
    mv "$out/$name/completions/kiln.zsh" "$out/$name/completions/_kiln"
    "{{RUNNABLE}}" man --quiet "$out/$name/man/man1" > /dev/null
    .ci/third-party-licenses "$out/$name/THIRD-PARTY-LICENSES.txt" --features "{{FEATURES}}" --target "$target"
    # Those of the standard library, which is part of the binary, too.
    cp "$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" "$out/$name/RUST-LICENSES.html"
    tar --create --directory "$out" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go=rX \
        --mtime="@$(git log -1 --format=%ct)" "$name" | gzip --no-name -9 > "$out/$name.tar.gz"
    rm -r "${out:?}/$name"
    echo "$out/$name.tar.gz"
