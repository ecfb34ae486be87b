//! Parameters that a step holds by rows, and the slots that others know.

use crate::{LearnerError, STEP};
use speck_engine::kernels::Choice;
use speck_engine::structure::{self, RowStore};
use speck_engine::{DType, Graph, Options, Program, State};

/// Which of the two forms is the newer one.
#[derive(PartialEq, Eq)]
enum Newer {
    /// The slots that others know.
    Known,
    /// The rows.
    Rows,
    /// They are the same.
    Neither,
}

/// The way between rows and known slots, taken only when the other is read.
pub(crate) struct Rows {
    layers: Vec<(RowStore, Vec<String>)>,
    kernels: Choice,
    float: DType,
    newer: Newer,
    /// Compiled when first used.
    settle: Option<Program>,
    gather: Option<Program>,
}

impl Rows {
    pub fn new(layers: Vec<(RowStore, Vec<String>)>, kernels: Choice, float: DType) -> Self {
        Rows { layers, kernels, float, newer: Newer::Known, settle: None, gather: None }
    }

    /// Makes the rows what the known slots are, for a step that will change them.
    pub fn hold(&mut self, state: &mut State) -> Result<(), LearnerError> {
        if self.layers.is_empty() {
            return Ok(());
        }
        if self.newer == Newer::Known {
            if self.gather.is_none() {
                let graph = structure::gathered(self.float, STEP, &self.layers)?;
                self.gather = Some(self.compile(&graph)?);
            }
            if let Some(program) = &mut self.gather {
                program.run(state)?;
            }
        }
        self.newer = Newer::Rows;
        Ok(())
    }

    /// Makes the known slots what the rows are, all of them brought up to date.
    pub fn settle(&mut self, state: &mut State) -> Result<(), LearnerError> {
        if self.layers.is_empty() || self.newer != Newer::Rows {
            return Ok(());
        }
        if self.settle.is_none() {
            let graph = structure::settled(self.float, STEP, &self.layers)?;
            self.settle = Some(self.compile(&graph)?);
        }
        if let Some(program) = &mut self.settle {
            program.run(state)?;
        }
        self.newer = Newer::Neither;
        Ok(())
    }

    /// The known slots were changed.
    pub fn forget(&mut self) {
        self.newer = Newer::Known;
    }

    fn compile(&self, graph: &Graph) -> Result<Program, LearnerError> {
        let options = Options { kernels: self.kernels.clone(), ..Options::default() };
        Ok(Program::compile(graph, &options)?)
    }
}

#[cfg(test)]
mod tests;
