//! Every checker can fail: ops made wrong on purpose, each beside a twin that
//! is right.
//!
//! A checker that never fails is worth nothing, and the ways to write one by
//! accident are many: a NaN that compares as close, a cotangent of ones, a
//! reference computed with the same mistake.

use speck_engine::check::values::Expectation;
use speck_engine::check::{CheckError, gradients, values, variants};
use speck_engine::kernels::{Choice, KernelError};
use speck_engine::op::{Case, Draw, Gradient, Gradients, Lowered, Routine, Vjp, streaming};
use speck_engine::{
    Cost, DType, Graph, GraphError, NodeId, Op, OpInfo, Tensor, TensorType, with_real,
};

/// A kernel call for tests.
macro_rules! routine {
    ($name:expr, $run:expr) => {
        Lowered::Routine(Routine {
            label: format!("{}:test", $name),
            scratch: 0,
            reports: false,
            passes: false,
            run: Box::new($run),
        })
    };
}

/// What is wrong with an op.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    /// The gradient is two thirds of what it should be.
    Factor,
    Sign,
    /// The gradient is left out, as if it were zero.
    Dropped,
    /// The gradient is right, but differentiating it again gives zero.
    SecondOrder,
    /// The sign of the second derivative is wrong.
    SecondSign,
    /// The gradient has the right values in the wrong shape.
    Shape,
    /// The last element of the output is never written.
    Unwritten,
    /// As before, but in f32 only: the reference is right.
    UnwrittenInF32,
    /// The first element of the output is NaN.
    NotANumber,
    /// Wrong by a thousandth, in f32 only.
    Inaccurate,
}

use Fault::*;

/// y = x³, with a fault.
#[derive(Debug)]
struct Cube(Fault);

/// y = x², whose own derivative is 0 or has the wrong sign.
#[derive(Debug)]
struct BadSquare(Fault);

/// The larger of two vectors; at ties the cotangent goes to the first, which
/// is not the rule, or half to each, which is.
#[derive(Debug)]
struct Larger {
    share: bool,
}

/// The index of the largest element of a vector: the last of equals, or the first.
#[derive(Debug)]
struct Peak {
    last: bool,
    written: bool,
}

const fn info(name: &'static str) -> OpInfo {
    OpInfo {
        name,
        formula: "for tests",
        gradient: Gradient::Product("for tests"),
        rule: None,
        kernels: Vec::new,
        cases: Vec::new,
    }
}

static CUBE: OpInfo = info("cube");
static BAD_SQUARE: OpInfo = info("bad_square");
static LARGER: OpInfo = info("larger");
static PEAK: OpInfo = OpInfo { gradient: Gradient::Zero("an index"), ..info("peak") };

