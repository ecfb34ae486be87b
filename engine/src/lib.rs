//! Tensors, the graph, the operations, vector-Jacobian products, graph passes
//! and the executors. Knows no learning.
//!
//! A [`Graph`] is built node by node; nothing is evaluated while it is built.
//! [`Graph::gradient`] appends the backward pass as more nodes. A
//! [`Program`] compiled from a graph runs it on preplanned memory against a
//! [`State`], the named tensors that outlive a run (parameters, moments).
//!
//! ```
//! use speck_engine::{DType, Graph, Initial, Options, Program, State, Tensor};
//!
//! let graph = Graph::new(DType::F64);
//! let x = graph.state("x", &[3], Initial::Constant(2.0)).unwrap();
//! let square = graph.square(x).unwrap();
//! let loss = graph.sum_all(square).unwrap();
//! let gradient = graph.gradient(loss, &[x]).unwrap()[0];
//! graph.output("gradient", gradient).unwrap();
//!
//! let mut program = Program::compile(&graph, &Options::default()).unwrap();
//! let mut state = State::initialise(&graph, 0);
//! program.run(&mut state).unwrap();
//! assert_eq!(program.output("gradient").unwrap(), Tensor::from_f64(&[3], vec![4.0; 3]));
//! ```

pub mod check;
pub mod compositions;
mod dtype;
mod gradient;
mod graph;
pub mod op;
pub mod ops;
pub mod passes;
mod program;
mod shape;
mod state;
pub mod structure;
mod tensor;

pub use compositions::{
    Attention, ClassLoss, Divergence, Embedding, HeatRegularizer, Padding, Reduction,
    RunningStatistics, Sorted, Surrogate,
};
pub use dtype::{Bf16, DType, Element, F16};
pub use graph::{Graph, GraphError, Node, NodeId, Serves, StateSlot};
pub use op::{Composition, Cost, Op, OpInfo};
pub use program::{CompileError, Options, Program, RunError, StepTiming};
pub use shape::{TensorType, broadcast};
pub use state::{Initial, State, StateError};
pub use tensor::Tensor;

pub use speck_kernels as kernels;
