//! Max pooling as a gather.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];

impl Graph {
    /// The maximum of each window of images [N,C,H,W]. Ties go to the first
    /// element in row-major order, NaN wins, padding never does.
    ///
    /// # Errors
    /// Not images, a window that does not fit, padding over half the window.
    #[track_caller]
    pub fn max_pool2d(
        &self,
        x: NodeId,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let index = self.max_pool2d_indices(x, kernel, stride, padding)?;
        let shape = self.shape(index);
        let flat = self.flatten_from(x, 2)?;
        let index = self.flatten_from(index, 2)?;
        let picked = self.gather(flat, 2, index)?;
        self.reshape(picked, &shape)
    }
}
