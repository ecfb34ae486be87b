//! Derivatives along a direction: products of the Jacobian and of the Hessian
//! with vectors, without either matrix.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};

pub(super) const ALL: &[Composition] = &[
    Composition::new("jacobian_vector_product", "y = Σ (∂f/∂x) v over the inputs x", || {
        vec![Case::new("tanh of a product", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
            let square = graph.mul(x[0], x[0])?;
            let y = graph.tanh(square)?;
            graph.jacobian_vector_product(y, &[x[0]], &[x[1]])
        })]
    }),
    Composition::new("hessian_vector_product", "y = (∂²L/∂x²) v", || {
        vec![Case::new("sum of tanh", &[(&[5], DRAW), (&[5], DRAW)], |graph, x| {
            let y = graph.tanh(x[0])?;
            let y = graph.square(y)?;
            let loss = graph.sum_all(y)?;
            Ok(graph.hessian_vector_product(loss, &[x[0]], &[x[1]])?[0])
        })]
    }),
    Composition::new(
        "gauss_newton_vector_product",
        "y = Jᵀ H J v with J the Jacobian of the outputs and H the Hessian of the loss in them",
        || {
            vec![Case::new("softplus of tanh", &[(&[4], DRAW), (&[4], DRAW)], |graph, x| {
                let outputs = graph.tanh(x[0])?;
                let each = graph.softplus(outputs)?;
                let loss = graph.sum_all(each)?;
                Ok(graph.gauss_newton_vector_product(outputs, loss, &[x[0]], &[x[1]])?[0])
            })]
        },
    ),
];

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

impl Graph {
    /// The derivative of `output` along `tangents`, one a node of `wrt` and of
    /// its type: Σ (∂output/∂x) v, of the type of `output`.
    ///
    /// By two backward passes: Jᵀw is linear in w, so the derivative of ⟨Jᵀw, v⟩
    /// in w is J v whatever w is (Townsend, "A new trick for calculating
    /// Jacobian vector products", 2017).
    ///
    /// # Errors
    /// As [`Graph::gradient`]; and if a tangent is not of its node's type.
    #[track_caller]
    pub fn jacobian_vector_product(
        &self,
        output: NodeId,
        wrt: &[NodeId],
        tangents: &[NodeId],
    ) -> Result<NodeId, GraphError> {
        let dummy = self.constant_like(output, 0.0)?;
        let gradients = self.pull_back(output, dummy, wrt)?;
        let along = self.inner_product(&gradients, tangents)?;
        Ok(self.gradient(along, &[dummy])?[0])
    }

    /// The Hessian of the scalar `loss` times `vectors`, one a node of `wrt` and
    /// of its type: the gradient of ⟨∇loss, v⟩ (Pearlmutter, "Fast exact
    /// multiplication by the Hessian", 1994).
    ///
    /// # Errors
    /// As [`Graph::gradient`]; and if a vector is not of its node's type.
    #[track_caller]
    pub fn hessian_vector_product(
        &self,
        loss: NodeId,
        wrt: &[NodeId],
        vectors: &[NodeId],
    ) -> Result<Vec<NodeId>, GraphError> {
        let gradients = self.gradient(loss, wrt)?;
        let along = self.inner_product(&gradients, vectors)?;
        self.gradient(along, wrt)
    }

    /// The Gauss-Newton matrix of `loss` times `vectors`: Jᵀ H J v, J being the
    /// Jacobian of `outputs` in `wrt` and H the Hessian of `loss` in `outputs`
    /// (Schraudolph, "Fast curvature matrix-vector products", 2002). Positive
    /// semidefinite where `loss` is convex in `outputs`.
    ///
    /// # Errors
    /// As [`Graph::gradient`]; and if a vector is not of its node's type.
    #[track_caller]
    pub fn gauss_newton_vector_product(
        &self,
        outputs: NodeId,
        loss: NodeId,
        wrt: &[NodeId],
        vectors: &[NodeId],
    ) -> Result<Vec<NodeId>, GraphError> {
        let moved = self.jacobian_vector_product(outputs, wrt, vectors)?;
        let curved = self.hessian_vector_product(loss, &[outputs], &[moved])?[0];
        self.pull_back(outputs, curved, wrt)
    }

    /// Σ ⟨a, b⟩ over pairs of nodes of one type.
    #[track_caller]
    fn inner_product(&self, a: &[NodeId], b: &[NodeId]) -> Result<NodeId, GraphError> {
        if a.len() != b.len() {
            let message = format!("{} vectors for {} nodes", b.len(), a.len());
            return Err(self.error("inner_product", b, message));
        }
        let mut total = self.scalar(0.0)?;
        for (a, b) in a.iter().zip(b) {
            if self.ty(*a) != self.ty(*b) {
                let message = "a vector has another type than its node".to_owned();
                return Err(self.error("inner_product", &[*a, *b], message));
            }
            let product = self.mul(*a, *b)?;
            let sum = self.sum_all(product)?;
            total = self.add(total, sum)?;
        }
        Ok(total)
    }
}
