//! Tests of the public interface of `kiln-data`, in one program to link only once.

mod allocation;
mod catalog;
mod cifar;
mod common;
mod config;
mod csv;
mod damage;
mod directory;
mod idx;
mod image_file;
mod normalize;
mod npz;
mod parquet;
mod split;
