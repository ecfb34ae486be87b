//! What an operation is: the trait every file in `ops` implements.

use crate::check::values::Expectation;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
pub use crate::program::{Arguments, Folding, Pointwise};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError, KernelStatus};
use std::fmt::Debug;
use std::sync::Arc;

/// What is known of an operation without a graph: the source of the catalogue,
/// of `speck list ops` and of the registry-wide tests.
pub struct OpInfo {
    /// The op's name, unique in the registry.
    pub name: &'static str,
    /// What it computes, in one line of ordinary notation.
    pub formula: &'static str,
    /// How it is differentiated, or why it is not.
    pub gradient: Gradient,
    /// The rule at ties, kinks and domain edges; `None` where there are none.
    pub rule: Option<&'static str>,
    /// The kernels it runs on.
    pub kernels: fn() -> Vec<KernelStatus>,
    /// Cases for the registry-wide tests.
    pub cases: fn() -> Vec<Case>,
}

/// How an operation is differentiated.
pub enum Gradient {
    /// It has a vector-Jacobian product; the text is its formula, with `c` for
    /// the cotangent of the output.
    Product(&'static str),
    /// The derivative is zero wherever it exists; the text says why.
    Zero(&'static str),
    /// What is passed back is defined and is not the derivative; the text says
    /// what it is. Finite differences do not apply.
    Stated(&'static str),
    /// There is none; a gradient that reaches the op is an error with this text.
    None(&'static str),
}

/// Work of one evaluation, for prices and rooflines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations; a transcendental function counts as one.
    pub flops: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.flops += other.flops;
        self.read += other.read;
        self.written += other.written;
    }
}

/// Reads every input and writes the output once, with `flops` operations.
pub fn streaming(flops: usize, inputs: &[&TensorType], output: &TensorType) -> Cost {
    Cost {
        flops: flops as u64,
        read: inputs.iter().map(|ty| ty.bytes() as u64).sum(),
        written: output.bytes() as u64,
    }
}

/// What a vector-Jacobian product is given.
pub struct Vjp<'a> {
    /// The op's inputs.
    pub inputs: &'a [NodeId],
    /// The op's output.
    pub output: NodeId,
    /// The cotangent of the output: same shape as the output, and the same type;
    /// of what is stored in 16 bits, the graph's floating-point type.
    pub cotangent: NodeId,
    /// Which inputs need a gradient.
    pub needs: &'a [bool],
}

/// The gradient for each input; `None` where it is zero or not needed.
pub type Gradients = Result<Vec<Option<NodeId>>, GraphError>;

/// Where the value of a node without computation comes from.
pub enum Source<'a> {
    /// Given before each run, by name.
    Input(&'a str),
    /// A slot of the state, by index into the graph's slots.
    State(usize),
    /// Fixed.
    Constant(&'a Arc<Tensor>),
}

/// What an op does to maps [samples, channels, height, width], as far as the
/// structure rewrite has a rule for it.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// (positions, colours, background) → maps with specks of this edge.
    Render(usize),
    /// The same function of every element.
    Pointwise,
    /// (maps, weights) → maps.
    Convolution(crate::ops::Window),
    /// maps → the indices of the largest elements of windows.
    MaxPoolIndices(crate::ops::PoolWindow),
    /// maps → means of windows.
    AveragePool(crate::ops::AveragePool2d),
    /// The elements at indices along an axis.
    Gather(usize),
    /// (maps, weights) → the transpose of a convolution of maps of this size.
    TransposedConvolution(crate::ops::Window, [usize; 2]),
    /// The elements at a list of places along an axis.
    IndexSelect(usize),
    /// Elements of an axis from `start` on, by `step`.
    Narrow {
        /// The axis.
        axis: usize,
        /// The first.
        start: usize,
        /// From one to the next.
        step: usize,
    },
    /// The adjoint of narrowing: zeros between and around.
    Embed {
        /// The axis.
        axis: usize,
        /// Where the first comes to lie.
        start: usize,
        /// From one to the next.
        step: usize,
    },
    /// Axes in another order.
    Permute(&'a [usize]),
    /// The softmax along an axis.
    Softmax {
        /// The axis.
        axis: usize,
        /// Whether it is the logarithm of it.
        log: bool,
    },
    /// The index of the largest element along an axis.
    ArgMax(usize),
    /// The sum over axes.
    Sum(&'a [usize]),
    /// The largest element over axes.
    Max(&'a [usize]),
    /// The same elements under another shape.
    Reshape,
    /// Parts in a row along an axis.
    Concat(usize),
    /// One element repeated.
    Expand,
    /// (a, b) → the product of matrices, either transposed.
    Matmul {
        /// Whether a is transposed.
        transpose_a: bool,
        /// Whether b is transposed.
        transpose_b: bool,
    },
    /// Anything else: its inputs are written out in full.
    Other,
}

/// How an op runs on the CPU.
pub enum Lowered {
    /// Not at all: its value is given (see [`Op::source`]).
    Source,
    /// Its output is its first input's memory.
    Alias,
    /// Its output is a part of its first input's memory, from this element on.
    Part(usize),
    /// Element by element, with broadcasting; may run in place and in groups.
    Pointwise(Pointwise),
    /// A sum, tile by tile; may end a group.
    Folding(Folding),
    /// A call of one kernel.
    Routine(Routine),
    /// A call of one kernel that changes its first input, a slot of the state or a
    /// value that was computed: the output is in its memory, and the call finds the
    /// old value in the output. Nodes that read the old value must come before.
    InPlace(Routine),
}

/// One kernel call, ready to run.
pub struct Routine {
    /// Kernel and variant, as `kernel:variant`.
    pub label: String,
    /// Bytes of scratch memory it needs.
    pub scratch: usize,
    /// Whether the call hands over what it has finished, where there is a
    /// [taker](Arguments::taker): then it may head a group.
    pub reports: bool,
    /// Whether it then needs no memory for its output.
    pub passes: bool,
    /// The call.
    pub run: Box<dyn Fn(Arguments<'_>) + Send + Sync>,
}

/// An operation: shape inference, gradient, price and kernel in one place.
///
/// A value of the implementing type is one use of the op with its attributes.
pub trait Op: Debug + Send + Sync + 'static {
    /// The op's entry in the registry.
    fn info(&self) -> &'static OpInfo;

    /// Attributes for prints and for telling two uses apart; everything that
    /// changes the result must be in here.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The type of the output, or what is wrong with the inputs.
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String>;

    /// Appends the vector-Jacobian product.
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients;

    /// The work of one evaluation.
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost;

    /// Picks the kernel variant.
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError>;

    /// The calls of shaders that compute it on a GPU, or why there are none. Ops that
    /// are aliases or given, and those that work element by element, need not say.
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let _ = (inputs, output);
        Err("it has no kernel for the GPU".to_owned())
    }

    /// How the output falls into parts along its first dimension, each computed by the
    /// same op from parts of inputs: for each input whether it falls into the same parts
    /// along its own first dimension, or is read whole. `None` where that cannot be.
    /// Values too large for a GPU to bind are computed so.
    fn cut(&self, inputs: &[&TensorType], output: &TensorType) -> Option<Vec<bool>> {
        let rows = output.shape.first().filter(|_| self.is_pointwise())?;
        let cut = |ty: &&TensorType| ty.rank() == output.rank() && ty.shape[0] == *rows;
        Some(inputs.iter().map(cut).collect())
    }

    /// Whether it takes these inputs where some are stored in 16 bits. The others
    /// compute in the graph's type, and take what is stored through `widen`.
    fn takes_stored(&self, inputs: &[&TensorType]) -> bool {
        let _ = inputs;
        false
    }

    /// Whether it works element by element with broadcasting.
    fn is_pointwise(&self) -> bool {
        false
    }

    /// Whether the value is the first input's or a part of it, in the same memory.
    fn is_alias(&self) -> bool {
        false
    }

    /// The same value made of ops that have rules in the structure rewrite, for an
    /// op that has none.
    fn plain(&self, _: &Graph, _: &[NodeId]) -> Option<Result<NodeId, GraphError>> {
        None
    }

    /// What it does to maps, for the structure rewrite.
    fn form(&self) -> Form<'_> {
        Form::Other
    }

    /// Where the value comes from, for ops that compute nothing.
    fn source(&self) -> Option<Source<'_>> {
        None
    }
}

/// What is known of a function made of several ops: the catalogue's entry and
/// the cases its tests are made from. It stands beside the function, in
/// `compositions`.
pub struct Composition {
    /// The function's name, unique among ops and compositions.
    pub name: &'static str,
    /// What it computes, in one line of ordinary notation.
    pub formula: &'static str,
    /// The rule at ties, kinks and domain edges, and how it is held to by value.
    pub rule: Option<Rule>,
    /// Where what is passed back is defined and is not the derivative, what it
    /// is; finite differences do not apply then.
    pub stated: Option<&'static str>,
    /// Where f32 results may lie further from the true ones than is usual.
    pub rounding: Option<Rounding>,
    /// Cases for first and second derivatives against finite differences.
    pub cases: fn() -> Vec<Case>,
}

/// How much of f32's rounding a function passes on, for comparisons with results
/// of higher precision.
#[derive(Clone, Copy, Debug)]
pub struct Rounding {
    /// What is allowed relative to the largest magnitude, as a multiple of what
    /// is allowed for other functions.
    pub factor: f64,
    /// What is allowed however small all magnitudes are.
    pub floor: f64,
    /// The derivation.
    pub reason: &'static str,
}

/// What a function does where its formula does not say.
pub struct Rule {
    /// The rule in words.
    pub text: &'static str,
    /// The rule by value.
    pub values: fn() -> Vec<Expectation>,
}

impl Composition {
    /// A composition that is differentiable wherever its formula is plain.
    pub const fn new(name: &'static str, formula: &'static str, cases: fn() -> Vec<Case>) -> Self {
        Composition { name, formula, rule: None, stated: None, rounding: None, cases }
    }

