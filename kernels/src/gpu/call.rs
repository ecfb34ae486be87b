//! Calls of shaders: what a kernel of the GPU side gives to whoever runs it.

use super::device::Limits;
use super::shader::Shader;

/// The parameters of a shader, as the bytes of its uniform struct.
pub trait Parameters {
    /// The bytes, laid out as WGSL does.
    fn bytes(&self) -> Vec<u8>;
}

/// A buffer that a call reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// An input of the op.
    Input(usize),
    /// Its output; where the op works in place, its first input too.
    Output,
    /// A further output of several ops in one, by its number among them.
    Result(usize),
    /// A buffer of the op's own, by its place in [`Calls::scratch`].
    Scratch(usize),
    /// Numbers that do not change, by their place in [`Calls::tables`].
    Table(usize),
}

/// One dispatch of a shader.
#[derive(Clone, Debug)]
pub struct Call {
    /// The shader.
    pub shader: &'static Shader,
    /// Lines in place of those between the marks in the shader's `main`, if it has any.
    pub lines: Option<String>,
    /// Values of its overrides.
    pub overrides: Vec<(&'static str, f64)>,
    /// The bytes of its parameters.
    pub params: Vec<u8>,
    /// The storage bindings, in order.
    pub operands: Vec<Operand>,
    /// Workgroups.
    pub groups: [u32; 3],
    /// Rounds that an invocation makes in all its loops, at most; about, see
    /// [`Call::looping`].
    pub rounds: usize,
}

/// What computes an op: calls one after another, and the bytes of the buffers that
/// they hand on among themselves.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// In order.
    pub calls: Vec<Call>,
    /// Bytes of each scratch buffer.
    pub scratch: Vec<usize>,
    /// Tables of numbers.
    pub tables: Vec<Vec<u32>>,
    /// Others that compute the same, all of one family; these here run on every device.
    pub variants: Vec<Variant>,
}

/// Calls in place of others, where a device has what they need; see
/// [`FAMILIES`](super::FAMILIES).
#[derive(Clone, Debug)]
pub struct Variant {
    /// The shader that gives it its name.
    pub shader: &'static Shader,
    /// The calls.
    pub calls: Calls,
    /// Whether it pays at this shape: else it must be asked for.
    pub suits: bool,
}

/// Rounds of loops that a device makes which is a program on the processor (Mesa's
/// llvmpipe): then the loops of the invocations that it runs together end without a
/// word, and the results are wrong. There is one count for all loops of an invocation,
/// inner rounds included, and a loop of r rounds takes r + 1 of it.
pub const MOST_ROUNDS: usize = 65_535;

/// Rounds that a dispatch makes at most where its work can be cut over several: half of
/// [`MOST_ROUNDS`], for the estimates are estimates.
pub(crate) const ROUNDS: usize = 1 << 15;

/// Steps `0..length` in parts for a dispatch each, of which a step takes `each` rounds;
/// one part, if it has nothing in it, where there are none.
pub(crate) fn in_turn(length: usize, each: usize) -> impl Iterator<Item = [usize; 2]> {
    let share = (ROUNDS / each.max(1)).max(1);
    let parts = length.div_ceil(share).max(1);
    (0..parts).map(move |part| [part * share, ((part + 1) * share).min(length)])
}

/// Workgroups in a dimension that every device can dispatch.
pub const MOST_GROUPS: usize = 65_535;

/// `items` workgroups spread over two dimensions; a shader finds its number as
/// `y · groups.x + x` and does nothing beyond the last.
///
/// # Errors
/// More workgroups than two dimensions hold.
pub fn spread(items: usize) -> Result<[u32; 3], String> {
    let across = items.clamp(1, MOST_GROUPS);
    let down = items.div_ceil(across).max(1);
    if down > MOST_GROUPS {
        return Err(format!("{items} workgroups are more than a dispatch can have"));
    }
    Ok([across as u32, down as u32, 1])
}

/// Workgroups of `shader` for one invocation each `elements`.
///
/// # Errors
/// As [`spread`].
pub fn linear(shader: &Shader, elements: usize) -> Result<[u32; 3], String> {
    spread(elements.div_ceil(shader.workgroup.iter().product::<u32>() as usize))
}

