//! How a layer's input is carried past it.

/// The residual connection around a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// None.
    None,
    /// The input is added to the output wherever the shapes agree (He et al., 2015).
    Add,
    /// The input is joined to the output (Huang et al., "DenseNet", 2016).
    Concat,
}

impl Residual {
    /// The names, in the order of the variants.
    pub const NAMES: &[&str] = &["none", "add", "concat"];

    /// The connection of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Residual::None),
            "add" => Some(Residual::Add),
            "concat" => Some(Residual::Concat),
            _ => None,
        }
    }
}
