//! `matmul`: the matrix product, batched, of either operand transposed.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{
    Arguments, Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Routine, Vjp,
    streaming,
};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::gpu::Operand;
use speck_kernels::matmul::gpu::product;
use speck_kernels::matmul::half::MATMUL_HALF;
use speck_kernels::matmul::{MATMUL, MatmulShape};
use speck_kernels::storage::Storage;
use speck_kernels::{Choice, KernelError};

/// The product of the last two dimensions. The dimensions before them are
/// equal, or one operand has none and is shared by the whole batch.
#[derive(Debug, Clone, Copy)]
struct Matmul {
    transpose_a: bool,
    transpose_b: bool,
    /// The type of the sums, where the operands are stored in 16 bits.
    sums: Option<DType>,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "matmul",
    formula: "y = A B on the last two dimensions, either operand transposed on request",
    gradient: Gradient::Product("c Bᵀ to A, Aᵀ c to B (transposed as A and B are)"),
    rule: Some("a product over an empty dimension is 0"),
    kernels: || vec![MATMUL.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("plain", &[(&[3, 5], draw), (&[5, 4], draw)], |graph, x| {
                graph.matmul(x[0], x[1])
            }),
            Case::new("A transposed", &[(&[5, 3], draw), (&[5, 4], draw)], |graph, x| {
                graph.matmul_with(x[0], x[1], true, false)
            }),
            Case::new("B transposed", &[(&[3, 5], draw), (&[4, 5], draw)], |graph, x| {
                graph.matmul_with(x[0], x[1], false, true)
            }),
            Case::new("both transposed", &[(&[5, 3], draw), (&[4, 5], draw)], |graph, x| {
                graph.matmul_with(x[0], x[1], true, true)
            }),
            Case::new("batch", &[(&[2, 3, 4], draw), (&[2, 4, 2], draw)], |graph, x| {
                graph.matmul(x[0], x[1])
            }),
            Case::new("shared B", &[(&[2, 3, 4], draw), (&[5, 4], draw)], |graph, x| {
                graph.matmul_with(x[0], x[1], false, true)
            }),
            Case::new("shared A", &[(&[3, 4], draw), (&[2, 4, 2], draw)], |graph, x| {
                graph.matmul(x[0], x[1])
            }),
            Case::new("over tiles", &[(&[17, 33], draw), (&[33, 35], draw)], |graph, x| {
                graph.matmul(x[0], x[1])
            }),
            Case::new("empty product", &[(&[2, 0], draw), (&[0, 3], draw)], |graph, x| {
                graph.matmul(x[0], x[1])
            }),
        ]
    },
};

pub(super) static HALF: OpInfo = OpInfo {
    name: "matmul_half",
    formula: "y = A B as matmul, of matrices stored in f16 or bf16, with sums in the graph's type",
    gradient: Gradient::Stated("that of matmul, where c is rounded to 16 bits too"),
    rule: Some("a product over an empty dimension is 0"),
    kernels: || vec![MATMUL_HALF.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("bf16", &[(&[3, 5], draw), (&[5, 4], draw)], |graph, x| {
                stored(graph, x, [false, false], DType::Bf16)
            }),
            Case::new("f16, A transposed", &[(&[5, 3], draw), (&[5, 4], draw)], |graph, x| {
                stored(graph, x, [true, false], DType::F16)
            }),
            Case::new("bf16, B transposed", &[(&[3, 5], draw), (&[4, 5], draw)], |graph, x| {
                stored(graph, x, [false, true], DType::Bf16)
            }),
            Case::new("batch, shared B", &[(&[2, 3, 4], draw), (&[5, 4], draw)], |graph, x| {
                stored(graph, x, [false, true], DType::Bf16)
            }),
            Case::new("over tiles", &[(&[17, 33], draw), (&[33, 35], draw)], |graph, x| {
                stored(graph, x, [false, false], DType::Bf16)
            }),
            Case::new("empty product", &[(&[2, 0], draw), (&[0, 3], draw)], |graph, x| {
                stored(graph, x, [false, false], DType::F16)
            }),
        ]
    },
};

