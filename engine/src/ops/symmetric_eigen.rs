//! `symmetric_eigen`: eigenvalues and eigenvectors of symmetric matrices.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use crate::with_real;
use speck_kernels::eigen;
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError};

/// Eigenvalues, and below them eigenvectors as rows.
#[derive(Debug)]
struct SymmetricEigen;

pub(super) static INFO: OpInfo = OpInfo {
    name: "symmetric_eigen",
    formula: "y = [λ; V] with x = Vᵀ diag(λ) V: the eigenvalues, the smallest first, and below them the eigenvectors as rows; of each of the matrices",
    gradient: Gradient::Product(
        "the upper triangle of G + Gᵀ, half of it on the diagonal, G = Vᵀ (diag(cλ) + F ⊙ V cᵥᵀ) V, Fⱼₖ = 1 / (λₖ - λⱼ) off the diagonal",
    ),
    rule: Some(
        "the lower triangle is not read; the largest component of a vector is positive; computed in f64; where eigenvalues meet, vectors have no derivative, and the gradient is infinite or NaN",
    ),
    kernels: || vec![eigen::SYMMETRIC.status()],
    cases: || {
        let draw = Draw::Uniform(-0.4, 0.4);
        // Eigenvalues that keep their distance.
        fn spread(graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
            let n = graph.shape(x)[graph.shape(x).len() - 1];
            let values: Vec<_> =
                (0..n * n).map(|at| f64::from(u8::from(at / n == at % n)) * (at as f64)).collect();
            graph.add(x, square(graph, n, &values)?)
        }
        vec![
            Case::new("a matrix", &[(&[4, 4], draw)], |graph, x| {
                graph.symmetric_eigen(spread(graph, x[0])?)
            }),
            Case::new("two matrices", &[(&[2, 3, 3], draw)], |graph, x| {
                graph.symmetric_eigen(spread(graph, x[0])?)
            }),
            Case::new("a number", &[(&[1, 1], draw)], |graph, x| graph.symmetric_eigen(x[0])),
            Case::new("nothing", &[(&[0, 2, 2], draw)], |graph, x| graph.symmetric_eigen(x[0])),
        ]
    },
};

/// A constant `[n, n]`.
fn square(graph: &Graph, n: usize, values: &[f64]) -> Result<NodeId, GraphError> {
    graph.constant(Tensor::new(&TensorType::new(graph.float(), &[n, n]), values))
}

/// Sweeps of a matrix, as a rule.
const SWEEPS: u64 = 8;

impl Op for SymmetricEigen {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        let ([rows, columns] | [_, rows, columns]) = x.shape[..] else {
            return Err("the input must be a matrix, or matrices [b, n, n]".to_owned());
        };
        if rows != columns {
            return Err("the last two dimensions must be equal".to_owned());
        }
        let mut output = x.clone();
        output.shape[x.rank() - 2] = rows + 1;
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.output);
        let (rank, n) = (shape.len(), shape[shape.len() - 1]);
        let mut order: Vec<_> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        let turned = |x: NodeId| graph.permute(x, &order);
        let values = |x: NodeId| graph.narrow(x, rank - 2, 0, 1, 1);
        let vectors = |x: NodeId| graph.narrow(x, rank - 2, 1, 1, n);
        let of = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..n * n).map(|at| f(at / n, at % n)).collect()
        };
        let unit = square(graph, n, &of(&|i, j| f64::from(u8::from(i == j))))?;
        let apart = square(graph, n, &of(&|i, j| f64::from(u8::from(i != j))))?;
        let upper = square(
            graph,
            n,
            &of(&|i, j| match i.cmp(&j) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            }),
        )?;
        // λₖ - λⱼ, and 1 on the diagonal.
        let row = values(vjp.output)?;
        let gaps = graph.add(graph.sub(row, turned(row)?)?, unit)?;
        let v = vectors(vjp.output)?;
        let mixed = graph.matmul(v, turned(vectors(vjp.cotangent)?)?)?;
        let inner = graph.mul(graph.div(mixed, gaps)?, apart)?;
        let inner = graph.add(inner, graph.mul(values(vjp.cotangent)?, unit)?)?;
        let whole = graph.matmul(graph.matmul(turned(v)?, inner)?, v)?;
        let both = graph.add(whole, turned(whole)?)?;
        Ok(vec![Some(graph.mul(both, upper)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        // n² / 2 rotations a sweep; each turns two rows, two columns and two
        // vectors, at six operations an element.
        let n = inputs[0].shape[inputs[0].rank() - 1] as u64;
        let flops = inputs[0].elements() as u64 * n * 9 * SWEEPS;
        Cost { flops, ..crate::op::streaming(0, inputs, output) }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let n = inputs[0].shape[inputs[0].rank() - 1];
        let numbers = eigen::scratch(n);
        with_real!(inputs[0].dtype, T => {
            let variant = eigen::SYMMETRIC.select::<T>(choice)?;
            let run = variant.run;
            // Not none, so that there is an aligned place for none.
            let scratch = numbers.max(1) * size_of::<f64>();
            Ok(super::routine("symmetric_eigen", variant.name, scratch, move |call| {
                let x = call.input::<T>(0);
                let (out, scratch) = call.into_output_and_scratch::<T>();
                let wanted = numbers * size_of::<f64>() / size_of::<T>();
                // The scratch memory starts at a cache line.
                run(n, x, out, bytemuck::cast_slice_mut(&mut scratch[..wanted]));
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let n = inputs[0].shape[inputs[0].rank() - 1];
        eigen::gpu::symmetric_calls(inputs[0].elements() / (n * n).max(1), n)
    }
}

impl Graph {
    /// Of `x`, `[n, n]` or `[b, n, n]`: eigenvalues and eigenvectors,
    /// `[n + 1, n]` or `[b, n + 1, n]`; the first row holds the values, the others the vectors.
    ///
    /// # Errors
    /// The last two dimensions are not equal.
    #[track_caller]
    pub fn symmetric_eigen(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(SymmetricEigen, &[x])
    }
}