impl Call {
    /// A dispatch of `shader`.
    ///
    /// # Panics
    /// If the operands are not as many as the shader's storage bindings; a defect
    /// of the kernel.
    pub fn new(
        shader: &'static Shader,
        params: &impl Parameters,
        operands: &[Operand],
        groups: [u32; 3],
    ) -> Self {
        assert_eq!(operands.len(), shader.writes.len(), "operands of {}", shader.name);
        Call {
            shader,
            lines: None,
            overrides: Vec::new(),
            params: params.bytes(),
            operands: operands.to_vec(),
            groups,
            rounds: 0,
        }
    }

    /// With so many rounds of loops in an invocation: those of all its loops whose
    /// lengths follow from sizes, inner ones as often as they are begun and one more for
    /// the end of each. Too many are better than too few.
    pub fn looping(self, rounds: usize) -> Self {
        Call { rounds, ..self }
    }

    /// Why a device of these limits would not go through with its loops, if it would not.
    pub fn too_long(&self, limits: &Limits) -> Option<String> {
        let most = limits.rounds();
        (self.rounds > most).then(|| {
            format!(
                "an invocation of `{}` would make some {} rounds of its loops, but a driver that is a \
                 program on the processor ends them after {most}; smaller shapes fit, and the CPU takes \
                 any",
                self.shader.name, self.rounds
            )
        })
    }

    /// With these lines between the shader's marks.
    pub fn between(self, lines: String) -> Self {
        Call { lines: Some(lines), ..self }
    }

    /// With values for overrides of the shader.
    pub fn with(mut self, overrides: &[(&'static str, f64)]) -> Self {
        self.overrides.extend_from_slice(overrides);
        self
    }
}

impl From<Call> for Calls {
    fn from(call: Call) -> Self {
        Calls { calls: vec![call], ..Calls::default() }
    }
}

/// A size as shaders count.
///
/// # Errors
/// More than 2³² - 1.
pub fn size(value: usize) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{value} is more than a shader can count to"))
}

/// A size as shaders count where they also step back from it.
///
/// # Errors
/// More than 2³¹ - 1.
pub fn signed(value: usize) -> Result<i32, String> {
    i32::try_from(value).map_err(|_| format!("{value} is more than a shader can count to"))
}

/// The most dimensions that shaders walk.
pub const MOST_DIMS: usize = 8;

/// Sizes or steps of dimensions as shaders take them; steps backwards wrap around.
///
/// # Errors
/// More than [`MOST_DIMS`] dimensions, or a number beyond 2³².
pub fn dims(values: impl IntoIterator<Item = isize>) -> Result<[u32; MOST_DIMS], String> {
    let mut all = [0; MOST_DIMS];
    for (i, value) in values.into_iter().enumerate() {
        let place = all.get_mut(i).ok_or("more than 8 dimensions that cannot be joined")?;
        let low = i32::MIN as isize;
        if value < low || value > u32::MAX as isize {
            return Err(format!("{value} is more than a shader can count to"));
        }
        *place = value as u32;
    }
    Ok(all)
}

/// The value of an override that is true or false.
pub fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Whether a call would have nothing to do: dispatches of nothing are left out.
pub fn unless_empty(
    count: usize,
    call: impl FnOnce() -> Result<Call, String>,
) -> Result<Calls, String> {
    if count == 0 { Ok(Calls::default()) } else { Ok(call()?.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_turn_cover_all_steps_and_are_short() {
        for length in [0, 1, ROUNDS - 1, ROUNDS, ROUNDS + 1, 10 * ROUNDS + 3] {
            for each in [0, 1, 3, ROUNDS - 1, ROUNDS + 1] {
                let parts: Vec<_> = in_turn(length, each).collect();
                assert_eq!((parts[0][0], parts[parts.len() - 1][1]), (0, length));
                assert!(parts.windows(2).all(|pair| pair[0][1] == pair[1][0]));
                let fits = |part: &[usize; 2]| (part[1] - part[0]) * each <= ROUNDS;
                assert!(parts.iter().all(|part| part[1] - part[0] == 1 || fits(part)));
            }
        }
    }
}