    /// With a rule at ties, kinks or domain edges.
    pub const fn rule(mut self, text: &'static str, values: fn() -> Vec<Expectation>) -> Self {
        self.rule = Some(Rule { text, values });
        self
    }

    /// With errors in f32 that are larger than usual, for a reason.
    pub const fn rounding(mut self, factor: f64, floor: f64, reason: &'static str) -> Self {
        self.rounding = Some(Rounding { factor, floor, reason });
        self
    }

    /// With a gradient that is defined, not derived.
    pub const fn stated(mut self, text: &'static str) -> Self {
        self.stated = Some(text);
        self
    }
}

/// How the values of a test case's input are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Uniform in a range.
    Uniform(f64, f64),
    /// Uniform in a range, a share of them zero, as a ReLU leaves them.
    Sparse {
        /// The range's lower end.
        low: f64,
        /// Its upper end.
        high: f64,
        /// The share of zeros.
        zeros: f64,
    },
    /// All different by at least 0.02, in random order, around zero: no ties,
    /// and none nearer than 0.01 to zero.
    Distinct,
    /// Integers from 0 up to and without the bound, as `i32`.
    Index(i32),
    /// Uniform between -1 and 1, stored in this type of 16 bits.
    Stored(DType),
}

impl Draw {
    /// The element type of what is drawn, where floats are of type `float`.
    pub fn dtype(self, float: DType) -> DType {
        match self {
            Draw::Index(_) => DType::I32,
            Draw::Stored(dtype) => dtype,
            _ => float,
        }
    }
}

/// One use of an op on small inputs, for the registry-wide tests: values
/// against the scalar kernel for each variant, first and second derivatives
/// against finite differences.
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// Shape and values of each input.
    pub inputs: Vec<(Vec<usize>, Draw)>,
    /// Builds the op's use.
    pub build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>,
}

impl Case {
    /// A case.
    pub fn new(
        name: &'static str,
        inputs: &[(&[usize], Draw)],
        build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>,
    ) -> Self {
        let inputs = inputs.iter().map(|(shape, draw)| (shape.to_vec(), *draw)).collect();
        Case { name, inputs, build }
    }
}
