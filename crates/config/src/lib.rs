//! Reads TOML tables so that every error shows its place: file, line and a caret under the value.
