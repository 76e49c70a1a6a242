//! Media that tests make themselves, of every format that is opened.
#![allow(dead_code)] // each test binary uses its part

pub(crate) mod amr;
pub(crate) mod encode;
pub(crate) mod mutate;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod sound;
pub(crate) mod tag;
