//! The same way of a line with every artifact store, and what others see of the objects.

mod readers;
mod whole_way;
