//! Tests of the public interface of `kiln-data`, in one program to link only once.

mod allocation;
mod augment;
mod cache;
mod catalog;
mod check;
mod cifar;
mod common;
mod config;
mod csv;
mod damage;
mod directory;
mod fetch;
mod folder;
mod idx;
mod normalize;
mod npz;
mod parquet;
mod picture;
mod picture_formats;
mod split;
