//! One binary of tests from outside; a folder or file for each part of the product.

mod config;
