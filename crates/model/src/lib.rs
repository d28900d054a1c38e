//! A list of layers becomes checked shapes, then a Burn module; weights in and out.
