//! Reading and writing programs of either element type as `f32`.

use speck_engine::{Program, RunError};

/// Copies `values` into a floating-point input.
pub(crate) fn write(program: &mut Program, name: &str, values: &[f32]) -> Result<(), RunError> {
    if let Ok(input) = program.input_mut::<f32>(name) {
        input.copy_from_slice(values);
        return Ok(());
    }
    let input = program.input_mut::<f64>(name)?.iter_mut();
    input.zip(values).for_each(|(slot, value)| *slot = f64::from(*value));
    Ok(())
}

/// Sets a floating-point input without dimensions.
pub(crate) fn write_number(program: &mut Program, name: &str, value: f64) -> Result<(), RunError> {
    if let Ok(input) = program.input_mut::<f32>(name) {
        input[0] = value as f32;
        return Ok(());
    }
    program.input_mut::<f64>(name)?[0] = value;
    Ok(())
}

/// Copies the beginning of a floating-point output, as the run left it that was made
/// `back` runs before the last one, into `values`.
pub(crate) fn read(
    program: &Program,
    name: &str,
    back: usize,
    values: &mut [f32],
) -> Result<(), RunError> {
    match program.earlier::<f32>(name, back) {
        Ok(output) => {
            values.copy_from_slice(&output[..values.len()]);
            return Ok(());
        }
        Err(RunError::Type { .. }) => {}
        Err(error) => return Err(error),
    }
    let output = program.earlier::<f64>(name, back)?;
    values.iter_mut().zip(output).for_each(|(slot, value)| *slot = *value as f32);
    Ok(())
}

/// A floating-point output without dimensions.
pub(crate) fn read_number(program: &Program, name: &str) -> Result<f64, RunError> {
    read_earlier(program, name, 0)
}

/// The same of the run `back` runs before the last one.
pub(crate) fn read_earlier(program: &Program, name: &str, back: usize) -> Result<f64, RunError> {
    match program.earlier::<f32>(name, back) {
        Ok(output) => Ok(f64::from(output[0])),
        Err(RunError::Type { .. }) => Ok(program.earlier::<f64>(name, back)?[0]),
        Err(error) => Err(error),
    }
}