/// The product of both inputs, stored.
fn stored(
    graph: &Graph,
    x: &[NodeId],
    [transpose_a, transpose_b]: [bool; 2],
    dtype: DType,
) -> Result<NodeId, GraphError> {
    let [a, b] = [graph.store(x[0], dtype)?, graph.store(x[1], dtype)?];
    graph.matmul_with(a, b, transpose_a, transpose_b)
}

impl Matmul {
    fn shape(&self, a: &TensorType, b: &TensorType) -> Result<(MatmulShape, Vec<usize>), String> {
        if a.rank() < 2 || b.rank() < 2 {
            return Err("takes matrices, or batches of them".to_owned());
        }
        let matrix = |ty: &TensorType, transposed: bool| {
            let [rows, columns] = [ty.shape[ty.rank() - 2], ty.shape[ty.rank() - 1]];
            if transposed { (columns, rows) } else { (rows, columns) }
        };
        let (m, k) = matrix(a, self.transpose_a);
        let (k_b, n) = matrix(b, self.transpose_b);
        if k != k_b {
            return Err(format!("the inner sizes {k} and {k_b} differ"));
        }
        let (batch_a, batch_b) = (&a.shape[..a.rank() - 2], &b.shape[..b.rank() - 2]);
        let batch = if batch_a.is_empty() { batch_b } else { batch_a };
        if !batch_b.is_empty() && batch_b != batch {
            return Err("the dimensions before the last two differ".to_owned());
        }
        let stride = |own: &[usize], size| if own.is_empty() { 0 } else { size };
        let shape = MatmulShape {
            batch: batch.iter().product(),
            m,
            n,
            k,
            transpose_a: self.transpose_a,
            transpose_b: self.transpose_b,
            a_stride: stride(batch_a, m * k),
            b_stride: stride(batch_b, k * n),
        };
        Ok((shape, [batch, &[m, n]].concat()))
    }
}

impl Op for Matmul {
    fn form(&self) -> Form<'_> {
        match self.sums {
            None => Form::Matmul { transpose_a: self.transpose_a, transpose_b: self.transpose_b },
            Some(_) => Form::Other,
        }
    }
    fn info(&self) -> &'static OpInfo {
        if self.sums.is_some() { &HALF } else { &INFO }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let names = [("transpose_a", self.transpose_a), ("transpose_b", self.transpose_b)];
        names.into_iter().filter(|(_, on)| *on).map(|(n, on)| (n, on.to_string())).collect()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        let shape = self.shape(inputs[0], inputs[1]);
        Ok(TensorType::new(super::type_of_sums(inputs, self.sums)?, &shape?.1))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [a, b] = [vjp.inputs[0], vjp.inputs[1]];
        let c = super::like_operands(graph, vjp)?;
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        // y = op(A) op(B): op(A) gets c op(B)ᵀ, op(B) gets op(A)ᵀ c; where an
        // operand is used transposed, the product is taken the other way round.
        // The gradient of a shared operand is summed over the batch.
        let fitted = |gradient, like| graph.sum_to(gradient, &graph.shape(like));
        let to_a = vjp.needs[0].then(|| {
            let product = if ta {
                graph.matmul_with(b, c, tb, true)
            } else {
                graph.matmul_with(c, b, false, !tb)
            };
            fitted(product?, a)
        });
        let to_b = vjp.needs[1].then(|| {
            let product = if tb {
                graph.matmul_with(c, a, true, ta)
            } else {
                graph.matmul_with(a, c, !ta, false)
            };
            fitted(product?, b)
        });
        Ok(vec![to_a.transpose()?, to_b.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let k = inputs[0].shape[inputs[0].rank() - if self.transpose_a { 2 } else { 1 }];
        streaming(2 * k * output.elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = match self.shape(inputs[0], inputs[1]) {
            Ok((shape, _)) => shape,
            Err(message) => unreachable!("inferred before: {message}"),
        };
        if let Some(storage) = inputs[0].dtype.storage() {
            return lower_half(shape, storage, output.dtype, choice);
        }
        with_real!(output.dtype, T => {
            let variant = MATMUL.select::<T>(choice)?;
            let routine = variant.run;
            let scratch = (routine.scratch)(&shape) * size_of::<T>();
            let run = move |call: Arguments<'_>| {
                let (a, b) = (call.input::<T>(0), call.input::<T>(1));
                match (routine.report, call.taker()) {
                    (Some(report), Some(taker)) => {
                        let (out, scratch) = call.into_output_pointer_and_scratch::<T>();
                        // SAFETY: sizes come from the shapes; the executor touches
                        // what is handed over, and nothing else, and the product has
                        // memory unless it is passed on.
                        unsafe { report(&shape, a, b, out, scratch, taker) };
                    }
                    _ => {
                        let (out, scratch) = call.into_output_and_scratch::<T>();
                        // SAFETY: sizes come from the shapes.
                        unsafe { (routine.run)(&shape, a, b, out, scratch) };
                    }
                }
            };
            Ok(Lowered::Routine(Routine {
                label: format!("matmul:{}", variant.name),
                scratch,
                reports: routine.report.is_some(),
                passes: (routine.passes)(&shape),
                run: Box::new(run),
            }))
        })
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        self.sums.is_some()
    }
    fn cut(&self, inputs: &[&TensorType], output: &TensorType) -> Option<Vec<bool>> {
        // Products of a batch, or rows of a matrix; its columns are rows of none.
        match output.rank() {
            2 => (!self.transpose_a).then(|| vec![true, false]),
            rank => Some(inputs.iter().map(|ty| ty.rank() == rank).collect()),
        }
    }

    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let (shape, _) = self.shape(inputs[0], inputs[1])?;
        let operands = [Operand::Input(0), Operand::Input(1), Operand::Output];
        super::shaded(inputs, output, product(&shape, 1.0, operands)?)
    }
}

