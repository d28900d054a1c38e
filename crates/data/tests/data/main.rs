//! Tests of the public interface of `kiln-data`, in one program to link only once.

mod allocation;
mod augment;
mod catalog;
mod check;
mod common;
mod config;
mod damage;
mod directory;
mod fetch;
mod image_file;
mod normalize;
mod split;
