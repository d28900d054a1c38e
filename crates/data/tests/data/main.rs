//! Tests of `kiln-data` through its public interface: one program, so that it links once.

mod allocation;
mod catalog;
mod common;
mod config;
mod damage;
mod directory;
mod image_file;
mod normalize;
mod split;
