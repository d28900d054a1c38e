//! Tests of the public interface of `kiln-model`, in one program to link only once.

mod activation;
mod batch_normalization;
mod common;
mod config;
mod dropout;
mod initializer;
mod layers;
mod network;
mod pooling;
mod properties;
mod repeat;
mod shape;
mod spatial_dropout;
mod summary;
mod training;
mod weights;
mod windows;
