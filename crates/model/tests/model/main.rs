//! Tests of `kiln-model` through its public interface: one program, so that it links once.

mod activation;
mod batch_normalization;
mod common;
mod config;
mod dropout;
mod initializer;
mod network;
mod repeat;
mod shape;
mod summary;
mod weights;
