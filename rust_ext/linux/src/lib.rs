//! pyfw on Linux: `engine` has the threads that run the core, `sys` the system calls that they need.

pub mod engine;
pub mod sys;
