# Everyday commands; `just --list` shows them. CI runs .ci/run, which needs neither just nor anything installed before.

# build in release and install, editable, with the test extras
develop:
    pip install maturin && maturin develop --release --extras test,io

# Rust and Python tests that take minutes
test:
    cargo test --profile checked
    pytest

# whole particles from frames to atoms, browsers and clusters
slow:
    pytest -m slow

# formats and lints, mending what can be mended
lint:
    cargo fmt
    cargo clippy --all-targets --features python -- -D warnings
    ruff format python tests benches docs plugins
    ruff check --fix python tests benches docs plugins
    python -m mypy.stubtest single_rs._core

# criterion, one group per kernel
bench:
    cargo bench

# the picture of the README, from a simulated particle
picture:
    python docs/picture.py docs/images/particle.png

# the site of the documentation in target/site
site:
    python docs/site.py

# all that CI does
ci:
    .ci/run