/// The product of operands stored in 16 bits.
fn lower_half(
    shape: MatmulShape,
    storage: Storage,
    float: DType,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    with_real!(float, T => {
        let variant = MATMUL_HALF.select::<T>(choice)?;
        let routine = variant.run;
        let run = move |call: Arguments<'_>| {
            let (a, b) = (call.input_stored(0), call.input_stored(1));
            match (routine.report, call.taker()) {
                (Some(report), Some(taker)) => {
                    let (out, scratch) = call.into_output_pointer_and_scratch::<T>();
                    // SAFETY: sizes come from the shapes; the executor touches
                    // what is reported, and nothing else.
                    unsafe { report(&shape, storage, a, b, out, scratch, taker) };
                }
                _ => {
                    let (out, scratch) = call.into_output_and_scratch::<T>();
                    // SAFETY: sizes come from the shapes.
                    unsafe { (routine.run)(&shape, storage, a, b, out, scratch) };
                }
            }
        };
        Ok(Lowered::Routine(Routine {
            label: format!("matmul_half:{}", variant.name),
            scratch: (routine.scratch)(&shape) * size_of::<T>(),
            reports: routine.report.is_some(),
            passes: false,
            run: Box::new(run),
        }))
    })
}

impl Graph {
    /// The matrix product of the last two dimensions: [.., m, k] × [.., k, n].
    /// The dimensions before them are equal, or one operand has none. Operands
    /// stored in 16 bits are both of one format; the product is of the graph's type.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn matmul(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.matmul_with(a, b, false, false)
    }

    /// [`Graph::matmul`] of either operand transposed, without a copy.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn matmul_with(
        &self,
        a: NodeId,
        b: NodeId,
        transpose_a: bool,
        transpose_b: bool,
    ) -> Result<NodeId, GraphError> {
        let [a, b] = self.operands([a, b])?;
        let sums = self.type_of_stored(&[a, b]);
        self.append(Matmul { transpose_a, transpose_b, sums }, &[a, b])
    }
}