impl Op for Cube {
    fn info(&self) -> &'static OpInfo {
        &CUBE
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("fault", format!("{:?}", self.0))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        Ok(inputs[0].clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let x = vjp.inputs[0];
        let square = match self.0 {
            Dropped => return Ok(vec![None]),
            SecondOrder | SecondSign => graph.append(BadSquare(self.0), &[x])?,
            _ => graph.square(x)?,
        };
        let factor = match self.0 {
            Factor => 2.0,
            Sign => -3.0,
            _ => 3.0,
        };
        let slope = graph.scale(square, factor)?;
        let gradient = graph.mul(vjp.cotangent, slope)?;
        let flat = self.0 == Shape;
        Ok(vec![Some(if flat { graph.flatten_from(gradient, 0)? } else { gradient })])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(2 * output.elements(), inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        _: &Choice,
    ) -> Result<Lowered, KernelError> {
        let fault = self.0;
        let single = output.dtype == DType::F32;
        with_real!(output.dtype, T => Ok(routine!("cube", move |call| {
            let x = call.input::<T>(0);
            let out = call.into_output::<T>();
            let unwritten = usize::from(fault == Unwritten || (fault == UnwrittenInF32 && single));
            for i in 0..x.len() - unwritten {
                out[i] = x[i] * x[i] * x[i];
            }
            if fault == NotANumber {
                out[0] = T::NAN;
            }
            if fault == Inaccurate && single {
                out[0] += 1e-3;
            }
        })))
    }
}

impl Op for BadSquare {
    fn info(&self) -> &'static OpInfo {
        &BAD_SQUARE
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("fault", format!("{:?}", self.0))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        Ok(inputs[0].clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        if self.0 == SecondOrder {
            return Ok(vec![None]);
        }
        let slope = graph.scale(vjp.inputs[0], -2.0)?;
        Ok(vec![Some(graph.mul(vjp.cotangent, slope)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements(), inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        _: &Choice,
    ) -> Result<Lowered, KernelError> {
        with_real!(output.dtype, T => Ok(routine!("bad_square", move |call| {
            let x = call.input::<T>(0);
            call.into_output::<T>().iter_mut().zip(x).for_each(|(y, x)| *y = x * x);
        })))
    }
}

impl Op for Larger {
    fn info(&self) -> &'static OpInfo {
        &LARGER
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("share", self.share.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        Ok(inputs[0].clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [a, b] = [vjp.inputs[0], vjp.inputs[1]];
        let (mut first, mut second) = (graph.greater(a, b)?, graph.greater(b, a)?);
        let tie = graph.equal(a, b)?;
        if self.share {
            let half = graph.scale(tie, 0.5)?;
            (first, second) = (graph.add(first, half)?, graph.add(second, half)?);
        } else {
            first = graph.add(first, tie)?;
        }
        let share = |weight| graph.mul(vjp.cotangent, weight).map(Some);
        Ok(vec![share(first)?, share(second)?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements(), inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        _: &Choice,
    ) -> Result<Lowered, KernelError> {
        with_real!(output.dtype, T => Ok(routine!("larger", move |call| {
            let (a, b) = (call.input::<T>(0), call.input::<T>(1));
            let out = call.into_output::<T>();
            for i in 0..out.len() {
                out[i] = a[i].max(b[i]);
            }
        })))
    }
}

impl Op for Peak {
    fn info(&self) -> &'static OpInfo {
        &PEAK
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("last", self.last.to_string()), ("written", self.written.to_string())]
    }
    fn infer(&self, _: &[&TensorType]) -> Result<TensorType, String> {
        Ok(TensorType::new(DType::I32, &[]))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        _: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (last, written) = (self.last, self.written);
        with_real!(inputs[0].dtype, T => Ok(routine!("peak", move |call| {
            let x = call.input::<T>(0);
            let mut best = 0;
            for i in 1..x.len() {
                if x[i] > x[best] || (last && x[i] == x[best]) {
                    best = i;
                }
            }
            if written {
                call.into_output::<i32>()[0] = best as i32;
            }
        })))
    }
}

type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

/// The use of a cube with each fault: test cases hold plain functions.
fn cube(fault: Fault) -> Build {
    macro_rules! builds {
        ($($fault:ident)*) => {
            match fault { $($fault => |graph, x| graph.append(Cube($fault), &[x[0]]),)* }
        };
    }
    builds!(Nothing Factor Sign Dropped SecondOrder SecondSign Shape Unwritten UnwrittenInF32 NotANumber Inaccurate)
}

fn case(build: Build) -> Case {
    Case::new("matrix", &[(&[3, 5], Draw::Uniform(-1.0, 1.0))], build)
}

fn check_gradients(fault: Fault) -> Result<gradients::Checked, CheckError> {
    gradients::check(&case(cube(fault)), 1)
}

fn check_variants(fault: Fault) -> Result<Vec<String>, CheckError> {
    variants::check(&CUBE, &case(cube(fault)), 1)
}

/// The message of a refusal.
#[track_caller]
fn refused<T>(result: Result<T, CheckError>) -> String {
    match result {
        Ok(_) => panic!("the checker lets it pass"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_right_op_passes_every_checker() {
    let checked = check_gradients(Nothing).expect("right gradients");
    assert!(checked.first > 0 && checked.second > 0, "{checked:?}");
    assert!(checked.worst > 0.0 && checked.worst < 1e-6, "{checked:?}");
    assert_eq!(check_variants(Nothing).expect("right values"), ["*:scalar"]);
    values::check(&cubes(Nothing)).expect("right values");
}

#[test]
fn a_wrong_gradient_is_found() {
    for fault in [Factor, Sign, Dropped] {
        let message = refused(check_gradients(fault));
        assert!(message.contains("matrix / first order"), "{fault:?}: {message}");
    }
}

#[test]
fn a_gradient_wrong_only_when_differentiated_again_is_found() {
    for fault in [SecondOrder, SecondSign] {
        let message = refused(check_gradients(fault));
        assert!(message.contains("matrix / second order"), "{fault:?}: {message}");
    }
}

#[test]
fn a_gradient_of_another_shape_is_found() {
    refused(check_gradients(Shape));
}

/// Σ softmax is 1 whatever the input: with a cotangent of ones the gradient of
/// an op that follows could be anything. The cotangent is random instead.
#[test]
fn a_wrong_gradient_is_found_through_a_softmax() {
    let through: Build = |graph, x| {
        let cube = graph.append(Cube(Sign), &[x[0]])?;
        graph.softmax(cube, 1)
    };
    refused(gradients::check(&case(through), 1));
    let right: Build = |graph, x| {
        let cube = graph.append(Cube(Nothing), &[x[0]])?;
        graph.softmax(cube, 1)
    };
    gradients::check(&case(right), 1).expect("right gradients");
}

#[test]
fn a_nan_or_an_unwritten_element_fails_the_gradient_check() {
    // The slopes are then NaN on both sides, which must not count as equal.
    refused(check_gradients(NotANumber));
    refused(check_gradients(Unwritten));
    // Here the gradient is NaN too, as the value is used in it.
    let squared: Build = |graph, x| {
        let cube = graph.append(Cube(NotANumber), &[x[0]])?;
        graph.square(cube)
    };
    refused(gradients::check(&case(squared), 1));
}

#[test]
fn a_wrong_tie_rule_is_found_by_value_only() {
    let ties = |build: Build| Expectation {
        name: "ties",
        inputs: vec![
            Tensor::from_f64(&[3], vec![1.0, 2.0, 2.0]),
            Tensor::from_f64(&[3], vec![2.0, 1.0, 2.0]),
        ],
        build,
        output: vec![2.0; 3],
        gradients: vec![vec![0.0, 1.0, 0.5], vec![1.0, 0.0, 0.5]],
    };
    let right: Build = |graph, x| graph.append(Larger { share: true }, &[x[0], x[1]]);
    let wrong: Build = |graph, x| graph.append(Larger { share: false }, &[x[0], x[1]]);
    values::check(&ties(right)).expect("the rule");
    let message = refused(values::check(&ties(wrong)));
    assert_eq!(message, "ties: gradient 0[2]: 1 instead of 0.5 (allowed difference 1e-12)");
    // Differences are taken where there are no ties, and see nothing.
    for build in [right, wrong] {
        let inputs: [(&[usize], Draw); 2] = [(&[6], Draw::Distinct), (&[6], Draw::Distinct)];
        gradients::check(&Case::new("no ties", &inputs, build), 1).expect("no ties, no fault");
    }
}

#[test]
fn a_wrong_choice_among_equals_is_found_by_value() {
    let equals = |build: Build| Expectation {
        name: "equals",
        inputs: vec![Tensor::from_f64(&[4], vec![1.0, 3.0, 3.0, 2.0])],
        build,
        output: vec![1.0],
        gradients: Vec::new(),
    };
    let first: Build = |graph, x| graph.append(Peak { last: false, written: true }, &[x[0]]);
    values::check(&equals(first)).expect("the first");
    let last: Build = |graph, x| graph.append(Peak { last: true, written: true }, &[x[0]]);
    let message = refused(values::check(&equals(last)));
    assert!(message.starts_with("equals: output[0]: 2 instead of 1"), "{message}");
}

/// Cubes by hand.
fn cubes(fault: Fault) -> Expectation {
    Expectation {
        name: "cubes",
        inputs: vec![Tensor::from_f64(&[3], vec![1.0, -2.0, 0.5])],
        build: cube(fault),
        output: vec![1.0, -8.0, 0.125],
        gradients: vec![vec![3.0, 12.0, 0.75]],
    }
}

#[test]
fn values_by_hand_find_every_fault_they_can_see() {
    for fault in [Factor, Sign, Dropped, Unwritten, NotANumber] {
        let message = refused(values::check(&cubes(fault)));
        assert!(message.starts_with("cubes: "), "{fault:?}: {message}");
    }
    // And values by hand that are wrong themselves.
    let wrong = Expectation { output: vec![1.0, -8.0, f64::NAN], ..cubes(Nothing) };
    refused(values::check(&wrong));
    let short = Expectation { output: vec![1.0, -8.0], ..cubes(Nothing) };
    refused(values::check(&short));
    let few = Expectation { gradients: vec![vec![3.0, 12.0]], ..cubes(Nothing) };
    refused(values::check(&few));
}

#[test]
fn an_unwritten_element_fails_on_poisoned_memory() {
    // Also where the reference leaves out the same element.
    for fault in [UnwrittenInF32, Unwritten] {
        let message = refused(check_variants(fault));
        assert!(message.contains("output[14]") || message.contains("NaN"), "{fault:?}: {message}");
    }
}

#[test]
fn an_unwritten_integer_fails_on_poisoned_memory() {
    let inputs: [(&[usize], Draw); 1] = [(&[6], Draw::Distinct)];
    let written: Build = |graph, x| graph.append(Peak { last: false, written: true }, &[x[0]]);
    variants::check(&PEAK, &Case::new("written", &inputs, written), 1).expect("a written index");
    let unwritten: Build = |graph, x| graph.append(Peak { last: false, written: false }, &[x[0]]);
    refused(variants::check(&PEAK, &Case::new("unwritten", &inputs, unwritten), 1));
}

#[test]
fn a_nan_and_an_inaccurate_variant_are_found() {
    refused(check_variants(NotANumber));
    let message = refused(check_variants(Inaccurate));
    assert!(message.contains("*:scalar / output[0]"), "{message}");
}

#[test]
fn an_op_without_a_gradient_says_why() {
    #[derive(Debug)]
    struct Opaque;
    static OPAQUE: OpInfo = OpInfo { gradient: Gradient::None("it is opaque"), ..info("opaque") };
    impl Op for Opaque {
        fn info(&self) -> &'static OpInfo {
            &OPAQUE
        }
        fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
            Ok(inputs[0].clone())
        }
        fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
            unreachable!("it has none")
        }
        fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
            streaming(0, inputs, output)
        }
        fn lower(
            &self,
            _: &[&TensorType],
            _: &TensorType,
            _: &Choice,
        ) -> Result<Lowered, KernelError> {
            Ok(Lowered::Alias)
        }
    }
    let message = refused(gradients::check(&case(|graph, x| graph.append(Opaque, &[x[0]])), 1));
    assert!(message.contains("opaque: has no gradient: it is opaque"), "{message}");
}
