//! Screens with specks that are not of one colour.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::TensorType;
use crate::tensor::Tensor;

pub(super) const ALL: &[Composition] = &[Composition::new(
    "render_faded",
    "y = b + exp(-|i - centre|² / 2σ²) (c - b) at a place i of a speck of colour c, else the background b",
    || {
        let colours = Draw::Uniform(0.0, 1.0);
        vec![Case::new(
            "overlapping, over the border",
            &[(&[2, 3, 2], Draw::Index(6)), (&[2, 3, 3], colours), (&[1, 3], colours)],
            |g, x| g.render_faded(x[0], x[1], x[2], [6, 5], 3, 1.0),
        )]
    },
)
.rule("of specks that overlap the last is seen, faded into the background", || {
    let edge = (-0.5_f64).exp();
    let corner = (-1.0_f64).exp();
    vec![Expectation::new(
        "one speck of 3 × 3 on black",
        vec![Tensor::from_f64(&[1, 1, 1], vec![1.0]), Tensor::from_f64(&[1, 1], vec![0.0])],
        |g, x| {
            let place = g.constant(Tensor::from_i32(&[1, 1, 2], vec![0, 1]))?;
            g.render_faded(place, x[0], x[1], [3, 4], 3, 1.0)
        },
        &[0.0, corner, edge, corner, 0.0, edge, 1.0, edge, 0.0, corner, edge, corner],
    )]
})];

impl Graph {
    /// [`Graph::render`] of specks whose intensity falls off from their centre
    /// as a Gaussian of standard deviation `deviation` pixels.
    ///
    /// It is made of one `render`, whose further channels say whether a pixel is
    /// a speck's and whose, so that the structure rewrite knows it.
    ///
    /// # Errors
    /// Sizes that do not fit, or a deviation that is not positive.
    #[track_caller]
    pub fn render_faded(
        &self,
        positions: NodeId,
        colours: NodeId,
        background: NodeId,
        screen: [usize; 2],
        size: usize,
        deviation: f64,
    ) -> Result<NodeId, GraphError> {
        if !(deviation > 0.0 && deviation.is_finite()) {
            let message = format!("the deviation must be positive, not {deviation}");
            return Err(self.error("render_faded", &[positions, colours], message));
        }
        let (of_colours, of_background) = (self.shape(colours), self.shape(background));
        let (&[samples, slots, channels], &[backgrounds, _]) =
            (of_colours.as_slice(), of_background.as_slice())
        else {
            let message = "takes colours [samples, specks, channels] and a background".to_owned();
            return Err(self.error("render_faded", &[colours, background], message));
        };
        // Where a speck is seen: 1, its row and its column; elsewhere 0.
        let ones = self.expand(self.scalar(1.0)?, &[samples, slots, 1])?;
        let places = self.cast(positions)?;
        let marked = self.concat(&[colours, ones, places], 2)?;
        let unmarked = self.zeros(&[backgrounds, 3])?;
        let unmarked = self.concat(&[background, unmarked], 1)?;
        let image = self.render(positions, marked, unmarked, screen, size)?;
        let part = |start, length| self.narrow(image, 1, start, 1, length);
        let (colour, seen) = (part(0, channels)?, part(channels, 1)?);
        let mut square: Option<NodeId> = None;
        for axis in 0..2 {
            let mut shape = [1; 4];
            shape[2 + axis] = screen[axis];
            let centre = (size as f64 - 1.0) / 2.0;
            let values: Vec<_> = (0..screen[axis]).map(|i| i as f64 - centre).collect();
            let ty = TensorType::new(self.float(), &shape);
            let line = self.constant(Tensor::new(&ty, &values))?;
            let distance = self.sub(line, part(channels + 1 + axis, 1)?)?;
            let own = self.square(distance)?;
            square = Some(match square {
                Some(other) => self.add(other, own)?,
                None => own,
            });
        }
        let square = self.mul(square.unwrap_or(seen), seen)?;
        let weight = self.exp(self.scale(square, -0.5 / (deviation * deviation))?)?;
        let behind = self.reshape(background, &[backgrounds, channels, 1, 1])?;
        // Outside of specks the difference is 0.
        let difference = self.sub(colour, behind)?;
        self.add(behind, self.mul(weight, difference)?)
    }
}
