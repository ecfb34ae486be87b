//! What computes each unit of a program on a GPU, or why nothing can.

use super::CompileError;
use super::chain::Unit;
use super::cut::{Cut, Part, cut, widest};
use super::gpu::Planner;
use crate::DType;
use crate::shape::TensorType;
use speck_kernels::gpu::{Calls, Gpu};

/// What computes a unit: calls, what they read and what they give.
pub(super) struct Made {
    pub calls: Calls,
    pub inputs: Vec<usize>,
    pub results: Vec<usize>,
    pub parts: Vec<Part>,
}

impl Planner<'_> {
    /// What computes a unit.
    pub fn unit(&self, unit: &Unit, gpu: &Gpu) -> Result<Made, CompileError> {
        let index = unit[0];
        if unit.len() > 1
            && let Some(chain) = self.chains.calls(unit, &self.updates.in_slot)
        {
            for index in unit {
                let largest = self.types(*index).map(TensorType::bytes).max().unwrap_or(0);
                if largest as u64 > gpu.limits().binding {
                    return Err(self.unbound(*index, largest, gpu));
                }
            }
            let chain = chain.map_err(|message| self.refused(index, message))?;
            let (calls, inputs, results) = chain;
            return Ok(Made { calls, inputs, results, parts: Vec::new() });
        }
        let inputs = self.nodes[index].inputs.iter().map(|id| id.index()).collect();
        let Cut { calls, parts } = self.calls(index, gpu)?;
        Ok(Made { calls, inputs, results: vec![index], parts })
    }

    pub fn refused(&self, index: usize, message: String) -> CompileError {
        let node = &self.nodes[index];
        CompileError::Gpu { op: node.op.info().name, path: node.path.to_string(), message }
    }

    /// The values that a node reads and makes.
    fn types(&self, index: usize) -> impl Iterator<Item = &TensorType> {
        let node = &self.nodes[index];
        node.inputs.iter().map(|id| &self.nodes[id.index()].ty).chain([&node.ty])
    }

    /// Why a node that needs so many bytes in one binding cannot run.
    fn unbound(&self, index: usize, bytes: usize, gpu: &Gpu) -> CompileError {
        let (name, most) = (gpu.name(), gpu.limits().binding);
        let message = format!(
            "a value of {bytes} bytes, but `{name}` binds {most} at most and this cannot be cut; a \
             smaller batch may fit"
        );
        self.refused(index, message)
    }

    /// Whether there can be a buffer for each value that a node reads and makes.
    pub fn check_buffer(&self, index: usize, gpu: &Gpu) -> Result<(), CompileError> {
        let most = gpu.limits().buffer;
        match self.types(index).map(TensorType::bytes).find(|bytes| *bytes as u64 > most) {
            None => Ok(()),
            Some(bytes) => {
                let name = gpu.name();
                let message =
                    format!("a value of {bytes} bytes, but buffers of `{name}` have {most}");
                Err(self.refused(index, message))
            }
        }
    }

    fn calls(&self, index: usize, gpu: &Gpu) -> Result<Cut, CompileError> {
        let node = &self.nodes[index];
        let types: Vec<_> = node.inputs.iter().map(|id| &self.nodes[id.index()].ty).collect();
        let refuse = |message: String| self.refused(index, message);
        if self.types(index).any(|ty| ty.dtype == DType::F64) {
            return Err(refuse("GPUs compute in f32, not f64".to_owned()));
        }
        self.check_buffer(index, gpu)?;
        let limits = gpu.limits();
        let most = usize::try_from(limits.binding).unwrap_or(usize::MAX);
        let shade = |types: &[&TensorType], output: &TensorType| {
            let calls = node.op.shade(types, output).map_err(&refuse)?;
            let calls = calls.choose(&limits, self.kernels)?;
            match calls.calls.iter().find_map(|call| call.too_long(&limits)) {
                Some(reason) => Err(refuse(reason)),
                None => Ok(calls),
            }
        };
        let mut largest = self.types(index).map(TensorType::bytes).max().unwrap_or(0);
        if largest <= most {
            let calls = shade(&types, &node.ty)?;
            largest = largest.max(widest(&calls));
            if largest <= most {
                return Ok(Cut { calls, parts: Vec::new() });
            }
        }
        cut(node, &types, most, shade)?.ok_or_else(|| self.unbound(index, largest, gpu))
    }
}
