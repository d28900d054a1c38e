//! Tests of the public interface of `kiln-data`, in one program to link only once.

mod allocation;
mod cache;
mod catalog;
mod common;
mod config;
mod damage;
mod directory;
mod folder;
mod normalize;
mod picture;
mod split;
